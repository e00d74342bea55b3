"""``redisflow bench``: what redisflow does on this server, from here."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.console import console_on
from redisflow.cli.layout import print_table
from redisflow.cli.options import Output, OutputOption, Url
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import is_terminal, say, whole_output
from redisflow.measuring import ROUNDS, Result, measure, measuring
from redisflow.persistence import RedisBackend

EPILOG = """\
[bold]Examples[/bold]

redisflow bench

redisflow bench --url redis://db1:6379/0 --seconds 30 -o json

OF BARE compares with as many bare EVALSHA as it would take at least, one of them for
an atom and two for a lock: it hardly depends on the machine. What costs a round trip
of a millisecond is bound by it. All keys are under the namespace, :bench- and a random
word, and are removed in the end, with Ctrl-C too.

[bold]Exit status[/bold]: 0 measured, 2 usage, 4 server, 130 interrupted.
"""


def bench(
    *,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            metavar="N",
            min=0.5,
            max=3600,
            help="For how long, more or less.",
        ),
    ] = 10.0,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Measure for some seconds what redisflow does on this server.

    Round trips, bare scripts, writes of a storage, sections of a lock, and atoms of a
    flow with one worker in this process. It makes a load: other users of the server
    will notice.
    """
    with contextlib.closing(measuring(url)) as backend, _ending():
        space = backend.keys.namespace
        say(f"measuring {backend.config.address} for {seconds:g} s, under {space}")
        results = measure(backend, seconds=seconds, told=_told)
        about = _about(backend, seconds)
    with whole_output() as stream:
        if output is Output.HUMAN:
            _print(console_on(sys.stdout), results)
        elif output is Output.JSON:
            document = {**about, "measures": [*map(_record, *_paired(results))]}
            stream.write(json_text(document, output))
        else:
            for record in map(_record, *_paired(results)):
                stream.write(json_text(record, output))


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Let SIGTERM end it as Ctrl-C does: what was made is removed."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(number: int) -> None:
    if is_terminal(sys.stderr):
        say(f"round {number} of {ROUNDS}")


def _about(backend: RedisBackend, seconds: float) -> dict[str, Any]:
    info = backend.client.server_info()
    return {
        "server": backend.config.address,
        "kind": info.kind if info else None,
        "version": ".".join(map(str, info.version)) if info else None,
        "seconds": seconds,
        "rounds": ROUNDS,
    }


def _paired(results: Mapping[str, Result]) -> tuple[list[Result], list[float | None]]:
    """Give what was measured, each with its ratio to bare calls."""
    bare = results["evalsha"].median
    each = list(results.values())
    return each, [
        result.median * result.measure.ideal / bare if result.measure.ideal else None
        for result in each
    ]


def _record(result: Result, ratio: float | None) -> dict[str, Any]:
    return {
        "name": result.measure.name,
        "text": result.measure.text,
        "unit": "per second",
        "median": round(result.median, 1),
        "lowest": round(min(result.rates), 1),
        "highest": round(max(result.rates), 1),
        "ms_each": round(1000 / result.median, 4),
        "of_bare": None if ratio is None else round(ratio, 3),
        "rates": [round(rate, 1) for rate in result.rates],
    }


def _print(console: Console, results: Mapping[str, Result]) -> None:
    rows: list[dict[str, str | Text]] = [
        {
            "WHAT": result.measure.text,
            "PER SECOND": f"{result.median:,.0f}",
            "LOWEST": f"{min(result.rates):,.0f}",
            "HIGHEST": f"{max(result.rates):,.0f}",
            "MS EACH": f"{1000 / result.median:.3f}",
            "OF BARE": "" if ratio is None else f"{ratio:.2f}",
        }
        for result, ratio in zip(*_paired(results), strict=True)
    ]
    numeric = ("PER SECOND", "LOWEST", "HIGHEST", "MS EACH", "OF BARE")
    print_table(console, rows, numeric=numeric, whole=("WHAT",))
