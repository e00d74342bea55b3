"""What a process holds of the results of a flow's atoms, fetched when it is wanted.

The mirror shows states. Results, failures, the histories of retries and the values
injected into the flow may be large, and are not transferred until somebody asks for
them: then all that are wanted come in one round trip, and are kept with their atom's
record until that atom is seen to have changed.

What is fetched of an atom that has changed meanwhile is not kept: the revision that
comes with it is not the one that the mirror shows. `Payloads.consistently` brings the
mirror up to date and begins such a reading again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from redisflow.arguments import INJECTOR
from redisflow.errors import CorruptKey
from redisflow.persistence import RedisBackend
from redisflow.persistence.records import AtomRecord, history_from, parse_payload
from redisflow.scripts import FlowScripts
from redisflow.storage.mirror import INJECTED, Mirror

Read = TypeVar("Read")


class _Moved(Exception):
    """What was fetched is not what the mirror shows of its atom.

    Args:
        key: of the atom.
        gone: whether there is no such key.
    """

    def __init__(self, key: str, *, gone: bool) -> None:
        super().__init__(key)
        self.key = key
        self.gone = gone


class Payloads:
    """What is known of the results of a mirror's atoms.

    Args:
        mirror: whose records keep what was fetched.
        scripts: those of the flow.
        backend: where results are fetched and how values are decoded.
    """

    def __init__(
        self, mirror: Mirror, scripts: FlowScripts, backend: RedisBackend
    ) -> None:
        self._mirror = mirror
        self._scripts = scripts
        self._backend = backend
        self._thread = threading.local()

    def consistently(self, read: Callable[[], Read]) -> Read:
        """Read what may have to be fetched, all of it as of one revision.

        No other thread changes the mirror meanwhile; where another process has changed
        an atom, it is read from the beginning.

        Args:
            read: looks at records, and uses `fetch` and `injected`.
        """
        with self._mirror.lock:
            if getattr(self._thread, "reading", False):
                return read()  # a part of another reading
            self._thread.reading = True
            try:
                return self._until_current(read)
            finally:
                self._thread.reading = False

    def _until_current(self, read: Callable[[], Read]) -> Read:
        stuck = ""
        while True:
            try:
                return read()
            except _Moved as moved:
                shown = self._mirror.rev
                self._mirror.sync()
                if self._mirror.rev != shown:
                    stuck = ""
                elif stuck != moved.key:
                    stuck = moved.key
                else:  # twice, and the flow has not changed since
                    what = "is gone" if moved.gone else "has another revision"
                    raise CorruptKey(f"key {stuck} {what}", key=stuck) from None

    def fetch(self, names: Iterable[str], fields: tuple[str, ...]) -> None:
        """Bring fields of the atoms' results here, in one round trip.

        To be called within `consistently`.

        Args:
            names: of the atoms.
            fields: of the result hash. ``last`` is what ``execute`` returned last;
                ``results`` of a retry is its whole history.
        """
        keys = self._scripts.keys
        wanted: list[tuple[AtomRecord, list[str]]] = []
        for record in map(self._mirror.atom, names):
            missing = [record.last if field == "last" else field for field in fields]
            missing = [field for field in missing if field not in record.payloads]
            if missing:
                wanted.append((record, missing))
        if not wanted:
            return
        commands: list[tuple[Any, ...]] = []
        for record, missing in wanted:
            key = keys.result(record.uuid)
            whole = record.type == "retry" and "results" in missing
            commands.append(("HGETALL", key) if whole else ("HMGET", key, *missing))
            commands.append(("HGET", keys.atom(record.uuid), "rev"))
        replies = self._backend.client.execute_many(commands)
        for (record, _), rev in zip(wanted, replies[1::2], strict=True):
            self._check_current(record, rev)
        for (record, missing), found in zip(wanted, replies[::2], strict=True):
            self._keep_all(record, missing, found)

    def _keep_all(
        self,
        record: AtomRecord,
        fields: Sequence[str],
        found: Mapping[bytes, bytes] | Sequence[bytes | None],
    ) -> None:
        """Keep what was fetched of an atom: fields, or the whole history of a retry."""
        key = self._scripts.keys.result(record.uuid)
        if isinstance(found, Mapping):
            self._keep_history(record, found, key=key)
            found = [found.get(field.encode()) for field in fields]
        for field, data in zip(fields, found, strict=True):
            if field not in record.payloads:
                self._keep(record, field, data, key=key)

    def _keep(
        self, record: AtomRecord, field: str, data: bytes | None, *, key: str
    ) -> None:
        value = None
        if data is not None:
            value = parse_payload(field, data, self._backend.codec, key=key)
            raised = self._mirror.raised.get(record.name, {}).get(field)
            if raised is not None and value.matches(raised):
                # This process has raised it: its own object has the traceback.
                value = raised
        record.payloads[field] = value
        if hasattr(record.detail, field):
            setattr(record.detail, field, value)

    def _keep_history(
        self, record: AtomRecord, found: Mapping[bytes, bytes], *, key: str
    ) -> None:
        for name, data in found.items():
            if name.startswith(b"entry:"):
                self._keep(record, name.decode(), data, key=key)
        history = history_from(record.payloads)
        record.payloads["results"] = record.detail.results = history

    def _check_current(self, record: AtomRecord, rev: bytes | None) -> None:
        """Look whether an atom is still as the mirror shows it.

        Args:
            record: what is shown.
            rev: the atom's revision, read after whatever else was.

        Raises:
            _Moved: it is not.
        """
        known = rev is not None and rev.isdigit()
        if not known or not record.rev <= int(rev or 0) <= self._mirror.rev:
            key = self._scripts.keys.atom(record.uuid)
            raise _Moved(key, gone=rev is None)

    def injected(self) -> Mapping[str, Any]:
        """Return the values injected into the flow, fetching them if need be.

        Raises:
            NotFound: nothing was injected.
        """
        return self.consistently(self._injected)

    def _injected(self) -> Mapping[str, Any]:
        record = self._mirror.atom(INJECTOR)
        values = record.payloads.get(INJECTED)
        if values is None:
            values, rev = self._mirror.fetch_injected(record)
            self._check_current(record, rev)
            record.payloads[INJECTED] = record.detail.results = values
            self._mirror.providers.declare(INJECTOR, {name: name for name in values})
        return dict(values)

    def show_injected(
        self, values: Mapping[str, Any], rev: int, *, whole: bool
    ) -> None:
        """Show values that were injected into the flow, if it had some before.

        Args:
            values: by name.
            rev: the flow's revision with them.
            whole: there are no others any more.
        """
        record = self._mirror.atom(INJECTOR)
        record.rev = rev
        known = record.payloads.get(INJECTED)
        if known is not None:
            if whole:
                known.clear()
            known.update(values)
