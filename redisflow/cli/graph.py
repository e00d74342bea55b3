"""``redisflow graph``: the structure of a run as a picture, coloured by states."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from redisflow.cli.drawing import Picture, to_dot, to_mermaid, to_svg
from redisflow.cli.options import READING_STATUS, RunArgument, Url
from redisflow.cli.problems import UsageProblem
from redisflow.cli.terminal import say, whole_output
from redisflow.looking.flows import find_flow, read_view
from redisflow.looking.unreadable import backend_to_look

EPILOG = f"""\
[bold]Examples[/bold]

redisflow graph nightly --format svg > nightly.svg

redisflow graph nightly --to nightly.svg

redisflow graph nightly | dot -Tpng > nightly.png

redisflow graph nightly --format mermaid

{READING_STATUS}
"""


class Format(StrEnum):
    """What a picture is written as."""

    DOT = "dot"
    MERMAID = "mermaid"
    SVG = "svg"


_ENDINGS = {
    ".dot": Format.DOT,
    ".gv": Format.DOT,
    ".mmd": Format.MERMAID,
    ".mermaid": Format.MERMAID,
    ".svg": Format.SVG,
}
_WRITERS = {Format.DOT: to_dot, Format.MERMAID: to_mermaid, Format.SVG: to_svg}


def graph(
    run: RunArgument,
    *,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="Graphviz' dot, mermaid, or SVG, which is drawn here. Without it, what"
            " the ending of --to says, or else dot.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Write it there, not to stdout.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Draw the structure of a run, coloured by the states of its atoms."""
    write = _WRITERS[form or _format_of(to)]
    with contextlib.closing(backend_to_look(url)) as backend:
        view = read_view(backend, find_flow(backend, run))
    if not view.nodes:
        say("the flow's structure is not in Redis yet: the picture is empty")
    text = write(Picture.of(view))
    if to is None:
        with whole_output():
            sys.stdout.write(text)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageProblem(f"--to {to}: {error.strerror}") from error


def _format_of(to: Path | None) -> Format:
    """Tell by the ending of a file's name how it is written.

    Raises:
        UsageProblem: nothing here is written with that ending.
    """
    if to is None:
        return Format.DOT
    if to.suffix not in _ENDINGS:
        known = ", ".join(_ENDINGS)
        raise UsageProblem(f"--to {to}: say --format, or end it with one of {known}")
    return _ENDINGS[to.suffix]
