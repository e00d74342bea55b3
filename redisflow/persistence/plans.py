"""What of details is to be written, and in which calls.

A plan is made before the first byte is sent; `redisflow.persistence.saving` carries it
out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from taskflow.persistence import models

from redisflow.persistence.fields import EMPTY, Change, Seen, Sheet, changed
from redisflow.persistence.reading import BATCH
from redisflow.scripts import Argument, FlowScripts

#: Bytes that one call carries; only a single atom may be larger.
BATCH_BYTES = 2 * 2**20

_NOTHING = Seen("", "")


@dataclass(slots=True)
class AtomPlan:
    """Details of an atom, and what is to be written of them.

    Attributes:
        detail: as it was given.
        type: ``task`` or ``retry``.
        sheet: all that it says.
        seen: what it said when it was last seen; None if it never was.
    """

    detail: models.AtomDetail
    type: str
    sheet: Sheet
    seen: Seen | None

    @property
    def record(self) -> Change:
        """What of its record has changed."""
        before = self.seen.record if self.seen else EMPTY.record
        change = changed(self.sheet.record, before)
        drops = [name for name in change.drops if ":" in name]
        if "entries" in change.drops:
            return Change({**change.sets, "entries": b"0"}, drops)
        return Change(change.sets, drops)

    @property
    def results(self) -> Change:
        """What of its results has changed."""
        return changed(self.sheet.results, (self.seen or _NOTHING).results)

    def words(self) -> list[Argument]:
        """Write it as atom_write takes it."""
        record = self.record
        sets = dict(record.sets)
        state, intention = sets.pop("state", b""), sets.pop("intention", b"")
        return [
            self.detail.uuid,
            self.detail.name,
            self.type,
            state,
            intention,
            *Change(sets, record.drops).words(),
            *self.results.words(),
        ]

    def question(self) -> list[Argument]:
        """Write it as flow_check takes it."""
        sets = self.record.sets
        more = self.results or "state" in sets or "intention" in sets
        return [self.detail.uuid, self.type, int(bool(more))]


@dataclass(slots=True)
class FlowPlan:
    """Details of a flow, and what is to be written of them.

    Attributes:
        detail: as it was given.
        scripts: those of the flow.
        sheet: all that it says, but for its atoms.
        seen: what it said when it was last seen; None if it never was.
        atoms: those of its atoms of which something is to be written.
        new: whether the flow is to be created.
    """

    detail: models.FlowDetail
    scripts: FlowScripts
    sheet: Sheet
    seen: Seen | None
    atoms: list[AtomPlan] = field(default_factory=list)
    new: bool = False

    @property
    def change(self) -> Change:
        """What of its record has changed."""
        return changed(self.sheet.record, (self.seen or _NOTHING).record)

    def questions(self) -> Iterator[list[Argument]]:
        """Write its atoms as flow_check takes them, so many in a call."""
        for start in range(0, len(self.atoms), BATCH):
            part = self.atoms[start : start + BATCH]
            yield [word for atom in part for word in atom.question()]

    def batches(self) -> Iterator[list[AtomPlan]]:
        """Cut its atoms into calls of bounded size."""
        batch: list[AtomPlan] = []
        size = 0
        for atom in self.atoms:
            words = atom.words()
            more = sum(len(word) for word in words if isinstance(word, (str, bytes)))
            if batch and (len(batch) == BATCH or size + more > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(atom)
            size += more
        if batch:
            yield batch
