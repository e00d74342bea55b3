"""Writing details: what of them has changed, in as few bounded calls as it takes.

Everything is encoded before the first byte is sent, so that a value that cannot be
stored leaves nothing behind. A change of several calls looks first (`flow_check`) for
what would stand in its way later; it is not one transaction all the same: each call is
atomic, and a server that goes away between two of them leaves the first one done.

Details that were given are brought up to date in place: where the server says that
others have changed the same records, those are read again.

The state of a flow is written where the detail says another one than when it was seen;
not while live workers run the flow, whose state is theirs. Nor are an atom's state and
results while a live worker holds it. What a dead one holds is taken back first.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from taskflow.persistence import models

from redisflow.errors import Duplicate, FlowLost, InvalidState, NotFound
from redisflow.keys import SCHEMA
from redisflow.persistence.commands import run_many
from redisflow.persistence.fields import (
    Change,
    Seen,
    Sheet,
    note_seen,
    seen_of,
    sheet_of_atom,
    sheet_of_flow,
    type_of,
)
from redisflow.persistence.names import as_name, as_uuid
from redisflow.persistence.plans import AtomPlan, FlowPlan
from redisflow.persistence.reading import (
    BATCH,
    read_atom_detail,
    read_flow_detail,
)
from redisflow.persistence.records import FAILURE_FIELDS, parse_flow
from redisflow.persistence.removal import remove_flow
from redisflow.persistence.sweeping import sweep_lapsed
from redisflow.scripts import Argument, Reply

if TYPE_CHECKING:
    from redisflow.persistence.backend import RedisBackend


class Saver:
    """Writes details to a backend.

    Args:
        backend: where they are kept.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._name = f"{os.uname().nodename[:24]}:{secrets.token_hex(6)}"
        self._requests = itertools.count(1)

    def _who(self) -> str:
        """Name a request, so that what an earlier sending has moved is recognised."""
        return f"{self._name}/{os.getpid()}.{next(self._requests)}"

    def plan(self, detail: models.FlowDetail) -> FlowPlan:
        """Encode the details of a flow and of its atoms; sends nothing.

        Raises:
            ValueRefused: something cannot be stored.
            InvalidState: a state or an intention that TaskFlow does not have.
        """
        as_name(detail.name)
        scripts = self._backend.scripts_of(as_uuid(detail.uuid))
        sheet = sheet_of_flow(detail, self._backend.codec)
        plan = FlowPlan(detail, scripts, sheet, self._seen(detail, detail.uuid))
        for atom_detail in detail:
            atom = self._plan_atom(atom_detail, detail.uuid)
            if atom.seen is None or atom.record or atom.results:
                plan.atoms.append(atom)
        return plan

    def check(self, plan: FlowPlan) -> None:
        """Look for whatever stands in the way, and whether the flow exists.

        Raises:
            FlowLost: the flow is gone, and its detail was read without its atoms.
            InvalidState: a live worker holds one of the atoms.
            Duplicate: an atom of another type has one of the uuids.
        """
        replies = [
            self._call(plan, plan.atoms, "flow_check", rest=words)
            for words in plan.questions()
        ] or [self._call(plan, [], "flow_check")]
        plan.new = replies[0].status == "NEW"
        if plan.new:
            if plan.seen is not None and not plan.seen.whole:
                key = plan.scripts.keys.flow
                uuid = plan.detail.uuid
                raise FlowLost(f"flow {uuid} is gone ({key})", key=key)
            # Whatever it was when it was seen is gone: all of it is written.
            plan.seen = None
            plan.atoms = [
                AtomPlan(atom, type_of(atom), self._sheet(atom), None)
                for atom in plan.detail
            ]

    def index(self, plan: FlowPlan, now_ms: int) -> None:
        """Note the flow and its atoms in the indexes, before they are there."""
        keys, uuid = self._backend.keys, plan.detail.uuid
        commands: list[tuple[Argument, ...]] = []
        if plan.new:
            # An entry that is there may be that of a flow that has expired.
            commands.append(("ZADD", keys.flows, "GT", now_ms, uuid))
        fresh = [atom.detail.uuid for atom in plan.atoms if atom.seen is None]
        for start in range(0, len(fresh), BATCH):
            words = [
                word for one in fresh[start : start + BATCH] for word in (one, uuid)
            ]
            commands.append(("HSET", keys.atom_index, *words))
        run_many(self._backend.client, commands)

    def write(self, plan: FlowPlan, book_uuid: str = "") -> None:
        """Write what was planned, and bring the details up to date.

        Raises:
            FlowLost: the flow is gone.
            InvalidState: live workers run the flow, or hold one of the atoms.
        """
        if plan.new and self._create(plan, book_uuid):
            others = 0
        else:
            others = self._write_flow(plan)
        stale: list[models.AtomDetail] = []
        for batch in plan.batches():
            replies = self._write_atoms(plan, batch, create=1)
            others += sum(before == 0 for before, _rev in replies)
            stale += [
                atom.detail
                for atom, (before, _rev) in zip(batch, replies, strict=True)
                if before != (atom.seen.rev if atom.seen else 0)
            ]
            self._note(plan.detail.uuid, batch, replies)
        if stale or others > len(plan.detail):
            self._renew(plan, stale)

    def update_atom(self, detail: models.AtomDetail, flow_uuid: str) -> None:
        """Write what has changed in the details of one atom, in one call.

        Raises:
            NotFound: the flow has no such atom.
            FlowLost: the flow is gone.
            InvalidState: a live worker holds the atom.
        """
        atom = self._plan_atom(detail, flow_uuid)
        scripts = self._backend.scripts_of(flow_uuid)
        plan = FlowPlan(models.FlowDetail("", flow_uuid), scripts, Sheet({}), None)
        known_rev = atom.seen.rev if atom.seen else 0
        replies = self._write_atoms(plan, [atom], create=0)
        self._note(flow_uuid, [atom], replies)
        if replies[0][0] != known_rev:
            fresh = read_atom_detail(scripts, self._backend, detail.uuid)
            if fresh is not None:
                self._adopt(detail, fresh)

    def _plan_atom(self, detail: models.AtomDetail, flow_uuid: str) -> AtomPlan:
        as_name(detail.name)
        as_uuid(detail.uuid)
        seen = self._seen(detail, flow_uuid)
        return AtomPlan(detail, type_of(detail), self._sheet(detail), seen)

    def _sheet(self, detail: models.AtomDetail) -> Sheet:
        return sheet_of_atom(detail, self._backend.codec)

    def _seen(
        self, detail: models.FlowDetail | models.AtomDetail, flow_uuid: str
    ) -> Seen | None:
        seen = seen_of(detail, self._backend.origin)
        return seen if seen is not None and seen.flow_uuid == flow_uuid else None

    def _create(self, plan: FlowPlan, book_uuid: str) -> bool:
        record = dict(plan.sheet.record)
        state = record.pop("state", b"")
        entries: list[Argument] = []
        for name, value in record.items():
            entries += [name.removeprefix("meta:"), value]
        reply = plan.scripts.call(
            "flow_create",
            rest=entries,
            uuid=plan.detail.uuid,
            name=plan.detail.name,
            book=book_uuid,
            schema=SCHEMA,
            state=state,
            who="",
            told=self._backend.client.histories.unnamed,
        )
        self._note_flow(plan)
        return reply.status == "CREATED"

    def _write_flow(self, plan: FlowPlan) -> int:
        """Write the flow's own record; returns how many atoms it has."""
        change = plan.change
        sets = dict(change.sets)
        state = sets.pop("state", b"")
        drops = [name for name in change.drops if ":" in name]
        words = list(Change(sets, drops).words())
        reply = self._call(
            plan, [], "flow_write", rest=words, state=state, who=self._who()
        )
        if reply.status == "RUNNING":
            raise InvalidState(
                f"flow {plan.detail.name!r} is run by {reply.fields[0]} live workers: "
                f"its state is not set to {state.decode()}"
            )
        count, flat = reply.fields
        flow = parse_flow(flat, self._backend.codec, key=plan.scripts.keys.flow)
        plan.detail.state = flow.state
        plan.detail.meta = dict(flow.meta)
        plan.sheet = sheet_of_flow(plan.detail, self._backend.codec)
        self._note_flow(plan)
        return int(count)

    def _note_flow(self, plan: FlowPlan) -> None:
        whole = plan.seen is None or plan.seen.whole
        seen = Seen(self._backend.origin, plan.detail.uuid, whole=whole)
        note_seen(plan.detail, seen, plan.sheet)

    def _write_atoms(
        self, plan: FlowPlan, atoms: Sequence[AtomPlan], *, create: int
    ) -> list[tuple[int, int]]:
        """Write a batch; returns the revision of each atom before and after."""
        rest = [word for atom in atoms for word in atom.words()]
        reply = self._call(
            plan, atoms, "atom_write", rest=rest, who=self._who(), create=create
        )
        (revs,) = reply.fields
        return list(zip(revs[::2], revs[1::2], strict=True))

    def _note(
        self, flow_uuid: str, atoms: Sequence[AtomPlan], revs: Iterable[tuple[int, int]]
    ) -> None:
        for atom, (_before, rev) in zip(atoms, revs, strict=True):
            seen = Seen(self._backend.origin, flow_uuid, rev=rev)
            note_seen(atom.detail, seen, atom.sheet)

    def _renew(self, plan: FlowPlan, stale: Sequence[models.AtomDetail]) -> None:
        """Bring into a flow's detail what others have added and changed."""
        changed_too = {detail.uuid for detail in stale}
        for fresh in read_flow_detail(plan.scripts, self._backend, lazy=False):
            known = plan.detail.find(fresh.uuid)
            if known is None:
                plan.detail.add(fresh)
            elif fresh.uuid in changed_too:
                self._adopt(known, fresh)
        seen = seen_of(plan.detail, self._backend.origin)
        if seen is not None:
            seen.whole = True

    def _adopt(self, detail: models.AtomDetail, fresh: models.AtomDetail) -> None:
        """Let a detail say what the server has; its own failures keep tracebacks."""
        for name in FAILURE_FIELDS:
            own, stored = getattr(detail, name), getattr(fresh, name)
            if own is not None and stored is not None and own.matches(stored):
                setattr(fresh, name, own)
        detail.update(fresh)
        seen = seen_of(fresh, self._backend.origin)
        if seen is not None:
            note_seen(detail, seen, self._sheet(detail))

    def _call(
        self,
        plan: FlowPlan,
        atoms: Sequence[AtomPlan],
        name: str,
        rest: Sequence[Argument] = (),
        **args: Any,
    ) -> Reply:
        """Run a script; what a dead worker holds is taken back first."""
        swept: set[bytes] = set()
        while True:
            reply = plan.scripts.call(name, rest=rest, **args)
            if reply.status == "LEFT":  # by one who died while its flow expired
                remove_flow(self._backend, plan.detail.uuid, only="gone")
                continue
            if reply.status != "HELD" or reply.fields[2] or reply.fields[1] in swept:
                break
            swept.add(reply.fields[1])
            sweep_lapsed(plan.scripts)
        if reply.status in ("OK", "NEW", "RUNNING"):
            return reply
        uuid = reply.fields[0].decode()
        known = {atom.detail.uuid: str(atom.detail.name) for atom in atoms}
        what = f"atom {known.get(uuid, '')!r} ({uuid})"
        if reply.status == "KIND":
            raise Duplicate(f"{what} is stored as a {reply.fields[1].decode()}")
        if reply.status == "UNKNOWN":
            raise NotFound(f"no {what} in flow {plan.detail.uuid}")
        raise InvalidState(f"{what} is held by worker {reply.fields[1].decode()}")
