"""Copying logbooks between persistence backends of TaskFlow, by their public interface.

::

    of each flow      the target has        what is done
    ────────────      ──────────────        ─────────────────────────────────────────
    in the source     nothing of it         it is copied, read again and compared
                      a part, else equal    what is lacking is added: a migration that
                                            was cut short goes on
                      the same              nothing
                      something else        nothing: it is refused, and named

Nothing is ever overwritten or removed, on either side. A flow that redisflow's workers
are at is refused: what is copied would be of many moments. Backends keep different
things: what comes back otherwise than it was written (a tuple as a list) is named.

Logbooks go one by one; all flows of one that are to be written are in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from taskflow import exceptions
from taskflow.persistence import base, models

from redisflow.errors import NotFound, ValueRefused
from redisflow.moving.details import compare_books, compare_flows
from redisflow.persistence import RedisBackend
from redisflow.persistence.records import version_text

Fate = Literal[
    "copied", "completed", "equal", "differs", "at work", "refused", "altered"
]

#: What is not as it should be in the end.
BAD: tuple[Fate, ...] = ("differs", "at work", "refused", "altered")

_NAMED = 5
_CHANGED = "it has changed meanwhile: somebody is at work on it"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What became of a flow, or of a logbook that has none, or that is refused.

    Attributes:
        book_uuid: of the logbook.
        book: its name.
        flow_uuid: of the flow; empty where it is about the logbook.
        flow: its name.
        result: what became of it; in a dry run, what would.
        atoms: how many of its atoms were written.
        why: what is otherwise, or why it was refused.
    """

    book_uuid: str
    book: str
    flow_uuid: str
    flow: str
    result: Fate
    atoms: int = 0
    why: str = ""


def books_of(source: base.Connection, wanted: str | None) -> list[models.LogBook]:
    """Find logbooks, without their flows.

    Args:
        source: where they are.
        wanted: the name or the uuid of one; None for all.

    Raises:
        NotFound: there is none of that name.
    """
    found = [
        book
        for book in source.get_logbooks(lazy=True)
        if wanted is None or wanted in (book.name, book.uuid)
    ]
    if wanted is not None and not found:
        raise NotFound(f"there is no logbook with the name or uuid {wanted!r}")
    return found


def migrate(
    source: base.Connection,
    target: base.Connection | None,
    books: Sequence[models.LogBook],
    *,
    dry_run: bool = False,
) -> Iterator[Migrated]:
    """Copy logbooks with all that is in them; gives what became of each flow.

    Args:
        source: where they are.
        target: where they are to be; None for a place that is not there yet.
        books: those of the source, without their flows.
        dry_run: only look.

    Raises:
        StorageFailure: one of the backends did not do it.
    """
    for book in books:
        move = _Book(source, target, book)
        yield from move.look()
        if not dry_run:
            move.write()
        yield from move.done


