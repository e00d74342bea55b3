"""What a shell offers when it completes a run: ids of the newest ones.

A key was pressed and somebody waits: whatever goes wrong, or takes long, offers
nothing. No server is started for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice

from redisflow.cli.listing import WantedRuns, list_runs
from redisflow.config import parse_url
from redisflow.embedded import status
from redisflow.persistence import RedisBackend

_OFFERED = 50
_DEADLINE_S = 1.0


def complete_run(incomplete: str) -> list[str]:
    """Offer the run ids, or else the uuids, that begin with what is typed."""
    try:
        if parse_url(None).kind == "embedded" and status() is None:
            return []
        with contextlib.closing(RedisBackend({"deadline_s": _DEADLINE_S})) as backend:
            return list(islice(_beginning_with(backend, incomplete), _OFFERED))
    except Exception:  # noqa: BLE001  nobody could be told
        return []


def _beginning_with(backend: RedisBackend, incomplete: str) -> Iterator[str]:
    for run in list_runs(backend, WantedRuns()):
        name = run.run_id if run.run_id is not None else run.flow_uuid
        if name.startswith(incomplete):
            yield name
