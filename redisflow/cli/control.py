"""``redisflow suspend``, ``resume`` and ``cancel``: telling all workers of a flow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from taskflow import states

from redisflow import operations
from redisflow.cli.acts import (
    RunsArgument,
    act_on,
    acted_upon,
    acting_command,
    choose,
    print_records,
    status_of,
)
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
from redisflow.looking.listing import WantedRuns
from redisflow.operations import (
    Subject,
    check_cancel,
    check_resume,
    check_suspend,
    resume_run,
    suspend_run,
    wait_until_suspended,
)
from redisflow.persistence import RedisBackend

_STATUS = """\
[bold]Exit status[/bold]: 0 done, 2 usage or no such run, 4 server, 5 a run refused.
"""
SUSPEND_EPILOG = f"""\
[bold]Examples[/bold]

redisflow suspend nightly --wait --reason "deploying"

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


def _suspend(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    state = suspend_run(subject, reason=reason)
    text = f"is {state}"
    if state == states.SUSPENDING:
        text = f"{subject.live} worker(s) will stop after their current task"
    return text, {"state": state, "workers": subject.live}


def _await(subject: Subject) -> tuple[str, Mapping[str, Any]]:
    state = wait_until_suspended(subject)
    return f"is {state}", {"state": state, "workers": subject.live}


def suspend(
    runs: RunsArgument = None,
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Return only when no worker is at work in them."),
    ] = False,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Stop all workers of a flow after their current task.

    The next run of the flow goes on from there. A flow that has begun and that no live
    worker runs is suspended at once; one that has not begun cannot be suspended, only
    removed. With filters, you are asked first.
    """
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        told = acted_upon(
            chosen := choose(backend, runs, wanted),
            lambda each: _suspend(Subject(backend, each.flow_uuid), reason),
            lambda each: check_suspend(Subject(backend, each.flow_uuid)),
            verb="suspend",
            asks=not runs,
            yes=yes,
            dry_run=dry_run,
            output=output,
        )
        records = {record["flow_uuid"]: record for record in told}
        for each in chosen if wait else ():
            if records[each.flow_uuid].get("state") == states.SUSPENDING:
                records[each.flow_uuid] = act_on(
                    lambda each: _await(Subject(backend, each.flow_uuid)), each, output
                )
    print_records([*records.values()], output, say_it=dry_run)
    return status_of([*records.values()])


@acting_command(check_resume)
def resume(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    """Let a suspended run go on, by the workers that it was submitted to.

    A run that was not submitted goes on when it is run again with the same run id.
    """
    servers = resume_run(subject, reason=reason)
    text = f"left to {servers} worker(s)"
    if not servers:
        text = "left to workers, of whom none is there now"
    return text, {"workers": servers}


@acting_command(check_cancel)
def cancel(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    """Revert everything that a flow has done.

    What is being executed comes to its end first, and nothing else begins. A suspended
    flow is reverted when it is resumed or run again. It stands in the journal, with who
    asked and why; every worker raises the reason.
    """
    operations.cancel(subject, reason=reason)
    text = f"it is reverted, by {subject.live} worker(s) with a lease"
    if not subject.live:
        text = "no worker is alive: whoever runs it next reverts it"
    elif subject.look().state == states.SUSPENDING:
        text = "it is being suspended: whoever runs it next reverts it"
    return text, {"workers": subject.live}
