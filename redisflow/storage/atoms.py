"""Details, states, intentions and metadata of atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from taskflow import retry, states, task
from taskflow.utils import misc

from redisflow.arguments import INJECTOR
from redisflow.codec import dumps_plain
from redisflow.errors import InvalidState
from redisflow.persistence import AtomRecord
from redisflow.persistence.connection import Ensured
from redisflow.persistence.names import ATOM_STATES, as_name, as_state
from redisflow.persistence.records import NewAtom, version_text
from redisflow.scripts import Reply
from redisflow.storage.core import Pairs, StorageCore

META_PROGRESS = "progress"
META_PROGRESS_DETAILS = "progress_details"


class AtomMethods(StorageCore):
    """The methods of a storage that are about one atom's record."""

    def ensure_atom(self, atom: task.Task | retry.Retry) -> str:
        """Give one atom its details; returns their uuid."""
        return self.ensure_atoms([atom])[0]

    def ensure_atoms(self, atoms: Iterable[task.Task | retry.Retry]) -> list[str]:
        """Give each atom its details, one per name, whoever else asks.

        Returns:
            The uuid of each atom's details, in order.

        Raises:
            TypeError: something is neither a task nor a retry.
            ValueError: an atom has no name.
            ValueRefused: its name is no text that a server can give back.
            Duplicate: a name belongs to an atom of the other kind.
        """
        wanted = [_as_new_atom(atom) for atom in atoms]
        self._store_flow()
        connection = self._backend.get_connection()
        uuids: list[str] = []
        for batch in connection.ensure_atoms(self._scripts, wanted, who=self.writer):
            self._show_ensured(wanted[len(uuids) :], batch)
            uuids += batch.uuids
        if self.mirror.behind:  # the flow detail shows new atoms at once
            self.mirror.sync()
        return uuids

    def _show_ensured(self, wanted: Sequence[NewAtom], batch: Ensured) -> None:
        """Show what ensuring has done, if that is known without asking."""
        found = dict(zip(batch.uuids, wanted, strict=False))
        with self.mirror.lock:
            known = self.mirror.by_uuid
            # Each change of the batch has a revision: if there are as many as atoms
            # that nobody has seen, these are new.
            fresh = [(uuid, atom) for uuid, atom in found.items() if uuid not in known]
            as_known = self.mirror.flow is not None
            if not as_known or batch.rev - batch.before != len(fresh):
                self.mirror.applied(-1, batch.rev)
                return

            def change() -> None:
                for rev, (uuid, atom) in enumerate(fresh, batch.before + 1):
                    place = len(known) + 1
                    self.mirror.add(atom.record(uuid, place=place, rev=rev))

            self.mirror.applied(batch.before, batch.rev, change)

    def get_atom_uuid(self, atom_name: str) -> str:
        """Return the uuid of an atom's details."""
        return self._read(atom_name).uuid

    def get_atom_state(self, atom_name: str) -> str | None:
        """Return an atom's state."""
        state: str | None = self._read(atom_name).detail.state
        return state

    def get_atom_intention(self, atom_name: str) -> str:
        """Return what is intended with an atom."""
        return str(self._read(atom_name).detail.intention)

    def get_atoms_states(
        self, atom_names: Iterable[str]
    ) -> dict[str, tuple[str | None, str]]:
        """Return state and intention of each of the named atoms."""
        self._refresh()
        found = {}
        for name in atom_names:
            detail = self.mirror.atom(name).detail
            found[name] = (detail.state, detail.intention)
        return found

    def set_atom_state(self, atom_name: str, state: str) -> None:
        """Set the state of an atom that no worker holds, whatever it was.

        Raises:
            InvalidState: a worker holds it, or there is no such state.
        """
        record = self._known(atom_name)
        as_state(state, ATOM_STATES, f"the atom {atom_name!r}")
        self._transition(record, state=state)

    def set_atom_intention(self, atom_name: str, intention: str) -> None:
        """Set what is intended with an atom that no worker holds.

        Raises:
            InvalidState: a worker holds it, or there is no such intention.
        """
        record = self._known(atom_name)
        if intention not in states.INTENTIONS:
            raise InvalidState(f"{intention!r} is not an intention for {atom_name!r}")
        self._transition(record, intention=intention)

    def transition_atom_state(
        self, atom_name: str, new: str, *, expected: str | None = None
    ) -> tuple[bool, str]:
        """Move an atom to another state, by compare and set.

        Args:
            atom_name: its name.
            new: the state to move to.
            expected: only from this state; otherwise from any that allows it.

        Returns:
            Whether it was moved, and the state that it was in before.

        Raises:
            InvalidState: TaskFlow does not allow this transition.
        """
        reply = self._transition(
            self._known(atom_name), state=new, expected=expected or "", checked=True
        )
        return reply.status == "MOVED", reply.fields[0].decode()

    def update_atom_metadata(
        self, atom_name: str, update_with: Pairs | Iterable[tuple[str, Any]] | None
    ) -> None:
        """Merge entries into an atom's metadata; other entries stay as they are."""
        record, entries = self._known(atom_name), dict(update_with or {})
        if entries:

            def change(new: Pairs) -> None:
                record.detail.meta.update(new)  # which may be another one by then

            self._describe(record, "meta", entries, change)

    def set_task_progress(
        self, task_name: str, progress: float, details: Pairs | None = None
    ) -> None:
        """Record how far a task is, from 0.0 to 1.0.

        Raises:
            TypeError: the atom is not a task.
        """
        self._expect(task_name, "task")
        entries: dict[str, Any] = {META_PROGRESS: progress}
        if details is not None:
            at = {"at_progress": progress, "details": details} if details else None
            entries[META_PROGRESS_DETAILS] = at
        self.update_atom_metadata(task_name, entries)

    def get_task_progress(self, task_name: str) -> float:
        """Return how far a task is, from 0.0 to 1.0."""
        self._refresh()
        meta = self._expect(task_name, "task").detail.meta
        progress: float = meta.get(META_PROGRESS, 0.0)
        return progress

    def get_task_progress_details(self, task_name: str) -> Any:
        """Return what a task told with its progress, or None."""
        self._refresh()
        meta = self._expect(task_name, "task").detail.meta
        return meta.get(META_PROGRESS_DETAILS)

    def reset(self, atom_name: str, state: str = states.PENDING) -> None:
        """Put an atom back to a state, without results, unless it is in it.

        Raises:
            InvalidState: a worker holds it, or there is no such state.
        """
        if atom_name == INJECTOR:
            return
        record = self._known(atom_name)
        as_state(state, ATOM_STATES, f"the atom {atom_name!r}")
        reply = self._move("atom_reset", of=record.uuid, atom=record.uuid, state=state)
        self._check(reply, atom_name)
        if reply.status == "MOVED":
            _old, before, rev = reply.fields
            record.raised.clear()

            def change() -> None:
                record.detail.reset(state)
                record.payloads.clear()
                record.rev, record.failed, record.entries = rev, "", 0

            self.mirror.applied(before, rev, change)

    def _describe(
        self,
        record: AtomRecord,
        kind: str,
        entries: Pairs,
        change: Callable[[Pairs], object],
    ) -> None:
        """Merge entries of one kind into an atom's record; ``change`` does so here."""
        reply = self._call(
            "atom_update",
            of=record.uuid,
            rest=self._encoded(entries),
            atom=record.uuid,
            kind=kind,
        )
        self._check(reply, record.name)
        before, rev = reply.fields
        self.mirror.applied(before, rev, lambda: change(entries))

    def _transition(
        self,
        record: AtomRecord,
        *,
        state: str = "",
        intention: str = "",
        expected: str = "",
        checked: bool = False,
    ) -> Reply:
        reply = self._move(
            "atom_transition",
            of=record.uuid,
            atom=record.uuid,
            state=state,
            intention=intention,
            expected=expected,
            checked=int(checked),
        )
        self._check(reply, record.name, new=state)
        if reply.status == "MOVED":
            _old, before, rev = reply.fields

            def change() -> None:
                record.detail.state = state or record.detail.state
                record.detail.intention = intention or record.detail.intention
                record.rev = rev

            self.mirror.applied(before, rev, change)
        return reply


def _as_new_atom(atom: object) -> NewAtom:
    if not isinstance(atom, (task.Task, retry.Retry)):
        message = f"Unknown atom '{atom}' ({type(atom)}) requested to ensure"
        raise TypeError(message)
    kind = "task" if isinstance(atom, task.Task) else "retry"
    if not atom.name:
        raise ValueError(f"{kind} name must be non-empty")
    as_name(atom.name)
    version = version_text(misc.get_version_string(atom))
    provides = dumps_plain(dict(atom.save_as)) if atom.save_as else b""
    requires = dumps_plain(list(atom.requires)) if atom.requires else b""
    return NewAtom(atom.name, kind, version, provides, requires)
