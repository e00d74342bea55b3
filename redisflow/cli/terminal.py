"""Where commands print: results to standard output, all else to standard error.

Lines that tell something are written here as they are; what has a form is printed by a
`console`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TextIO

import typer

from redisflow.cli.problems import UsageProblem
from redisflow.looking.texts import one_line

_DEBUG = "REDISFLOW_DEBUG"

#: Wide enough for whatever is piped.
PIPED_WIDTH = 10_000
_USUAL_WIDTH = 80


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a stream shows to a person, on a terminal that can move up."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def width_of(stream: TextIO) -> int:
    """Tell how wide the terminal is that a stream shows on."""
    with contextlib.suppress(OSError):
        if columns := os.get_terminal_size(stream.fileno()).columns:
            return min(columns, PIPED_WIDTH - 1)
    return _USUAL_WIDTH


def debugging() -> bool:
    """Tell whether tracebacks are wanted."""
    return os.environ.get(_DEBUG, "0") not in ("", "0")


def say(text: str) -> None:
    """Tell something in a line on standard error; a terminal's are broken at words.

    Words are kept whole, so that a path, or a URL, can be taken from the terminal.
    """
    lines = [f"redisflow: {one_line(text)}"]
    if sys.stderr.isatty():
        lines = textwrap.wrap(
            lines[0],
            width_of(sys.stderr),
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    sys.stderr.write("\n".join(lines) + "\n")
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
        UsageProblem: there is nobody to ask, or the answer was no.
        Abort: it was interrupted.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageProblem("nobody is there to be asked: --yes does it without")
    if not typer.confirm(one_line(question), err=True):
        raise UsageProblem("the answer was no: nothing was done")


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
