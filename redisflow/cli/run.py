"""``redisflow run``: a flow, run to its end by worker processes of this host."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any

import typer

from redisflow.cli.interrupts import Interrupts, Killed
from redisflow.cli.options import (
    ArgOption,
    Durability,
    DurabilityOption,
    MaskOption,
    Output,
    OutputOption,
    ReplicasOption,
    RetentionOption,
    RunIdOption,
    StoreOption,
    Url,
    options_of,
    read_pairs,
)
from redisflow.cli.outcome import outcome_of, print_outcome, tell_if_idle
from redisflow.cli.problems import FactoryFailed, Status
from redisflow.cli.progress import Progress, make_progress
from redisflow.cli.terminal import say
from redisflow.codec import Mask
from redisflow.engine.factories import Factory, FactoryCall, FlowOrTask
from redisflow.engine.loading import check_run_id
from redisflow.engine.processes import LocalRun
from redisflow.errors import RedisFlowError
from redisflow.looking.clock import ServerClock
from redisflow.observing import from_environment
from redisflow.storage import Mirror

EPILOG = """\
[bold]Examples[/bold]

redisflow run pipeline.py --workers 8 --arg path=/srv/data

redisflow run shop.flows:make_order --store order=17 --run-id order-17 -o json

redisflow run pipeline.py --run-id nightly-2026-11-27

Ctrl-C suspends the flow: workers finish the atoms that they are at. The same command
with the same --run-id resumes it. A second Ctrl-C kills the workers.
--rerun runs what was reverted as if new; after a success no task is left to run: for
fresh work use another run id.

[bold]Exit status[/bold]: 0 success, 1 failed or reverted, 2 usage, 3 suspended,
4 server, 5 refused by state or lock.
"""

_FACTORY = "The function that makes the flow: module:name, file.py:name, or either \
without the name, which then is 'factory'."


class _Call(FactoryCall):
    """A factory call that tells the user's own exceptions from ours."""

    __slots__ = ()

    def make_flow(self, admit: Callable[[Factory], object] | None = None) -> FlowOrTask:
        """Import the factory and call it; what it prints is no result."""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                return super().make_flow(admit)
        except (RedisFlowError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a module that calls sys.exit(), for instance
            raise FactoryFailed(self.reference, error) from error


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for.

    Attributes:
        call: makes the flow.
        workers: how many processes.
        run_id: names the run.
        made_up: whether the run id was made up here.
        store: values for the flow.
        url: the server.
        rerun: start a run that has ended once more.
        options: of the workers' engines.
        output: what is printed on standard output.
        mask: hides secret values there.
    """

    call: FactoryCall
    workers: int
    run_id: str
    made_up: bool
    store: Mapping[str, Any]
    url: str | None
    rerun: bool
    options: Mapping[str, Any]
    output: Output
    mask: Mask


def run(
    factory: Annotated[
        str, typer.Argument(metavar="FACTORY", help=_FACTORY, show_default=False)
    ],
    *,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", "-w", metavar="N", help="Processes.", rich_help_panel="Workers"
        ),
    ] = 4,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Tasks that one worker runs at a time, in threads. Without it: one.",
            show_default=False,
            rich_help_panel="Workers",
        ),
    ] = None,
    lease_s: Annotated[
        float,
        typer.Option(
            "--lease-s",
            "--lease",
            metavar="SECONDS",
            help="A worker that does not renew its lease for this long counts as dead.",
            rich_help_panel="Workers",
        ),
    ] = 15.0,
    max_attempts: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="How many workers may die at one atom before the atom fails.",
            rich_help_panel="Workers",
        ),
    ] = 3,
    arg: ArgOption = None,
    store: StoreOption = None,
    run_id: RunIdOption = None,
    rerun: Annotated[
        bool,
        typer.Option(
            "--rerun",
            help="Start a run that has ended once more, instead of giving its outcome.",
            rich_help_panel="Flow",
        ),
    ] = False,
    retention: RetentionOption = None,
    durability: DurabilityOption = Durability.SERVER,
    replicas: ReplicasOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
    mask: MaskOption = None,
) -> None:
    """Run a flow with several worker processes, and show how it goes.

    The flow's state is in Redis: other machines can take part in the same run, and
    any worker may die without harm.
    """
    from_environment()  # takeovers, and what is stored with a flow, are told here
    options: dict[str, Any] = {"lease_s": lease_s, "max_attempts": max_attempts}
    options |= options_of(retention, durability, replicas)
    if threads is not None:
        options |= {"executor": "threads", "max_workers": threads}
    order = _Order(
        call=_Call.of(factory, (), read_pairs("--arg", arg or ())),
        workers=workers,
        run_id=check_run_id(secrets.token_hex(6) if run_id is None else run_id),
        made_up=run_id is None,
        store=read_pairs("--store", store or ()),
        url=url,
        rerun=rerun,
        options=options,
        output=output,
        mask=Mask(mask or ()),
    )
    raise typer.Exit(_carry_out(order))


def _carry_out(order: _Order) -> Status:
    began = monotonic()
    progress = make_progress()
    with progress.opening(order.run_id):
        local = LocalRun(
            order.call,
            workers=order.workers,
            run_id=order.run_id,
            store=order.store,
            url=order.url,
            rerun=order.rerun,
            options=order.options,
            output=progress.output,
        )
    storage = local.engine.storage
    with local:
        asked_ms = ServerClock(storage.backend.client).now_ms()
        if local.engine.over:
            say(f"run {order.run_id} has ended before; --rerun starts it once more")
            state = local.run()
        else:
            try:
                state = _watch(local, order, progress)
            except Killed:
                local.kill()
                say(f"the workers were killed; {_how_to_resume(order)}")
                return Status.SUSPENDED
        outcome = outcome_of(
            storage,
            state,
            run_id=local.run_id,
            elapsed_s=monotonic() - began,
            dead_workers=local.dead,
        )
    print_outcome(outcome, order.output, order.mask)
    if order.rerun:
        tell_if_idle(outcome, storage.mirror, asked_ms)
    if outcome.status is Status.SUSPENDED:
        say(_how_to_resume(order))
    return outcome.status


def _watch(local: LocalRun, order: _Order, progress: Progress) -> str:
    """Run a flow to its end, showing how far it is; returns the state that it is in."""
    storage = local.engine.storage
    with Interrupts() as interrupts, progress:
        workers = f"{order.workers} worker{'' if order.workers == 1 else 's'}"
        title = f"run {order.run_id}: flow {storage.flow_name}, {workers}"
        clock = ServerClock(storage.backend.client)
        progress.begin(title, clock, storage.mirror)

        def suspend() -> None:
            local.suspend(f"interrupted by {interrupts.received}")
            progress.note(
                f"{interrupts.received}: suspending; workers finish what they are at"
                " (once more: they are killed)"
            )

        def watch(mirror: Mirror) -> None:
            interrupts.serve(suspend)
            progress.show(mirror)

        return local.run(watch)


def _how_to_resume(order: _Order) -> str:
    if order.made_up:
        return f"resume it with the same command and --run-id {order.run_id}"
    return "the same command resumes it"
