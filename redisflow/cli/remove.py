"""``redisflow rm`` and ``redisflow gc``: runs that are not wanted any more."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from taskflow import states

from redisflow.cli.acts import (
    Chosen,
    RunsArgument,
    act_upon,
    acted_upon,
    choose,
    chosen_of,
    print_records,
    status_of,
)
from redisflow.cli.damaged import DamagedRuns, readable_of
from redisflow.cli.options import (
    DryRunOption,
    IdleOption,
    LimitOption,
    NameOption,
    NewerOption,
    OlderOption,
    Output,
    OutputOption,
    StatesOption,
    Url,
    YesOption,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.terminal import say
from redisflow.errors import NotFound
from redisflow.looking.clock import ServerClock
from redisflow.looking.flows import find_flow
from redisflow.looking.listing import WantedRuns, list_runs
from redisflow.operations import (
    check_removal,
    collect_garbage,
    remove_run,
)
from redisflow.persistence import RedisBackend
from redisflow.persistence.removal import left_of

RM_EPILOG = """\
[bold]Examples[/bold]

redisflow rm order-17

redisflow rm --state REVERTED --name 'test-*' --dry-run

A run that workers are at is refused: cancel or suspend it first.

[bold]Exit status[/bold]: 0 removed, 2 usage or no such run, 4 server, 5 a run refused.
"""
GC_EPILOG = """\
[bold]Examples[/bold]

redisflow gc --older 7d --yes

redisflow gc --older 30d --state FAILURE --dry-run

[bold]Exit status[/bold]: 0 done, 2 usage, 4 server, 5 a run refused.
"""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENDED = (states.SUCCESS, states.REVERTED, states.FAILURE)


def rm(
    runs: RunsArgument = None,
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Remove runs, with their results and journals. There is no way back."""
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        return act_upon(
            _to_remove(backend, runs, wanted),
            _remover(backend),
            lambda each: check_removal(backend, each.flow_uuid),
            verb="remove",
            asks=True,
            yes=yes,
            dry_run=dry_run,
            output=output,
        )


def gc(
    *,
    state: StatesOption = None,
    older: IdleOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Remove runs that ended long ago, and what gone runs have left behind.

    With --older: runs in SUCCESS, REVERTED or FAILURE (or the --state that you name) in
    which nothing has changed for longer than that, if they are not submitted again;
    with --limit the oldest of them. In any case: entries of indexes and logbooks whose
    flows are gone.
    """
    chosen: list[Chosen] = []
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        if older is not None:
            wanted = WantedRuns(frozenset(state or _ENDED), older, None, name, None)
            before = ServerClock(backend.client).now_ms() - older * 1000
            damaged = DamagedRuns()
            chosen = [
                chosen_of(each)
                for each in readable_of(list_runs(backend, wanted), damaged)
                if each.updated_at < before and not each.submitted
            ]
            chosen = chosen[-limit:] if limit else chosen  # the oldest of them
            damaged.tell()
        elif state or name or limit is not None:
            raise UsageProblem("--state, --name and --limit go with --older")
        records: list[dict[str, Any]] = []
        if chosen or older is not None:
            records = acted_upon(
                chosen,
                _remover(backend),
                lambda each: check_removal(backend, each.flow_uuid),
                verb="remove",
                asks=True,
                yes=yes,
                dry_run=dry_run,
                output=output,
            )
        found = dataclasses.asdict(collect_garbage(backend, look_only=dry_run))
    told = ", ".join(f"{count:,} {what}" for what, count in found.items())
    say(f"left by what is gone{' now' if dry_run else ''}: {told}")
    print_records(records, output, say_it=dry_run, garbage=found)
    return status_of(records)


def _to_remove(
    backend: RedisBackend, runs: list[str] | None, wanted: WantedRuns
) -> list[Chosen]:
    """Choose runs; a uuid may be that of a flow of which something is left only."""
    found = []
    for text in runs or ():
        try:
            find_flow(backend, text)
        except NotFound:
            if not (_UUID.fullmatch(text) and left_of(backend, text)):
                raise
            found.append(Chosen(text, text, None))
    left = [text for text in runs or () if text not in {c.flow_uuid for c in found}]
    if runs and not left:
        return found
    return found + choose(backend, left or None, wanted)


def _remover(backend: RedisBackend) -> Any:
    def act(chosen: Chosen) -> tuple[str, Mapping[str, Any]]:
        there = remove_run(backend, chosen.flow_uuid, seen=chosen.rev)
        return "removed" if there else "what was left is removed", {}

    return act
