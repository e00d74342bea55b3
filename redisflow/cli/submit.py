"""``redisflow submit``: leave a flow to workers, and perhaps wait for its end."""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import Annotated, Any

import typer
from taskflow import states

from redisflow.cli.options import (
    ArgOption,
    Durability,
    DurabilityOption,
    MaskOption,
    Output,
    OutputOption,
    ReasonOption,
    ReplicasOption,
    RetentionOption,
    RunIdOption,
    StoreOption,
    Url,
    options_of,
    read_pairs,
)
from redisflow.cli.outcome import outcome_of, print_outcome, tell_if_idle
from redisflow.cli.problems import Status
from redisflow.cli.progress import Progress, make_progress
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import say, whole_output
from redisflow.codec import Mask
from redisflow.engine.factories import FactoryCall
from redisflow.engine.submitting import Submitted, place
from redisflow.errors import FlowLost
from redisflow.looking.clock import ServerClock
from redisflow.persistence import RedisBackend
from redisflow.storage import Storage

EPILOG = """\
[bold]Examples[/bold]

redisflow submit shop.flows:make_order --store order=17 --run-id order-17

redisflow submit shop.flows:make_order --store order=18 --wait -o json

redisflow submit shop.flows:report --run-id nightly-2026-11-27

The run id is printed on stdout; submitting the same twice is as good as once. With
--wait the results follow. Ctrl-C while it waits ends the waiting, not the flow. --rerun
runs what was reverted as if new; after a success no task is left to run: for fresh work
use another run id.

[bold]Exit status[/bold]: 0 submitted, or success; with --wait also 1 failed or reverted
and 3 suspended, 130 no longer waited for; 2 usage, 4 server, 5 refused: submitted
before as something else.
"""

_FACTORY = "The function that makes the flow: module:name, file.py:name, or either \
without the name, which then is 'factory'. Workers import it, and must be allowed to."

#: Longest time between two looks at a flow that is waited for, in milliseconds.
_LOOK_MS = 500


def submit(
    factory: Annotated[
        str, typer.Argument(metavar="FACTORY", help=_FACTORY, show_default=False)
    ],
    *,
    arg: ArgOption = None,
    store: StoreOption = None,
    run_id: RunIdOption = None,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun",
            help="Start a run that has ended once more.",
            rich_help_panel="Flow",
        ),
    ] = False,
    max_attempts: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="How many workers may die at one atom before the atom fails. Without"
            " it: 3.",
            show_default=False,
            rich_help_panel="Flow",
        ),
    ] = None,
    retention: RetentionOption = None,
    durability: DurabilityOption = Durability.SERVER,
    replicas: ReplicasOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Follow the run to its end, as 'run' does."),
    ] = False,
    reason: ReasonOption = "",
    url: Url = None,
    output: OutputOption = Output.HUMAN,
    mask: MaskOption = None,
) -> None:
    """Leave a flow to the workers that serve submitted flows.

    Nothing is imported here. A run that was suspended is resumed.
    """
    call = FactoryCall.of(factory, (), read_pairs("--arg", arg or ()))
    options = options_of(retention, durability, replicas)
    if max_attempts is not None:
        options["max_attempts"] = max_attempts
    values = read_pairs("--store", store or ())
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        asked_ms = ServerClock(backend.client).now_ms() if rerun else None
        placed = place(
            backend,
            call,
            run_id=run_id,
            store=values,
            rerun=rerun,
            options=options,
            reason=reason,
        )
        _print_placed(placed, output, wait=wait)
        if placed.ended is not None:
            say(
                f"run {placed.run_id} has ended before, in {placed.ended};"
                " --rerun starts it once more"
            )
        elif not placed.servers:
            say("no worker serves yet: 'redisflow worker --allow …' will take it up")
        if wait:
            status = _follow(backend, placed, output, Mask(mask or ()), asked_ms)
            raise typer.Exit(status)


def _print_placed(placed: Submitted, output: Output, *, wait: bool) -> None:
    if output is not Output.HUMAN and wait:
        return  # the one document comes at the end
    document: dict[str, Any] = {
        "run_id": placed.run_id,
        "flow_uuid": placed.flow_uuid,
        "run": placed.run,
        "outcome": placed.ended,
    }
    with whole_output() as stream:
        if output is not Output.HUMAN:
            stream.write(json_text(document, output))
        else:
            stream.write(f"{placed.run_id}\n")


def _follow(
    backend: RedisBackend,
    placed: Submitted,
    output: Output,
    mask: Mask,
    rerun_ms: float | None,
) -> Status:
    """Wait for the end of a run; returns the status for it.

    Args:
        backend: where it is.
        placed: what came of submitting it.
        output: what is printed on standard output.
        mask: hides secret values there.
        rerun_ms: when it was asked to start once more, if it was.
    """
    began = monotonic()
    connection = backend.get_connection()
    detail = connection.get_flow_details(placed.flow_uuid, lazy=True)
    storage = Storage(detail, backend)
    progress = make_progress()
    try:
        with progress:
            state = _watch(storage, placed, progress)
    except KeyboardInterrupt:
        say(f"no longer waiting; run {placed.run_id} goes on")
        return Status.INTERRUPTED
    outcome = outcome_of(
        storage, state, run_id=placed.run_id, elapsed_s=monotonic() - began
    )
    print_outcome(outcome, output, mask)
    if rerun_ms is not None:
        tell_if_idle(outcome, storage.mirror, rerun_ms)
    if outcome.state == states.SUSPENDED:
        say("submitting it again resumes it")
    return outcome.status


def _watch(storage: Storage, placed: Submitted, progress: Progress) -> str:
    """Show how far a run is until it ends; returns the state in which it did."""
    client, mirror = storage.backend.client, storage.mirror
    events = storage.backend.keys.of_flow(placed.flow_uuid).events
    storage.get_flow_state()
    if placed.ended is None:
        title = f"run {placed.run_id}: waiting for its end"
        progress.begin(title, ServerClock(client), mirror)
    while True:
        mirror.sync()
        progress.show(mirror)
        flow = mirror.flow
        if flow is None:
            raise FlowLost(f"flow {placed.flow_uuid} is gone", key=events)
        if placed.run <= flow.ended:
            state = flow.fields.get(f"outcome:{placed.run}") or flow.state
            return str(state)
        arguments = ("BLOCK", _LOOK_MS, "COUNT", 1, "STREAMS", events, "$")
        client.block("XREAD", *arguments, block_s=_LOOK_MS / 1000)
