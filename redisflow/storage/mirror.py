"""The copy of a flow that one process keeps, and how it is brought up to date.

The mirror is the `FlowDetail` that the storage was given, updated in place, and an
`AtomRecord` for each atom. ``rev`` says which revision of the flow it shows;
``heard`` is the highest revision that any reply has told of. While the two are
equal, nothing is known to have changed.

A write tells the revisions around it. If the one before is the mirror's, nobody
else has changed anything, and the caller's own change can be applied here without
asking; otherwise the mirror stays behind until `sync` asks for what has changed,
which costs one round trip and what changed. Results and the histories of retries are
not among it: see `redisflow.storage.payloads`.

In another history of the server (see `redisflow.client.history`) a revision may mean
something else. The flow's hash tells of it: ``server`` and ``epoch`` are not as they
were, or ``rev`` has gone back. Then everything is read anew, nothing that was fetched
is believed, and atoms that were lost disappear.

All methods are safe to call from the threads of one process.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import weakref
from collections.abc import Callable, Collection
from typing import Any

from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR, Providers
from redisflow.errors import NotFound
from redisflow.persistence import RedisBackend
from redisflow.persistence.reading import SYNC_PAGE
from redisflow.persistence.records import (
    AtomRecord,
    FlowRecord,
    parse_atoms,
    parse_flow,
)
from redisflow.scripts import FlowScripts

#: Begins the fields of values that are injected into the flow.
INJECTED = "value:"

_RAISED = "_redisflow_raised"

#: What details show beside the state, and what is not transferred until it is needed.
_SHOWN = ("results", "revert_results", "failure", "revert_failure")


class Mirror:
    """One process's copy of a flow.

    Args:
        flow_detail: updated in place.
        scripts: those of the flow.
        backend: where results are fetched and how values are decoded.

    Attributes:
        atoms: by name.
        flow: the flow's hash as last seen, or None before the first sync.
        live: how many workers had a live lease then.
        providers: who provides which name, of all atoms seen.
        raised: failures that were raised in this process, with their tracebacks, by
            atom and by the field of the result hash that holds them.
    """

    def __init__(
        self,
        flow_detail: models.FlowDetail,
        scripts: FlowScripts,
        backend: RedisBackend,
    ) -> None:
        self.flow_detail = flow_detail
        self.atoms: dict[str, AtomRecord] = {}
        self.by_uuid: dict[str, AtomRecord] = {}
        self.flow: FlowRecord | None = None
        self.live = 0
        self.rev = 0
        self.heard = 0
        self._suspect = False
        self.providers = Providers()
        self._failed: set[str] = set()  # names of atoms that have failed at some time
        # Kept with the detail: another storage in this process may be given it, too.
        self.raised: dict[str, dict[str, Failure]] = vars(flow_detail).setdefault(
            _RAISED, {}
        )
        self.lock = threading.RLock()
        self._scripts = scripts
        self._backend = backend
        _mirrors.add(self)

    @property
    def behind(self) -> bool:
        """Whether something is known to have changed since the last sync."""
        return (
            self._suspect
            or self.heard > self.rev
            or self.flow is None
            or self._scripts.history.epoch > self.flow.epoch
        )

    def suspect(self) -> None:
        """Note that something has changed, without knowing what."""
        self._suspect = True

    def sync(self) -> None:
        """Bring the mirror up to date.

        Raises:
            FlowLost: the flow is gone.
        """
        with self.lock:
            self._suspect = False
            try:
                self._catch_up()
            except BaseException:
                self._suspect = True
                raise

    def _catch_up(self) -> None:
        fresh = self._changes_since(self.rev, self.flow)
        anew = fresh is None
        while fresh is None:
            fresh = self._changes_since(0, None)
        flow, changed = fresh
        for record in changed:
            if record.name == INJECTOR:
                values, rev = self.fetch_injected(record)
                record.provides = {name: name for name in values}
                if rev == b"%d" % record.rev:
                    record.payloads[INJECTED] = record.detail.results = values
        if anew:
            self._forget({record.uuid for record in changed})
        # The atoms, and so the providers of a name, have one order everywhere.
        for record in sorted(changed, key=lambda record: (record.place, record.rev)):
            self._adopt(record, anew=anew)
        self.rev = flow.rev
        self.flow = flow
        self.heard = self.rev if anew else max(self.heard, self.rev)
        self.flow_detail.state = flow.state
        self.flow_detail.meta = dict(flow.meta)

    def _changes_since(
        self, rev: int, known: FlowRecord | None
    ) -> tuple[FlowRecord, list[AtomRecord]] | None:
        """Ask for what has changed.

        Args:
            rev: since this revision.
            known: the flow as it was then.

        Returns:
            The flow, and the atoms that have changed; None if this is, by now, another
            history than it was.
        """
        changed: list[AtomRecord] = []
        codec, keys = self._backend.codec, self._scripts.keys
        while True:
            reply = self._scripts.call("flow_sync", since=rev, limit=SYNC_PAGE)
            before = rev
            rev, more, fields, found, self.live = reply.fields
            flow = parse_flow(fields, codec, key=keys.flow)
            if rev < before or (known is not None and known.history != flow.history):
                return None
            known = flow
            changed += parse_atoms(found, codec, keys)
            if not more:
                return flow, changed

    def _forget(self, left: Collection[str]) -> None:
        """Believe nothing of another history; ``left`` are uuids that still exist."""
        self._failed.clear()
        shown = models.FlowDetail(self.flow_detail.name, self.flow_detail.uuid)
        for detail in self.flow_detail:
            if detail.uuid in left:
                shown.add(detail)
        self.flow_detail.update(shown)
        for uuid, record in list(self.by_uuid.items()):
            if uuid in left:
                continue
            del self.by_uuid[uuid]
            if self.atoms.get(record.name) is record:
                del self.atoms[record.name]

    def applied(
        self, before: int, rev: int, change: Callable[[], object] | None = None
    ) -> None:
        """Note a write of this process, and show it if nothing else has happened.

        Args:
            before: the flow's revision before it.
            rev: the flow's revision after it.
            change: applies the same change here; without it the mirror stays behind.
        """
        with self.lock:
            self.heard = max(self.heard, rev)
            if before == self.rev and change is not None:
                change()
                self.rev = rev

    def show_state(self, state: str) -> None:
        """Show another state of the flow."""
        self.flow_detail.state = state
        if self.flow is not None:
            fields = {**self.flow.fields, "state": state}
            self.flow = dataclasses.replace(self.flow, fields=fields)

    def atom(self, name: str) -> AtomRecord:
        """Return an atom's record.

        Raises:
            NotFound: the flow has no atom of that name.
        """
        try:
            return self.atoms[name]
        except KeyError:
            raise NotFound(f"Unknown atom name '{name}'") from None

    def add(self, record: AtomRecord) -> None:
        """Add or replace an atom."""
        with self.lock:
            self.by_uuid[record.uuid] = record
            if self.flow_detail.find(record.uuid) is not record.detail:
                self.flow_detail.add(record.detail)
            first = self.atoms.setdefault(record.name, record)
            if first.uuid != record.uuid and first.place < record.place:
                return  # two details of one name: it belongs to the first of them
            self.atoms[record.name] = record
            record.raised = self.raised.setdefault(record.name, {})
            self.note_failed(record)
            if record.provides:
                self.providers.declare(record.name, record.provides)

    def note_failed(self, record: AtomRecord) -> None:
        """Remember an atom that has failed, so that `failed` need not look for it."""
        if "E" in record.failed or "R" in record.failed:
            self._failed.add(record.name)

    def failed(self, flags: str) -> list[str]:
        """Name the atoms that have failed, in their order.

        Args:
            flags: how: ``E`` in execute, ``R`` in revert, or both.
        """
        with self.lock:
            found = [self.atoms[name] for name in self._failed]
        found.sort(key=lambda record: record.place)
        return [
            record.name
            for record in found
            if any(flag in record.failed for flag in flags)
        ]

    def fetch_injected(self, record: AtomRecord) -> tuple[dict[str, Any], bytes | None]:
        """Ask for what is injected into the flow, and for the revision of that."""
        keys, decode = self._scripts.keys, self._backend.codec.decode
        key = keys.result(record.uuid)
        found, rev = self._backend.client.execute_many(
            [("HGETALL", key), ("HGET", keys.atom(record.uuid), "rev")]
        )
        values = {
            name[len(INJECTED) :].decode(): decode(data, key=key)
            for name, data in found.items()
            if name.startswith(INJECTED.encode())
        }
        return values, rev

    def _adopt(self, fresh: AtomRecord, *, anew: bool) -> None:
        """Take over one atom as the server has it.

        Args:
            fresh: the atom.
            anew: whatever is known of it already.
        """
        known = self.atoms.get(fresh.name)
        same = known is not None and known.uuid == fresh.uuid
        if known is not None and same and known.rev == fresh.rev and not anew:
            return
        if fresh.type == "retry" and not fresh.entries:
            fresh.payloads["results"] = []  # no need to ask
        self._take_detail(fresh, first=known is None)
        if known is not None and known.uuid == fresh.uuid:
            # So do the records: a worker holds one while its task runs.
            for item in dataclasses.fields(fresh):
                if item.name != "rev":
                    setattr(known, item.name, getattr(fresh, item.name))
            known.rev = fresh.rev  # at last: what is cut short is taken over again
            fresh = known
        self.add(fresh)

    def _take_detail(self, fresh: AtomRecord, *, first: bool) -> None:
        """Show an atom in the detail object that users hold: it stays the same one."""
        detail = self.flow_detail.find(fresh.uuid)
        shown: dict[str, Any] = {}
        if type(detail) is type(fresh.detail):
            if first and detail.state == fresh.detail.state:
                shown = {name: getattr(detail, name) for name in _SHOWN}
            fresh.detail = detail.update(fresh.detail)
        if fresh.type == "retry":
            fresh.detail.results = fresh.payloads.get("results", [])
        for name, value in shown.items():
            # A detail that came with results goes on to show them; nobody here reads
            # them there.
            if not getattr(fresh.detail, name) and name not in fresh.payloads:
                setattr(fresh.detail, name, value)

    def after_fork(self) -> None:
        """Believe nothing that another thread of the parent may have been amid."""
        self.lock = threading.RLock()
        self._suspect = True


_mirrors: weakref.WeakSet[Mirror] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for mirror in list(_mirrors):
        mirror.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
