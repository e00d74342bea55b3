"""``redisflow worker``: serve flows that were submitted."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from redisflow.cli.interrupts import Interrupts, Killed
from redisflow.cli.options import Url
from redisflow.cli.problems import Status, line_of, traceback_of
from redisflow.cli.terminal import debugging, say
from redisflow.engine.allowing import Allowed
from redisflow.engine.serving import Serving, Tell
from redisflow.errors import ConfigError
from redisflow.observing import from_environment
from redisflow.persistence import RedisBackend
from redisflow.telemetry.logs import configure

LOG = logging.getLogger("redisflow.worker")

EPILOG = """\
[bold]Examples[/bold]

redisflow worker --allow shop.flows

redisflow worker --allow shop.flows --allow /srv/nightly.py --concurrency 16

redisflow worker --allow shop.flows --once

redisflow worker --allow shop.flows --metrics-port 9464 --log-format json

Any number of workers, on any number of hosts, serve the same flows. The first Ctrl-C or
SIGTERM drains the worker: it takes no more, finishes what it is at, and leaves. The
second ends it at once; others take its work over when its leases are over.

[bold]Exit status[/bold]: 0 drained, or nothing left to do; 2 usage; 4 server, or ended
without it; 128 and the signal's number if it was ended at once.
"""

_ALLOW = """\
A module of flow factories, with its submodules, or a .py file; modules are looked for
in the current folder first. Nothing else is imported, and any function that they define
can be called. Repeatable; one at least.\
"""


def worker(
    *,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE", help=_ALLOW, show_default=False, rich_help_panel="Flows"
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            "--concurrency",
            "-c",
            metavar="N",
            help="Flows that it takes part in at a time, with one task of each.",
            rich_help_panel="Flows",
        ),
    ] = 4,
    lease_s: Annotated[
        float | None,
        typer.Option(
            "--lease-s",
            "--lease",
            metavar="SECONDS",
            help="A worker that does not renew its lease for this long counts as dead."
            " Without it: lease_s of redisflow.submit, or 15.",
            show_default=False,
            rich_help_panel="Flows",
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            "--burst",
            help="End when nothing is submitted that it could serve.",
            rich_help_panel="Flows",
        ),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Export metrics for Prometheus on this port; 0 takes a free one.",
            show_default=False,
            rich_help_panel="Watching",
        ),
    ] = None,
    metrics_host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The address to export metrics on.",
            rich_help_panel="Watching",
        ),
    ] = "127.0.0.1",
    log_format: Annotated[
        str | None,
        typer.Option(
            metavar="text|json",
            help="Write the log in this form, with what each line is about.",
            show_default=False,
            rich_help_panel="Watching",
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="The least level of what is logged: debug, info, warning, error or"
            " critical. Without it: warning.",
            show_default=False,
            rich_help_panel="Watching",
        ),
    ] = None,
    url: Url = None,
) -> int:
    """Serve submitted flows, as many at a time as --concurrency says.

    Flows are imported from the modules and files given with --allow, and from nowhere
    else; a flow of another module is left alone.
    """
    if log_format is not None or log_level is not None:
        configure(form=log_format or "text", level=log_level or "warning")
    from_environment()
    allowed = Allowed(allow or ())
    tell = _log if log_format == "json" else _tell
    with (
        _metrics(metrics_host, metrics_port, tell),
        contextlib.closing(RedisBackend.from_url(url)) as backend,
        contextlib.redirect_stdout(sys.stderr),  # what tasks print
    ):
        serving = Serving(
            backend,
            allowed,
            tell=tell,
            flows=concurrency,
            lease_s=lease_s,
            burst=once,
        )
        interrupts = Interrupts(serving.drain)
        try:
            with interrupts:
                serving.serve()
        except Killed:
            _end_at_once(interrupts.received)
    if serving.cut_off:
        tell("", "ended without the server: what was at work here is begun again", None)
        return Status.SERVER
    if interrupts.received:
        tell("", f"{interrupts.received}: drained", None)
    return Status.SUCCESS


@contextlib.contextmanager
def _metrics(host: str, port: int | None, tell: Tell) -> Iterator[None]:
    """Export metrics meanwhile, if there is a port for it."""
    if port is None:
        yield
        return
    try:
        prometheus = importlib.import_module("redisflow.telemetry.prometheus")
    except ImportError as error:
        raise ConfigError(
            "--metrics-port takes prometheus-client: pip install 'redisflow[metrics]'"
        ) from error
    with prometheus.exported(port=port, host=host) as endpoint:
        tell("", f"metrics on http://{host}:{endpoint.port}/metrics", None)
        yield


def _tell(run_id: str, words: str, error: BaseException | None) -> None:
    about = f"run {run_id}: " if run_id else ""
    say(f"{about}{words}{': ' + line_of(error) if error is not None else ''}")
    if error is not None and debugging():
        sys.stderr.write(traceback_of(error))


def _log(run_id: str, words: str, error: BaseException | None) -> None:
    """Tell what happens in the log, where all lines are to be of one form."""
    level = logging.INFO if error is None else logging.WARNING
    text = words if error is None else f"{words}: {line_of(error)}"
    LOG.log(level, "%s", text, extra={"run": run_id})


def _end_at_once(name: str | None) -> None:
    """End without waiting for threads that run tasks."""
    say("ended at once: others take over what was held when its leases are over")
    sys.stderr.flush()
    os._exit(128 + (signal.Signals[name] if name else signal.SIGTERM))
