"""Write the reference of the commands, docs/cli.md, from the program's own help."""

from __future__ import annotations

import argparse
import enum
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from redisflow.cli.app import app
from redisflow.cli.commands import Deferred

_HEAD = """\
# The command line

This page is made from the program's own help by `make reference`; `redisflow COMMAND
--help` says the same.

## Names in the JSON

`-o json` prints one document, `-o jsonl` one record a line. A name means the same in
all of them:
"""

#: Name of a member of the JSON -> what it is.
NAMES = {
    "run_id": "what the run was named; null if it was not",
    "flow_uuid": "the uuid of its flow; null for what belongs to no run",
    "name": "the name of the flow, or of the atom whose record it is",
    "state": "the state of the run, or of the atom whose record it is",
    "run": "how many times the flow was started, with this one",
    "ended": "the number of the last run that has ended; 0 if none has",
    "submitted": "whether it is left to workers who have not begun, or not ended, it",
    "cancelled": "`who` has cancelled the run, and the `reason`; null if nobody has",
    "counts": "how many atoms are in each state",
    "atom": "the name of the atom that it is about; null for the flow itself",
    "intention": "what is to be done with an atom: EXECUTE, REVERT, RETRY or IGNORE",
    "worker": "the id of a worker, or of who did it: host, process, tag",
    "in_flow": "the number of the node where the flow around it begins",
    "…_at": "a time of the server, in UTC; null for what has not happened",
    "…_s": "seconds, to the millisecond",
}


def reference() -> str:
    """Write the page."""
    root: Any = typer.main.get_command(app)
    rows = [f"| `{name}` | {what} |" for name, what in NAMES.items()]
    names = "\n".join(["| | |", "|---|---|", *rows])
    parts = [_HEAD.strip(), names, *_sections("redisflow", root, 2)]
    return "\n\n".join(parts) + "\n"


def _sections(name: str, command: Any, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} `{name}`"
    yield _plain(command.help)
    if rows := [_row(param) for param in command.params if not param.hidden]:
        yield "\n".join(["| | |", "|---|---|", *rows])
    if command.epilog:
        yield _plain(command.epilog)
    for word, found in getattr(command, "commands", {}).items():
        each = found.imported if isinstance(found, Deferred) else found
        yield from _sections(f"{name} {word}", each, depth + (name != "redisflow"))


def _row(param: Any) -> str:
    names = ", ".join(f"`{option}`" for option in param.opts if option.startswith("-"))
    if not names:
        names = f"`{param.metavar or param.name.upper()}`"
    elif param.metavar:
        names += f" `{param.metavar}`"
    text = " ".join((getattr(param, "help", None) or "").split())
    return f"| {names} | {' '.join([text, *_limits(param)])} |".replace(
        "N|NAME", "N\\|NAME"
    )


def _limits(param: Any) -> Iterator[str]:
    """Tell what typer adds to a help: choices, default, whether it is required."""
    kind, default = param.type_descriptor.annotation, param.default
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        yield f"One of {', '.join(f'`{_word(choice)}`' for choice in kind)}."
    if param.required and param.opts[0].startswith("-"):
        yield "Required."
    elif param.show_default and default is not None and not isinstance(default, bool):
        yield f"Default: {_word(default)}."


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value.value if isinstance(value, enum.Enum) else value)


def _plain(text: str | None) -> str:
    """Turn the marks of help texts into Markdown's."""
    parts = []
    for part in (text or "").split("\n\n"):
        if part.startswith(("redisflow ", "redis-cli ")):
            parts.append(f"    {part}")
        else:
            parts.append(re.sub(r"\[bold\](.*?)\[/bold\]", r"**\1**", part))
    return "\n\n".join(parts)


def main() -> None:
    """Write the page into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.parse_args().file.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
