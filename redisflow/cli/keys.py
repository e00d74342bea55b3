"""``redisflow keys``: the redis-cli commands that show a run by hand."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.completion import complete_atom
from redisflow.cli.options import (
    READING_STATUS,
    Output,
    OutputOption,
    RunArgument,
    Url,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.reports import Report, show_report
from redisflow.config import Config
from redisflow.embedded import status
from redisflow.keys import FlowKeys
from redisflow.looking.flows import find_flow
from redisflow.looking.unreadable import backend_to_look
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_many

EPILOG = f"""\
[bold]Examples[/bold]

redisflow keys nightly

redisflow keys nightly upload

redisflow keys nightly -o jsonl | jq -r .command | head -1 | sh

Each line can be pasted into a shell; all of them only read. A password is left out: set
REDISCLI_AUTH.

{READING_STATUS}
"""


@dataclass(frozen=True, slots=True)
class _Look:
    """A command that shows something.

    Attributes:
        what: what it shows.
        key: the key that it looks at.
        words: the command, without the program and the server.
    """

    what: str
    key: str
    words: tuple[str, ...]


def keys(
    run: RunArgument,
    atom: Annotated[
        str | None,
        typer.Argument(
            metavar="[ATOM]",
            help="The name of an atom: how to look at it, too.",
            show_default=False,
            autocompletion=complete_atom,
        ),
    ] = None,
    *,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Print the redis-cli commands that show a run by hand.

    Nothing in Redis needs a decoder: states are words, results are JSON.
    """
    with contextlib.closing(backend_to_look(url)) as backend:
        found = backend.keys.of_flow(find_flow(backend, run))
        looks = [*_of_atom(backend, found, atom)] if atom else []
        looks += _of_flow(found)
        program = _program(backend.config)

    def read() -> Report:
        return Report(
            human=lambda console: _print(looks, program, console),
            document=lambda: {"keys": [_record(look, program) for look in looks]},
            records=lambda: (_record(look, program) for look in looks),
        )

    show_report(read, output)


def _of_flow(keys: FlowKeys) -> Iterator[_Look]:
    yield _Look("the flow: state, run, rev, metadata", keys.flow, ("HGETALL",))
    yield _Look("names and uuids of its atoms", keys.atoms, ("HGETALL",))
    yield _Look(
        "one atom; its results stand under …:result:<uuid>",
        keys.atom("<uuid>"),
        ("HGETALL",),
    )
    yield _Look("the last entries of the journal", keys.events, ("XREVRANGE",))
    yield _Look("workers, and when their leases end", keys.workers, ("ZRANGE",))
    yield _Look("who holds which work item, with its token", keys.claims, ("HGETALL",))
    yield _Look("items that may be taken now", keys.ready, ("ZRANGE",))
    yield _Look("the structure: nodes and links", keys.graph, ("HGETALL",))
    yield _Look("what each node still waits for", keys.missing, ("HGETALL",))
    yield _Look("a change in progress; declined items", keys.plan, ("HGETALL",))
    yield _Look("which atoms changed last", keys.changes, ("ZREVRANGE",))
    yield _Look("the flow's lock: held how, fence, deadline", keys.lock, ("HGETALL",))
    yield _Look("who holds the lock or waits for it", keys.lock_owners, ("HGETALL",))


#: What stands after the key.
_REST = {
    "XREVRANGE": ("+", "-", "COUNT", "20"),
    "ZRANGE": ("0", "99", "WITHSCORES"),
    "ZREVRANGE": ("0", "19", "WITHSCORES"),
}


def _of_atom(backend: RedisBackend, keys: FlowKeys, name: str) -> Iterator[_Look]:
    (uuid,) = run_many(backend.client, [("HGET", keys.atoms, name)])
    if not uuid:
        raise UsageProblem(f"flow {keys.flow_uuid} has no atom {name!r}")
    atom = uuid.decode()
    yield _Look(f"{name}: state, owner, times", keys.atom(atom), ("HGETALL",))
    yield _Look(f"{name}: results and failures", keys.result(atom), ("HGETALL",))


def _program(config: Config) -> list[str]:
    """Name the program, with how it reaches the server."""
    words = ["redis-cli"]
    if config.kind == "embedded":
        found = status()
        return words + ([] if found is None else ["-s", str(found.socket_path)])
    if config.kind == "unix":
        words += ["-s", str(config.path)]
    elif config.kind == "sentinel":
        words += ["-h", "<primary>"]
    else:
        host, port = config.hosts[0]
        words += ["-h", host, "-p", str(port)]
    words += ["-c"] if config.kind == "cluster" else []
    words += ["--tls"] if config.tls else []
    words += ["--user", config.username] if config.username else []
    return words + (["-n", str(config.db)] if config.db else [])


def _command(look: _Look, program: list[str]) -> str:
    words = [*program, *look.words, look.key, *_REST.get(look.words[0], ())]
    return shlex.join(words)


def _print(looks: list[_Look], program: list[str], console: Console) -> None:
    for look in looks:
        console.print(Text(f"# {look.what}", "dim"), soft_wrap=True)
        console.print(Text(_command(look, program)), soft_wrap=True)


def _record(look: _Look, program: list[str]) -> dict[str, Any]:
    return {
        "what": look.what,
        "key": look.key,
        "command": _command(look, program),
    }
