"""Showing what was read: to people, or to programs; once, or again and again.

A command that reads gives a `Report`: one and the same reading, as text, as one JSON
document, and as records. Only what is asked for is made of it.

On a terminal ``--watch`` has the screen for itself, and leaves the last reading on it.
Elsewhere readings follow each other: paragraphs, documents, or records. A server that
is away for a while is told of, and waited for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.console import BAD, console_on
from redisflow.cli.options import Output
from redisflow.cli.problems import Status, line_of
from redisflow.cli.terminal import discard_output, is_terminal, say, whole_output
from redisflow.codec import Codec, dumps_plain, loads_plain
from redisflow.errors import Unavailable, ValueRefused

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


@dataclass(frozen=True, slots=True)
class Report:
    """What was read.

    Attributes:
        human: prints it for a person.
        document: gives it as one JSON document.
        records: gives it as records, one for each line.
    """

    human: Callable[[Console], None]
    document: Callable[[], Mapping[str, Any]]
    records: Callable[[], Iterable[Mapping[str, Any]]]


def json_text(document: Any, output: Output) -> str:
    """Write a document for ``-o json``, indented, or for ``-o jsonl``, in one line."""
    return dumps_plain(document, indent=output is Output.JSON).decode() + "\n"


def json_value(value: Any) -> Any:
    """Give a value as JSON: tagged as it is in Redis, or else its repr."""
    try:
        return loads_plain(Codec().encode(value))
    except ValueRefused:
        return {"$repr": repr(value)}


def show_report(
    read: Callable[[], Report], output: Output, watch_s: float | None = None
) -> None:
    """Read and show, once or every ``watch_s`` seconds; Ctrl-C ends that."""
    if watch_s is None:
        report = read()
        with whole_output():
            _print(report, output)
        return
    try:
        if output is Output.HUMAN and is_terminal(sys.stdout):
            _watch_screen(read, watch_s)
        else:
            _watch_lines(read, output, watch_s)
    except KeyboardInterrupt:
        raise typer.Exit(Status.INTERRUPTED) from None


def _print(report: Report, output: Output) -> None:
    if output is Output.HUMAN:
        report.human(console_on(sys.stdout))
    elif output is Output.JSON:
        sys.stdout.write(json_text(report.document(), output))
    else:
        for record in report.records():
            sys.stdout.write(json_text(record, output))


def _watch_lines(read: Callable[[], Report], output: Output, watch_s: float) -> None:
    between = ""
    while True:
        try:
            report = read()
        except Unavailable as error:
            say(line_of(error))
        else:
            if not _taken(report, output, between):
                return
            between = "\n" if output is Output.HUMAN else ""
        _pause(watch_s)


def _taken(report: Report, output: Output, before: str) -> bool:
    """Print a reading; tells whether there is still somebody who takes it."""
    try:
        sys.stdout.write(before)
        _print(report, output)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        return False
    return True


def _watch_screen(read: Callable[[], Report], watch_s: float) -> None:
    frame = ""
    sys.stdout.write(_ENTER)
    try:
        while True:
            console = console_on(sys.stdout)
            note = Text(f"every {watch_s:g} s, Ctrl-C ends", "dim")
            try:
                report = read()
            except Unavailable as error:
                note = Text(line_of(error), BAD)
            else:
                frame = _drawn(console, report)
            _show_frame(console, frame, note)
            _pause(watch_s)
    finally:
        sys.stdout.write(f"{_LEAVE}{frame}")
        sys.stdout.flush()


def _drawn(console: Console, report: Report) -> str:
    with console.capture() as capture:
        report.human(console)
    return capture.get()


def _show_frame(console: Console, frame: str, note: Text) -> None:
    """Fill the screen with as much of a frame as it has lines for."""
    with console.capture() as capture:
        console.print(note, no_wrap=True, overflow="ellipsis", end="")
    lines = [*_rows(console, frame)[: console.height - 1], capture.get()]
    text = f"{_REST_OF_LINE}\r\n".join(lines)
    sys.stdout.write(f"{_HOME}{text}{_REST_OF_LINE}{_REST_OF_SCREEN}")
    sys.stdout.flush()


def _rows(console: Console, frame: str) -> list[str]:
    """Cut a frame into lines as wide as the screen."""
    rows: list[str] = []
    for line in frame.splitlines():
        text = Text.from_ansi(line)
        for part in text.wrap(console, console.width) if text else [text]:
            with console.capture() as capture:
                console.print(part, end="", soft_wrap=True)
            rows.append(capture.get())
    return rows


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
