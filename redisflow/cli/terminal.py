"""Where commands print: results to standard output, all else to standard error.

Control codes go to terminals only, whatever the environment says of colours; within
terminals ``NO_COLOR`` is honoured, and ``TERM=dumb`` counts as no terminal. What is
piped is never cut to a width.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TextIO

import typer
from rich.console import Console

from redisflow.cli.problems import UsageProblem, one_line

_DEBUG = "REDISFLOW_DEBUG"

#: Wide enough for whatever is piped.
_PIPED_WIDTH = 10_000


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a stream shows to a person, on a terminal that can move up."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def console_on(stream: TextIO) -> Console:
    """Make a console that writes to a stream."""
    live = is_terminal(stream)
    return Console(
        file=stream,
        force_terminal=live,
        force_jupyter=False,
        color_system="auto" if live else None,
        width=None if live else _PIPED_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not live,
    )


def debugging() -> bool:
    """Tell whether tracebacks are wanted."""
    return os.environ.get(_DEBUG, "0") not in ("", "0")


def say(text: str) -> None:
    """Tell something in a line on standard error."""
    sys.stderr.write(f"redisflow: {one_line(text)}\n")
    sys.stderr.flush()


class Progress:
    """Tells now and then how far something is.

    Args:
        every_s: seconds between two lines.
    """

    def __init__(self, every_s: float = 2.0) -> None:
        self._every_s = every_s
        self._told_at = monotonic()

    def tell(self, text: Callable[[], str]) -> None:
        """Say it, if the last line was some time ago."""
        if monotonic() - self._told_at > self._every_s:
            self._told_at = monotonic()
            say(text())


def confirm(question: str, *, yes: bool) -> None:
    """Ask for a yes, unless it was given with ``--yes``.

    Raises:
        UsageProblem: there is nobody to ask.
        Abort: the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem("nobody is there to be asked: --yes does it without")
    typer.confirm(one_line(question), abort=True, err=True)


@contextlib.contextmanager
def whole_output() -> Iterator[TextIO]:
    """Give standard output to write to; whoever reads it may have gone."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Let standard output lead nowhere: whoever read it has gone.

    The interpreter flushes once more at its end, and would complain.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def duration(seconds: float) -> str:
    """Write a time taken, in two units at most.

    >>> [duration(s) for s in (0.0312, 4.25, 59.99, 185, 7260, 200_000)]
    ['31ms', '4.2s', '1m00s', '3m05s', '2h01m', '2d07h']
    """
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 59.95:  # noqa: PLR2004  # what rounds to less than a minute
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def worker_text(worker: str) -> str:
    """Shorten a worker's id: its process id, with the host where that is another.

    >>> worker_text("elsewhere:4711:0badcafe")
    'elsewhere:4711'
    """
    host, _, pid = worker.rpartition(":")[0].rpartition(":")
    if host == os.uname().nodename[:24]:
        return pid
    return f"{host}:{pid}" if host else worker
