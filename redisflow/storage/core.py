"""What all parts of the storage share: the flow, the mirror, and one way to write."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow.arguments import Levels
from redisflow.errors import (
    FlowLost,
    InvalidState,
    NotFound,
)
from redisflow.keys import book_uuid_of
from redisflow.persistence import AtomRecord, RedisBackend
from redisflow.persistence.fields import seen_of
from redisflow.persistence.names import as_name, as_uuid
from redisflow.rwlock import FlowLock
from redisflow.scripts import Argument, Reply
from redisflow.storage.mirror import Mirror
from redisflow.storage.payloads import Payloads

ScopeFetcher = Callable[[str], Levels]
Pairs = Mapping[str, Any]


class StorageCore:
    """A flow, this process's mirror of it, and the calls that change it.

    Args:
        flow_detail: names the flow; kept up to date in place. A detail that was never
            stored is stored on first use.
        backend: where the flow is; None: ``REDISFLOW_URL``, or the embedded server.
        scope_fetcher: gives the scopes visible to an atom, nearest first.

    Attributes:
        writer: names this storage in the journal, and as the writer of results.
        mirror: this process's copy of the flow.
        payloads: what it has fetched of results.
        raised_halts: failures of this process that have ended runs.
    """

    def __init__(
        self,
        flow_detail: models.FlowDetail,
        backend: RedisBackend | None = None,
        scope_fetcher: ScopeFetcher | None = None,
    ) -> None:
        self._backend = RedisBackend() if backend is None else backend
        self._scripts = self._backend.scripts_of(as_uuid(flow_detail.uuid))
        self._flowdetail = flow_detail
        self._scope_fetcher: ScopeFetcher = scope_fetcher or (lambda _name: None)
        self._transients: dict[str, Any] = {}
        self._injected: dict[str, dict[str, Any]] = {}
        self._local = threading.local()
        self._stored = False
        self.raised_halts: list[Failure] = []
        self.writer = f"{os.uname().nodename[:24]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._requests = itertools.count(1)
        self._lock = FlowLock(self._backend.client, self._scripts.keys)
        self.mirror = Mirror(flow_detail, self._scripts, self._backend)
        self.payloads = Payloads(self.mirror, self._scripts, self._backend)
        #: Failures raised in this process, with their tracebacks, by atom and field.
        self._failures = self.mirror.raised

    @property
    def backend(self) -> RedisBackend:
        """The backend that the flow is in."""
        return self._backend

    @property
    def lock(self) -> FlowLock:
        """The flow's lock: whoever changes the flow waits while another is in it.

        Within a section the first read asks the server what has changed, later ones do
        not; in a write section nobody else changes anything but what dead workers held.
        """
        self._store_flow()
        return self._lock

    @property
    def flow_name(self) -> str:
        """The name of the flow."""
        return str(self._flowdetail.name)

    @property
    def flow_uuid(self) -> str:
        """The uuid of the flow."""
        return str(self._flowdetail.uuid)

    @contextlib.contextmanager
    def pinned(self) -> Iterator[None]:
        """Within it, reads ask the server only if a change is known of."""
        depth = getattr(self._local, "pinned", 0)
        self._local.pinned = depth + 1
        try:
            yield
        finally:
            self._local.pinned = depth

    def _call(
        self,
        name: str,
        /,
        *,
        of: str | None = None,
        rest: Sequence[Argument] = (),
        deadline_s: float | None = None,
        **args: Argument,
    ) -> Reply:
        self._store_flow()
        return self._scripts.call(name, of=of, rest=rest, deadline_s=deadline_s, **args)

    def _request(self, name: str, record: AtomRecord, **args: Any) -> Reply:
        """Run a script that must not be carried out twice: it remembers the request.

        A thread sends its next request only when it no longer repeats the last one.
        """
        thread = f"{os.getpid()}.{threading.get_ident()}"
        reply = self._call(
            name,
            of=record.uuid,
            atom=record.uuid,
            owner=f"{self.writer}/{thread}",
            op_id=next(self._requests),
            keep_ms=int(2000 * self._backend.config.deadline_s),
            **args,
        )
        if reply.status == "REPEATED":
            self.mirror.applied(-1, reply.fields[0])
        return reply

    def _move(self, name: str, /, *, of: str | None = None, **args: Any) -> Reply:
        """Run a script that moves a state, once however often it is sent.

        Where an answer was lost, it looks into the journal whether an earlier sending
        has done it. Otherwise who has moved the state would be told that it is somebody
        else's doing; or, where others had moved it back meanwhile, it would be moved
        twice.

        Args:
            name: the script's.
            of: the atom that it is about.
            args: of the script, without ``who`` and ``since``.
        """
        self._store_flow()
        return self._call(
            name,
            of=of,
            who=f"{self.writer}/{os.getpid()}.{next(self._requests)}",
            since=max(self.mirror.rev, self.mirror.heard),
            **args,
        )

    def _store_flow(self) -> None:
        """Store a flow that was never stored, and atoms that it was given by hand."""
        if not self._stored:
            with self.mirror.lock:
                self._store_once()

    def _store_once(self) -> None:
        if self._stored:  # by another thread
            return
        connection = self._backend.get_connection()
        key = self._scripts.keys.flow
        if not self._backend.client.execute("EXISTS", key):
            if seen_of(self._flowdetail, self._backend.origin):
                message = f"flow {self.flow_uuid} was stored and is gone ({key})"
                raise FlowLost(message, key=key)
            book = models.LogBook(self.flow_name, uuid=book_uuid_of(self.flow_uuid))
            book.add(self._flowdetail)
            connection.save_logbook(book)
        if given := list(self._flowdetail):
            self._store_atoms(given)
        self._stored = True

    def _store_atoms(self, given: list[models.AtomDetail]) -> None:
        """Store those atoms of the flow detail that the server does not know."""
        self.mirror.sync()
        unknown = [detail for detail in given if detail.name not in self.mirror.atoms]
        if unknown:
            only = models.FlowDetail(self.flow_name, self.flow_uuid)
            for detail in unknown:
                only.add(detail)
            self._backend.get_connection().update_flow_details(only)
            self.mirror.suspect()

    def _refresh(self) -> None:
        self._store_flow()
        if self.mirror.behind or not (self._is_pinned() or self._is_synced()):
            section = self._lock.section
            self.mirror.sync()
            self._local.synced = section

    def _is_pinned(self) -> bool:
        return bool(getattr(self._local, "pinned", 0))

    def _is_synced(self) -> bool:
        """Whether this thread has asked since it is in its section of the lock."""
        section = self._lock.section
        return bool(section) and getattr(self._local, "synced", 0) == section

    def _read(self, atom_name: str) -> AtomRecord:
        self._refresh()
        return self.mirror.atom(atom_name)

    def _known(self, atom_name: str) -> AtomRecord:
        """Return a record without asking, if this process has ever seen the atom."""
        if atom_name not in self.mirror.atoms:
            self._refresh()
        return self.mirror.atom(atom_name)

    def _expect(self, atom_name: str, kind: str) -> AtomRecord:
        record = self._known(atom_name)
        if record.type != kind:
            raise TypeError(f"Atom '{atom_name}' is not a {kind} but a {record.type}")
        return record

    def _check(self, reply: Reply, atom_name: str, *, new: str = "") -> None:
        """Raise what a refusing status means."""
        if reply.status == "UNKNOWN":
            raise NotFound(f"Unknown atom name '{atom_name}'")
        if reply.status == "HELD":
            owner = reply.fields[0].decode()
            raise InvalidState(f"atom {atom_name!r} is held by worker {owner}")
        if reply.status == "INVALID":
            old = reply.fields[0].decode()
            raise InvalidState(
                f"transition of atom {atom_name!r} from {old} to {new} is not allowed"
            )

    def _encoded(self, entries: Pairs) -> list[Argument]:
        arguments: list[Argument] = []
        for name, value in entries.items():
            named = as_name(name)
            arguments += [named, self._backend.codec.encode(value, name=named)]
        return arguments
