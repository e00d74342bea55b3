"""Options that several commands take, and how their values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import typer

from redisflow.cli.completion import complete_run
from redisflow.cli.problems import UsageProblem
from redisflow.codec import Codec
from redisflow.errors import ValueRefused
from redisflow.persistence.names import FLOW_STATES


class Output(StrEnum):
    """What is printed on standard output."""

    HUMAN = "human"
    JSON = "json"
    JSONL = "jsonl"


_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_AGE = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")


def age_of(text: str) -> float:
    """Read an age, in seconds.

    >>> [age_of(text) for text in ("45s", "30m", "2h", "7d", "1d12h")]
    [45.0, 1800.0, 7200.0, 604800.0, 129600.0]

    Raises:
        BadParameter: it is none.
    """
    if not _AGE.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no age: write 45s, 30m, 2h, 7d or 1d12h")
    parts = re.findall(r"([\d.]+)([dhms])", text)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def state_of_flow(text: str) -> str:
    """Read a state of flows, in letters of any case.

    Raises:
        BadParameter: TaskFlow has no such state.
    """
    if text.upper() not in FLOW_STATES:
        known = ", ".join(FLOW_STATES)
        raise typer.BadParameter(f"{text!r} is not a state of flows: {known}")
    return text.upper()


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
        help="A run id, the uuid of a flow, or the first four or more characters of"
        " that uuid.",
        show_default=False,
        autocompletion=complete_run,
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "--output",
        "-o",
        help="On stdout: text for people, one JSON document, or one JSON record a"
        " line.",
    ),
]
WatchOption = Annotated[
    float | None,
    typer.Option(
        "--watch",
        metavar="[=SECONDS]",
        min=0.1,
        help="Show it again and again, every 2 seconds or as often as you say, until"
        " Ctrl-C.",
        show_default=False,
    ),
]

# Which runs.

StatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        parser=state_of_flow,
        autocompletion=lambda: [*FLOW_STATES],
        help="Only runs in this state. Repeatable.",
        show_default=False,
        rich_help_panel="Which runs",
    ),
]
OlderOption = Annotated[
    float | None,
    typer.Option(
        "--older",
        metavar="AGE",
        parser=age_of,
        help="Only runs created longer ago than this: 45s, 30m, 2h, 7d.",
        show_default=False,
        rich_help_panel="Which runs",
    ),
]
IdleOption = Annotated[
    float | None,
    typer.Option(
        "--older",
        metavar="AGE",
        parser=age_of,
        help="Runs that ended, and in which nothing has changed for longer than this:"
        " 45s, 30m, 2h, 7d.",
        show_default=False,
        rich_help_panel="Which runs",
    ),
]
NewerOption = Annotated[
    float | None,
    typer.Option(
        "--newer",
        metavar="AGE",
        parser=age_of,
        help="Only runs created within this time: 45s, 30m, 2h, 7d.",
        show_default=False,
        rich_help_panel="Which runs",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="GLOB",
        help="Only runs whose run id or flow's name matches, like 'order-*'.",
        show_default=False,
        rich_help_panel="Which runs",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="At most this many runs.",
        rich_help_panel="Which runs",
    ),
]

# Changes.

YesOption = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Do not ask first. Needed where standard input is no terminal.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Tell what would be done, or refused, and do nothing."
    ),
]
ReasonOption = Annotated[
    str,
    typer.Option(
        "--reason",
        metavar="TEXT",
        help="The reason, for the journal (of a lock: for who held it).",
        show_default=False,
    ),
]

# Flows that are started.

ArgOption = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        metavar="NAME=VALUE",
        help="Keyword argument of the factory, JSON or else text. Repeatable.",
        show_default=False,
        rich_help_panel="Flow",
    ),
]
StoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="NAME=VALUE",
        help="Value for the flow's atoms, JSON or else text. Repeatable.",
        show_default=False,
        rich_help_panel="Flow",
    ),
]
RunIdOption = Annotated[
    str | None,
    typer.Option(
        "--run-id",
        metavar="ID",
        help="Names the run: with the same id it is shared, resumed or looked at. Made"
        " up at random if not given.",
        show_default=False,
        rich_help_panel="Flow",
    ),
]

RetentionOption = Annotated[
    float | None,
    typer.Option(
        "--retention",
        metavar="AGE",
        parser=age_of,
        help="For how long the run stays once it has ended: 45s, 30m, 2h, 7d. Without"
        " it: for good, or as the URL's retention_s says.",
        show_default=False,
        rich_help_panel="Flow",
    ),
]


class Durability(StrEnum):
    """When a claim or a result counts."""

    SERVER = "server"
    REPLICATED = "replicated"


DurabilityOption = Annotated[
    Durability,
    typer.Option(
        help="When claims and results count: once the server has them, or its replicas,"
        " too.",
        rich_help_panel="Flow",
    ),
]
ReplicasOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="With --durability replicated: how many replicas have to have it. Without"
        " it: all that are connected, and at least one.",
        show_default=False,
        rich_help_panel="Flow",
    ),
]

#: What commands that only read say of how they end.
READING_STATUS = "[bold]Exit status[/bold]: 0 shown, 2 usage or no such run, 4 server."


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


def options_of(
    retention_s: float | None, durability: Durability, replicas: int | None
) -> dict[str, Any]:
    """Give the engines' options of a flow that were asked for.

    Raises:
        UsageProblem: replicas are counted, and not waited for.
    """
    options: dict[str, Any] = {"retention_s": retention_s, "replicas": replicas}
    if durability is Durability.REPLICATED:
        options["durability"] = str(durability)
    elif replicas is not None:
        raise UsageProblem("--replicas goes with --durability replicated")
    return {name: value for name, value in options.items() if value is not None}
