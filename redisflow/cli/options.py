"""Options that several commands take, and how their values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from redisflow.cli.problems import UsageProblem
from redisflow.codec import Codec
from redisflow.errors import ValueRefused


class Output(StrEnum):
    """What is printed on standard output."""

    HUMAN = "human"
    JSON = "json"


Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The server: redis://, rediss://, unix://, redis+sentinel:// or"
        " redis+cluster://. Without it: $REDISFLOW_URL, or else the embedded server.",
        show_default=False,
        rich_help_panel="Server",
    ),
]
MaskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mask",
        metavar="NAME",
        help="Show *** for values of this name, a pattern with * and ?, besides those"
        " whose names say password, secret, token, key and the like. Repeatable.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run id, the uuid of a flow, or at least four characters that it begins"
        " with.",
        show_default=False,
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "--output", "-o", help="Tables and text, or one JSON document on stdout."
    ),
]


def paragraphs(text: str | None) -> str:
    """Join the lines of each paragraph: help flows to the width of the terminal."""
    found = re.split(r"\n\s*\n", (text or "").strip())
    return "\n\n".join(" ".join(part.split()) for part in found)


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Read the values of a repeated ``name=value`` option.

    A value is JSON if it parses as such, and text otherwise.

    >>> read_pairs("--arg", ["n=3", "path=/srv", "sizes=[1, 2]", 'quoted="3"'])
    {'n': 3, 'path': '/srv', 'sizes': [1, 2], 'quoted': '3'}

    Raises:
        UsageProblem: one has no name, or one that was there before, or its value
            cannot be stored.
    """
    pairs: dict[str, Any] = {}
    for number, text in enumerate(texts, 1):
        name, separator, value = text.partition("=")
        if not separator or not name:
            # The text may be the value alone, and that a secret.
            which = f" number {number}" if len(texts) > 1 else ""
            raise UsageProblem(f"{option}{which} has no name: write it as NAME=VALUE")
        if name in pairs:
            raise UsageProblem(f"{option} {name!r} is given twice")
        pairs[name] = _value(f"{option} {name!r}", value)
    return pairs


def _value(what: str, text: str) -> Any:
    value: Any = text
    try:
        value = json.loads(text, parse_constant=_no_json)
    except ValueError:
        pass  # then it is text
    except RecursionError:
        raise UsageProblem(f"{what}: nested too deeply") from None
    try:
        Codec().encode(value)
    except ValueRefused as error:
        raise UsageProblem(f"{what}: {error}") from None
    return value


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and the infinities are no JSON
