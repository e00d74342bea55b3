"""Runs that are damaged: they keep nobody from seeing the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from redisflow.cli.terminal import say
from redisflow.looking.listing import RunSummary

_NAMED = 3


class DamagedRuns:
    """Runs that cannot be read: each is told of once, on standard error."""

    def __init__(self) -> None:
        self._uuids: dict[str, None] = {}
        self._told = 0

    def add(self, flow_uuid: str) -> None:
        """Note one."""
        self._uuids[flow_uuid] = None

    def tell(self) -> None:
        """Say which there are since the last time."""
        fresh = list(self._uuids)[self._told :]
        self._told = len(self._uuids)
        if not fresh:
            return
        number = f"{len(fresh):,} run{'' if len(fresh) == 1 else 's'}"
        names = ", ".join(fresh[:_NAMED]) + (", …" if len(fresh) > _NAMED else "")
        say(f"{number} cannot be read: see redisflow doctor {names}")


def readable_of(
    runs: Iterable[RunSummary], damaged: DamagedRuns
) -> Iterator[RunSummary]:
    """Give the runs that can be read, and note the others."""
    for each in runs:
        if each.readable:
            yield each
        else:
            damaged.add(each.flow_uuid)
