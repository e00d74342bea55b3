"""``redisflow suspend`` and ``redisflow cancel``: telling all workers of a flow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer
from taskflow import states

from redisflow.cli.flows import find_flow
from redisflow.cli.options import RunArgument, Url
from redisflow.cli.problems import printable
from redisflow.cli.terminal import say
from redisflow.engine.plans import cancel_run
from redisflow.engine.settling import settle_run
from redisflow.errors import InvalidState
from redisflow.persistence import FlowRecord, RedisBackend
from redisflow.storage import Storage

SUSPEND_EPILOG = """\
[bold]Examples[/bold]

redisflow suspend nightly

redisflow submit pipeline:make_flow --run-id nightly    (resumes it)
"""

CANCEL_EPILOG = """\
[bold]Examples[/bold]

redisflow cancel nightly --reason "wrong input"
"""


def suspend(run: RunArgument, *, url: Url = None) -> None:
    """Stop all workers of a flow after what they are at.

    The next run of the flow goes on from there. Where no worker is alive the flow is
    suspended at once.
    """
    with _opened(run, url) as (storage, flow):
        moved, old = storage.change_flow_state(states.SUSPENDING)
        if not moved and old != states.SUSPENDING:
            raise InvalidState(f"run {printable(run)} is {old}: it cannot be suspended")
        if not storage.mirror.live:
            settle_run(storage, flow.run)
        state = storage.get_flow_state()
        if state == states.SUSPENDING:
            say(f"{storage.mirror.live} worker(s) will stop after what they are at")
        else:
            say(f"run {printable(run)} is {state}")


def cancel(
    run: RunArgument,
    *,
    reason: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Why; every worker raises it."),
    ] = "",
    url: Url = None,
) -> None:
    """Have everything reverted that a flow has done.

    What is being executed comes to its end first, and nothing else begins. It stands in
    the journal, with who asked.
    """
    with _opened(run, url) as (storage, flow):
        cancel_run(storage, flow.run, reason=reason)
        storage.get_flow_state()
        live = storage.mirror.live
        if live:
            say(f"{live} worker(s) revert run {printable(run)}")
        else:
            say(f"no worker is alive: whoever runs {printable(run)} next reverts it")


@contextlib.contextmanager
def _opened(run: str, url: str | None) -> Iterator[tuple[Storage, FlowRecord]]:
    """Open the flow that a person means."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        uuid = find_flow(backend, run)
        detail = backend.get_connection().get_flow_details(uuid, lazy=True)
        storage = Storage(detail, backend)
        storage.get_flow_state()
        flow = storage.mirror.flow
        assert flow is not None  # noqa: S101  # it was read just before
        yield storage, flow
