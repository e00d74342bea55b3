"""``redisflow suspend``, ``resume`` and ``cancel``: telling all workers of a flow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from taskflow import states

from redisflow.cli.acts import Chosen, RunsArgument, act_upon, choose
from redisflow.cli.listing import WantedRuns
from redisflow.cli.options import (
    DryRunOption,
    LimitOption,
    NameOption,
    NewerOption,
    OlderOption,
    Output,
    OutputOption,
    ReasonOption,
    StatesOption,
    Url,
    YesOption,
)
from redisflow.engine.plans import cancel_run
from redisflow.operations import Subject, resume_run, suspend_run
from redisflow.persistence import RedisBackend

_STATUS = """\
[bold]Exit status[/bold]: 0 done, 2 usage or no such run, 4 server, 5 a run refused.
"""
SUSPEND_EPILOG = f"""\
[bold]Examples[/bold]

redisflow suspend nightly --reason "deploying"

redisflow suspend --state RUNNING --name 'order-*' --yes

{_STATUS}"""
RESUME_EPILOG = f"""\
[bold]Examples[/bold]

redisflow resume nightly

redisflow resume --state SUSPENDED --dry-run

{_STATUS}"""
CANCEL_EPILOG = f"""\
[bold]Examples[/bold]

redisflow cancel nightly --reason "wrong input"

{_STATUS}"""


def suspend(
    runs: RunsArgument = None,
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Stop all workers of a flow after what they are at.

    The next run of the flow goes on from there. Where no worker is alive the flow is
    suspended at once. With filters, you are asked first.
    """
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:

        def act(chosen: Chosen) -> tuple[str, Mapping[str, Any]]:
            subject = Subject(backend, chosen.flow_uuid)
            found = suspend_run(subject, reason=reason)
            text = f"is {found}"
            if found == states.SUSPENDING:
                text = f"{subject.live} worker(s) will stop after what they are at"
            return text, {"state": found, "workers": subject.live}

        return act_upon(
            choose(backend, runs, wanted),
            act,
            verb="suspend",
            asks=not runs,
            yes=yes,
            dry_run=dry_run,
            output=output,
        )


def resume(
    runs: RunsArgument = None,
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Let a suspended run go on, by the workers that it was submitted to.

    A run that was not submitted goes on when it is run again with the same run id.
    """
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:

        def act(chosen: Chosen) -> tuple[str, Mapping[str, Any]]:
            servers = resume_run(Subject(backend, chosen.flow_uuid), reason=reason)
            text = f"left to {servers} worker(s)"
            if not servers:
                text = "left to workers, of whom none is there now"
            return text, {"workers": servers}

        return act_upon(
            choose(backend, runs, wanted),
            act,
            verb="resume",
            asks=not runs,
            yes=yes,
            dry_run=dry_run,
            output=output,
        )


def cancel(
    runs: RunsArgument = None,
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Have everything reverted that a flow has done.

    What is being executed comes to its end first, and nothing else begins. It stands in
    the journal, with who asked and why; every worker raises the reason.
    """
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:

        def act(chosen: Chosen) -> tuple[str, Mapping[str, Any]]:
            subject = Subject(backend, chosen.flow_uuid)
            cancel_run(subject.storage, subject.look().run, reason=reason)
            subject.look()
            text = f"{subject.live} worker(s) revert it"
            if not subject.live:
                text = "no worker is alive: whoever runs it next reverts it"
            return text, {"workers": subject.live}

        return act_upon(
            choose(backend, runs, wanted),
            act,
            verb="cancel",
            asks=not runs,
            yes=yes,
            dry_run=dry_run,
            output=output,
        )
