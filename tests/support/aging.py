"""Time that passes at once, for what is left alone as long as it is new."""

from __future__ import annotations

from typing import Any

import redis


def age_indexes(admin: redis.Redis, namespace: str, minutes: int = 2) -> None:
    """Let all entries of the indexes be older."""
    for name in ("flows", "books"):
        index = f"{namespace}:{name}"
        uuids: Any = admin.zrange(index, 0, -1)
        for uuid in uuids:
            admin.zincrby(index, -60_000 * minutes, uuid)
