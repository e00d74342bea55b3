"""A connection: TaskFlow's calls for logbooks, flow details and atom details.

Saving and updating merge: of a detail is written what it says otherwise than when it
was last read or written here (see `fields`), and the detail that was given is brought
up to date in place and returned. To save a logbook creates whatever is not there; to
update details never does: what was there once and is gone raises `FlowLost`, what never
was `NotFound`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskflow.persistence import base, models

from redisflow.errors import Duplicate, FlowLost, NotFound
from redisflow.keys import atom_uuid_of
from redisflow.persistence.books import Shelf
from redisflow.persistence.fields import seen_of
from redisflow.persistence.names import as_uuid
from redisflow.persistence.plans import FlowPlan
from redisflow.persistence.reading import (
    BATCH,
    flow_of_atom,
    read_atom_detail,
    read_flow_detail,
)
from redisflow.persistence.records import NewAtom
from redisflow.persistence.removal import check_flow, clear_namespace, remove_flow
from redisflow.persistence.saving import Saver
from redisflow.scripts import Argument, FlowScripts

if TYPE_CHECKING:
    from redisflow.persistence.backend import RedisBackend


#: Atoms that one call creates: it takes the server about a millisecond.
ENSURE_BATCH = 40


@dataclass(frozen=True, slots=True)
class Ensured:
    """One batch of atoms that have details now.

    Attributes:
        before: the flow's revision before it.
        rev: the flow's revision after it.
        uuids: in the order in which they were asked for.
    """

    before: int
    rev: int
    uuids: list[str]


class RedisConnection(base.Connection):
    """A TaskFlow persistence connection.

    It holds no socket of its own: the backend's client has the pool.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._shelf = Shelf(backend)
        self._saver = Saver(backend)

    @property
    def backend(self) -> RedisBackend:
        """The backend that this connection belongs to."""
        return self._backend

    def close(self) -> None:
        """Do nothing: connections are pooled by the backend."""

    def upgrade(self) -> None:
        """Do nothing but look at the server: records carry their schema number.

        Raises:
            StoreError: the server cannot be used.
        """
        self.validate()

    def validate(self) -> None:
        """Look at the server.

        Raises:
            StoreError: it is not reached, too old, or evicts keys.
        """
        self._backend.client.server_info()

    def save_logbook(self, book: models.LogBook) -> models.LogBook:
        """Save a logbook with all its flows and atoms, those that are gone included.

        Returns:
            The same logbook, with what others have added to it.

        Raises:
            ValueRefused: something of it cannot be stored; nothing was written.
            InvalidState: live workers hold what would be changed.
            FlowLost: a flow is gone whose atoms are not in its detail, which was
                read without them.
        """
        plan = self._shelf.plan(book)
        flows = [self._saver.plan(flow_detail) for flow_detail in book]
        stored, now_ms = self._shelf.look(book.uuid)
        for flow in flows:
            self._saver.check(flow)
        self._shelf.write(plan, stored, now_ms)
        for flow in flows:
            self._saver.index(flow, now_ms)
            self._saver.write(flow, book.uuid)
        for start in range(0, len(flows), BATCH):
            part = flows[start : start + BATCH]
            self._shelf.confirm(book, [flow.detail for flow in part if flow.new])
        known = {flow_detail.uuid for flow_detail in book}
        updated_at = book.updated_at
        for flow_uuid in stored.flows if stored else ():
            if flow_uuid not in known:
                for flow_detail in self._existing(flow_uuid, lazy=False):
                    book.add(flow_detail)
        book.updated_at = updated_at
        return book

    def update_flow_details(self, flow_detail: models.FlowDetail) -> models.FlowDetail:
        """Write what has changed in a flow's details, and in those of its atoms.

        Returns:
            The same details, with what others have added and changed.

        Raises:
            NotFound: it was never saved; `FlowLost` if it was.
            ValueRefused: something of it cannot be stored; nothing was written.
            InvalidState: live workers run the flow, or hold one of the atoms.
        """
        plan = self._saver.plan(flow_detail)
        try:
            if plan.atoms:
                self._saver.check(plan)
                if plan.new:
                    raise _lost(plan)
                self._saver.index(plan, 0)
            self._saver.write(plan)
        except FlowLost as error:
            if seen_of(flow_detail, self._backend.origin) is None:
                raise _no("flow", flow_detail.uuid) from error
            raise
        return flow_detail

    def update_atom_details(self, atom_detail: models.AtomDetail) -> models.AtomDetail:
        """Write what has changed in the details of one atom; one round trip.

        Where the detail was neither read nor written here, the index is asked for its
        flow first.

        Returns:
            The same details, with what others have added and changed.

        Raises:
            NotFound: they were never saved; `FlowLost` if their flow was, and is gone.
            ValueRefused: something of them cannot be stored; nothing was written.
            InvalidState: a live worker holds the atom.
        """
        seen = seen_of(atom_detail, self._backend.origin)
        uuid = as_uuid(atom_detail.uuid)
        flow_uuid = seen.flow_uuid if seen else flow_of_atom(self._backend, uuid)
        if flow_uuid is None:
            raise _no("atom", uuid)
        try:
            self._saver.update_atom(atom_detail, flow_uuid)
        except FlowLost as error:
            if seen is None:
                raise _no("atom", uuid) from error
            raise
        return atom_detail

    def clear_all(self) -> None:
        """Remove all flows and logbooks of the namespace.

        Other namespaces stay as they are, and so do locks that belong to no flow.
        """
        clear_namespace(self._backend)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Remove a logbook with its flows and their atoms, whoever uses them.

        Raises:
            NotFound: there is no such logbook.
            CorruptKey: a key of it is not what it should be.
        """
        stored, _now_ms = self._shelf.look(book_uuid)
        if stored is None:
            raise _no("logbook", book_uuid)
        for flow_uuid in stored.flows:
            check_flow(self._backend, flow_uuid)
        for flow_uuid in stored.flows:
            remove_flow(self._backend, flow_uuid)
        self._shelf.forget(book_uuid)

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> models.LogBook:  # noqa: FBT001, FBT002  # TaskFlow's signature
        """Fetch a logbook; lazily: without its flows.

        Raises:
            NotFound: there is no such logbook.
        """
        stored = self._shelf.read(book_uuid)
        if stored is None:
            raise _no("logbook", book_uuid)
        book = self._shelf.make(book_uuid, stored)
        if not lazy:
            for flow_uuid in stored.flows:
                for flow_detail in self._existing(flow_uuid, lazy=False):
                    book.add(flow_detail)
            book.updated_at = stored.updated_at
        return book

    def get_logbooks(self, lazy: bool = False) -> Iterator[models.LogBook]:  # noqa: FBT001, FBT002  # TaskFlow's signature
        """Fetch all logbooks, oldest first."""
        for uuid in self._shelf.uuids():
            try:
                yield self.get_logbook(uuid, lazy=lazy)
            except NotFound:
                continue

    def get_flows_for_book(
        self,
        book_uuid: str,
        lazy: bool = False,  # noqa: FBT001, FBT002  # as TaskFlow's own backends have it
    ) -> Iterator[models.FlowDetail]:
        """Fetch the flows of a logbook, in the order in which they were added.

        Raises:
            NotFound: there is no such logbook.
        """
        stored = self._shelf.read(book_uuid)
        if stored is None:
            raise _no("logbook", book_uuid)
        for flow_uuid in stored.flows:
            yield from self._existing(flow_uuid, lazy=lazy)

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> models.FlowDetail:  # noqa: FBT001, FBT002  # TaskFlow's signature
        """Fetch a flow with its atoms; lazily: without them.

        Raises:
            NotFound: there is no such flow.
        """
        for flow_detail in self._existing(fd_uuid, lazy=lazy):
            return flow_detail
        raise _no("flow", fd_uuid)

    def get_atom_details(self, ad_uuid: str) -> models.AtomDetail:
        """Fetch one atom, and nothing else of its flow.

        Raises:
            NotFound: there is no such atom.
        """
        flow_uuid = flow_of_atom(self._backend, ad_uuid)
        if flow_uuid is not None:
            scripts = self._backend.scripts_of(flow_uuid)
            try:
                found = read_atom_detail(scripts, self._backend, ad_uuid)
            except FlowLost:
                found = None
            if found is not None:
                return found
        raise _no("atom", ad_uuid)

    def get_atoms_for_flow(self, fd_uuid: str) -> Iterator[models.AtomDetail]:
        """Fetch the atoms of a flow.

        Raises:
            NotFound: there is no such flow.
        """
        yield from self.get_flow_details(fd_uuid)

    def ensure_atoms(
        self, scripts: FlowScripts, atoms: Sequence[NewAtom], *, who: str
    ) -> Iterator[Ensured]:
        """Create details for atoms that have none, in bounded batches.

        Args:
            scripts: those of the flow.
            atoms: what is wanted.
            who: who asks, for the journal.

        Yields:
            What came of each batch.

        Raises:
            Duplicate: an atom of another type has the name of one of them.
        """
        flow_uuid = scripts.keys.flow_uuid
        for start in range(0, len(atoms), ENSURE_BATCH):
            records: list[Argument] = []
            for atom in atoms[start : start + ENSURE_BATCH]:
                uuid = atom_uuid_of(flow_uuid, atom.name)
                records += [atom.name, atom.type, atom.version, uuid]
                records += [atom.provides, atom.requires]
            reply = scripts.call("atom_ensure", rest=records, who=who)
            if reply.status == "DUPLICATE":
                name, kind = (field.decode() for field in reply.fields)
                message = (
                    f"Atom detail {name!r} already exists in flow {flow_uuid}: a {kind}"
                )
                raise Duplicate(message)
            before, rev, uuids = reply.fields
            yield Ensured(before, rev, [uuid.decode() for uuid in uuids])

    def _existing(self, flow_uuid: str, *, lazy: bool) -> Iterator[models.FlowDetail]:
        """Give the details of a flow, unless it is gone."""
        scripts = self._backend.scripts_of(flow_uuid)
        try:
            detail = read_flow_detail(scripts, self._backend, lazy=lazy)
        except FlowLost:
            return
        yield detail


def _no(kind: str, uuid: str) -> NotFound:
    return NotFound(f"no {kind} with uuid {uuid}")


def _lost(plan: FlowPlan) -> FlowLost:
    key = plan.scripts.keys.flow
    return FlowLost(f"flow {plan.detail.uuid} is gone ({key})", key=key)