class _Book:
    """One logbook on its way."""

    def __init__(
        self,
        source: base.Connection,
        target: base.Connection | None,
        book: models.LogBook,
    ) -> None:
        self._source = source
        self._target = target
        self._book = book
        self._new = True
        self._flows: list[models.FlowDetail] = []
        self._moments: dict[str, tuple[int, int]] = {}
        self._entered: set[str] = set()
        self.done: list[Migrated] = []

    def look(self) -> Iterator[Migrated]:
        """Compare; gives what is not to be written."""
        there = self._there()
        if there is not None:
            self._new = False
            flows = self._open().get_flows_for_book(self._book.uuid)
            self._entered = {flow.uuid for flow in flows}
            different = compare_books(self._book, there)
            if different:
                yield self._fate(None, "differs", why=f"its {', '.join(different)}")
                return
        count = 0
        for named in self._source.get_flows_for_book(self._book.uuid):
            count += 1
            before = _moment(self._source, named.uuid)
            flow = self._source.get_flow_details(named.uuid)
            if _moment(self._source, named.uuid) != before:
                yield self._fate(flow, "at work", why=_CHANGED)
                continue
            self._moments[flow.uuid] = before
            fate = self._look_at(flow)
            if fate.result in ("copied", "completed"):
                self._flows.append(flow)
                self.done.append(fate)
            else:
                yield fate
        if not count:
            self.done.append(self._fate(None, "copied" if self._new else "equal"))

    def write(self) -> None:
        """Write what is lacking, and look whether it comes back as it was."""
        if not self._new and not self._flows:
            return
        refused = self._save_all()
        for number, flow in enumerate(self._flows):
            if flow.uuid in refused:
                fate = self._fate(flow, "refused", why=refused[flow.uuid])
            else:
                fate = self._compared(flow, self.done[number])
            self.done[number] = fate

    def _save_all(self) -> dict[str, str]:
        """Write all flows; returns those that cannot be stored there, and why."""
        try:
            self._save(self._flows)
        except ValueRefused:  # nothing was written: each for itself
            refused: dict[str, str] = {}
            for flow in self._flows:
                try:
                    self._save([flow])
                except ValueRefused as error:
                    refused[flow.uuid] = str(error)
            return refused
        return {}

    def _compared(self, flow: models.FlowDetail, fate: Migrated) -> Migrated:
        """Read what was written, and tell what has become something else."""
        if _moment(self._source, flow.uuid) != self._moments[flow.uuid]:
            return self._fate(flow, "at work", why=_CHANGED, atoms=fate.atoms)
        there = self._open().get_flow_details(flow.uuid)
        found = compare_flows(flow, there)
        lost = [f"atom {atom.name} is not there" for atom in found.lacking]
        if not lost and not found.differences:
            return fate
        why = _several([*lost, *found.differences])
        return self._fate(flow, "altered", why=why, atoms=fate.atoms)

    def _open(self) -> base.Connection:
        if self._target is None:
            raise ValueError("there is no target to write to")
        return self._target

    def _save(self, flows: Sequence[models.FlowDetail]) -> None:
        book = models.LogBook(self._book.name, uuid=self._book.uuid)
        book.meta = dict(self._book.meta or {})
        book.created_at = self._book.created_at
        for flow in flows:
            for atom in flow:  # a version of several numbers is text everywhere else
                atom.version = version_text(atom.version) or None
            book.add(flow)
        book.updated_at = self._book.updated_at
        self._open().save_logbook(book)

    def _there(self) -> models.LogBook | None:
        if self._target is None:
            return None
        try:
            there: models.LogBook = self._target.get_logbook(self._book.uuid, lazy=True)
        except exceptions.NotFound:
            return None
        return there

    def _look_at(self, flow: models.FlowDetail) -> Migrated:
        if live := self._moments[flow.uuid][1]:
            why = f"{live} worker(s) are at work on it: suspend it first"
            return self._fate(flow, "at work", why=why)
        if self._target is None:
            return self._fate(flow, "copied", atoms=len(flow))
        try:
            there = self._target.get_flow_details(flow.uuid)
        except exceptions.NotFound:
            return self._fate(flow, "copied", atoms=len(flow))
        found = compare_flows(flow, there)
        if found.differences:
            return self._fate(flow, "differs", why=_several(found.differences))
        # Its logbook may not name it.
        if found.lacking or flow.uuid not in self._entered:
            return self._fate(flow, "completed", atoms=len(found.lacking))
        return self._fate(flow, "equal")

    def _fate(
        self,
        flow: models.FlowDetail | None,
        result: Fate,
        *,
        why: str = "",
        atoms: int = 0,
    ) -> Migrated:
        named = ("", "") if flow is None else (str(flow.uuid), str(flow.name))
        return Migrated(
            *(str(self._book.uuid), str(self._book.name)),
            *named,
            result,
            atoms,
            why,
        )


def _several(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return f"{'; '.join(parts[:_NAMED])}{more}"


def _moment(connection: base.Connection, flow_uuid: str) -> tuple[int, int]:
    """Tell a flow's revision, and how many workers are at work on it."""
    backend = connection.backend
    if not isinstance(backend, RedisBackend):
        return 0, 0
    keys = backend.keys.of_flow(flow_uuid)
    now_ms = backend.client.now_ms()
    rev, live = backend.client.execute_many(
        [("HGET", keys.flow, "rev"), ("ZCOUNT", keys.workers, now_ms, "(inf")]
    )
    return int(rev or 0), int(live)
