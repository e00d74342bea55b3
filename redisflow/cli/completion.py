"""What a shell offers: ids of the newest runs, and names of a run's atoms.

A key was pressed and somebody waits: whatever goes wrong, or takes long, offers
nothing. No server is started for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import islice

import typer

from redisflow.arguments import INJECTOR
from redisflow.config import parse_url
from redisflow.embedded import status
from redisflow.looking.flows import find_flow
from redisflow.looking.listing import WantedRuns, list_runs
from redisflow.persistence import RedisBackend

_OFFERED = 50
_DEADLINE_S = 1.0


def complete_run(incomplete: str) -> list[str]:
    """Offer the run ids, or else the uuids, that begin with what is typed."""
    return _offered(lambda backend: _runs(backend, incomplete))


def complete_atom(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the names of atoms of the run that was typed before."""
    run = str(ctx.params.get("run", ""))
    return _offered(lambda backend: _atoms(backend, run, incomplete))


def _offered(find: Callable[[RedisBackend], Iterator[str]]) -> list[str]:
    try:
        if parse_url(None).kind == "embedded" and status() is None:
            return []
        with contextlib.closing(RedisBackend({"deadline_s": _DEADLINE_S})) as backend:
            return list(islice(find(backend), _OFFERED))
    except Exception:  # noqa: BLE001  nobody could be told
        return []


def _runs(backend: RedisBackend, incomplete: str) -> Iterator[str]:
    for run in list_runs(backend, WantedRuns()):
        name = run.run_id if run.run_id is not None else run.flow_uuid
        if name.startswith(incomplete):
            yield name


def _atoms(backend: RedisBackend, run: str, incomplete: str) -> Iterator[str]:
    key = backend.keys.of_flow(find_flow(backend, run)).atoms
    for name in sorted(backend.client.execute("HKEYS", key)):
        text = name.decode(errors="replace")
        if text and text != INJECTOR and text.startswith(incomplete):
            yield text
