"""`follow`: a run's journal, live, in a process that takes no part in the run.

A `Follower` is as much of an engine as TaskFlow's listeners look at: it notifies them
of what the journal says, in its order, whoever did it::

    with redisflow.follow("nightly") as following:
        with LoggingListener(following):
            following.run()

It reads the journal from where it is told to, and then follows it until the run has
ended. Each entry is told of before ``position`` moves past it, so that a process that
keeps the position and begins there again loses nothing. Two things differ from an
engine's own notifications: the result of an atom that has been tried again, or been
reverted, by the time that the entry is read is not kept (None goes with the state, or a
failure that says so), and where the journal has a `Gap` nobody is notified of what is
missing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from taskflow import states
from taskflow.types import notifier
from taskflow.types.failure import Failure

from redisflow.errors import CorruptKey, NotFound
from redisflow.keys import flow_uuid_of
from redisflow.persistence import RedisBackend
from redisflow.persistence.journal import Entry, Gap, Journal
from redisflow.persistence.records import AtomRecord
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

_BLOCK_S = 2.0

#: States that an engine tells of together with what came of the atom.
_WITH_RESULT = (
    states.SUCCESS,
    states.FAILURE,
    states.REVERTED,
    states.REVERT_FAILURE,
)


_NOT_KEPT = Failure(
    exception_str="not kept: the atom has changed since",
    exc_type_names=["Failure"],
    traceback_str="",
)


class Follower:
    """Reads a run's journal, and tells TaskFlow's listeners of it; ``with`` closes it.

    Args:
        backend: where the run is; closed with this.
        flow_uuid: the uuid of its flow.
        since: where to begin, as `Journal` takes it.
        forever: go on after the run's end, with its next runs.

    Attributes:
        storage: the flow, to be looked at.
        notifier: tells of the flow's transitions.
        atom_notifier: tells of those of atoms.
        position: id of the last entry that was told of.
        compilation: None: this process does not have the flow's code.
    """

    compilation = None

    def __init__(
        self,
        backend: RedisBackend,
        flow_uuid: str,
        *,
        since: str | int | None = None,
        forever: bool = False,
    ) -> None:
        self._backend = backend
        self._forever = forever
        self._journal = Journal(backend, flow_uuid, since=since)
        self._flow_uuid = flow_uuid
        self.storage = self._look_at_flow()
        self.notifier = notifier.Notifier()
        self.atom_notifier = notifier.Notifier()
        self.position = self._journal.position
        self._read: deque[Entry | Gap] = deque()

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.name}"

    @property
    def name(self) -> str:
        """The flow's name."""
        return self.storage.flow_name

    def __iter__(self) -> Iterator[Entry | Gap]:
        """Notify of each entry, and give it; ends with the run.

        Raises:
            FlowLost: the flow was removed.
            Unavailable: the server was away until the deadline; iterating again goes
                on.
        """
        while True:
            while self._read:
                entry = self._read[0]
                if isinstance(entry, Entry):
                    self._tell(entry)
                    self.position = entry.id
                else:
                    if entry.reason == "recreated":
                        self.storage = self._look_at_flow()  # it is another flow
                    self.position = self._journal.position
                self._read.popleft()
                yield entry
            self._read.extend(self._journal.read(_BLOCK_S))
            if not self._read:
                self.position = self._journal.position
            if not self._read and self._journal.over and not self._forever:
                return

    def run(self) -> None:
        """Notify of each entry until the run ends; raises what iterating does."""
        for _entry in self:
            pass

    def close(self) -> None:
        """Close the connections to the server."""
        self._backend.close()

    def _look_at_flow(self) -> Storage:
        connection = self._backend.get_connection()
        detail = connection.get_flow_details(self._flow_uuid, lazy=True)
        return Storage(detail, self._backend)

    def _tell(self, entry: Entry) -> None:
        """Notify of an entry as an engine would have."""
        if entry.old == entry.new or not entry.old:
            return  # who holds it has changed, or what is to become of it
        if not entry.atom:
            details = {
                "engine": self,
                "flow_name": self.name,
                "flow_uuid": self.storage.flow_uuid,
                "old_state": entry.old,
            }
            self.notifier.notify(entry.new, details)
        elif len(self.atom_notifier):
            self._tell_of_atom(entry)

    def _tell_of_atom(self, entry: Entry) -> None:
        mirror = self.storage.mirror
        if entry.atom not in mirror.by_uuid:
            mirror.sync()
        atom = mirror.by_uuid.get(entry.atom)
        if atom is None:
            logger.warning("the journal tells of an atom that is gone: %s", entry.atom)
            return
        details: dict[str, Any] = {
            f"{atom.type}_name": atom.name,
            f"{atom.type}_uuid": atom.uuid,
            "old_state": entry.old,
        }
        if entry.new in _WITH_RESULT:
            details["result"] = self._result(atom, entry)
        self.atom_notifier.notify(entry.new, details)

    def _result(self, atom: AtomRecord, entry: Entry) -> Any:
        """Give what came of an atom, if that is still what it was at that entry.

        Otherwise it is None; a failure is one that says that it is not kept.
        """
        failed = entry.new in (states.FAILURE, states.REVERT_FAILURE)
        try:
            found = self._stored_result(atom.name, entry.new)
            # What others have noted beside it since does not matter, nor a revert.
            settled = 0 < atom.finished_at <= entry.time_ms
            if atom.rev == entry.rev or settled or (failed and atom.round <= 1):
                return found
        except NotFound:
            pass
        except CorruptKey as error:  # this process may lack the codec of the flow
            logger.warning("the result of %r cannot be read: %s", atom.name, error)
        return _NOT_KEPT if failed else None

    def _stored_result(self, name: str, state: str) -> Any:
        """Read what came of an atom, after the mirror was brought up to date."""
        storage = self.storage
        if state == states.FAILURE:
            return storage.get_execute_failures().get(name, _NOT_KEPT)
        if state == states.REVERT_FAILURE:
            return storage.get_revert_failures().get(name, _NOT_KEPT)
        if state == states.REVERTED:
            return storage.get_revert_result(name)
        found = storage.get_execute_result(name)
        if storage.mirror.atom(name).type == "retry":
            return found[-1][0] if found else None  # of its last try
        return found


def follow(
    run: str,
    *,
    since: str | int | None = None,
    url: str | None = None,
    forever: bool = False,
) -> Follower:
    """Follow a run from wherever you are: its journal, for you and for listeners.

    >>> with redisflow.follow("nightly") as following:  # doctest: +SKIP
    ...     for entry in following:
    ...         print(entry.rev, entry.old, entry.new)

    Args:
        run: its run id, or the uuid of its flow.
        since: the id of an entry, or a revision: what comes after it. None for all
            that happened, "now" for what is still to come.
        url: the server; as everywhere, ``REDISFLOW_URL`` or the embedded one if None.
        forever: go on after the run's end, with its next runs.

    Raises:
        NotFound: there is no such run.
        StoreError: the server cannot be used.
        ValueError: ``since`` is no position.
    """
    backend = RedisBackend.from_url(url)
    try:
        uuid = _uuid_of(backend, run)
        return Follower(backend, uuid, since=since, forever=forever)
    except BaseException:
        backend.close()
        raise


def _uuid_of(backend: RedisBackend, run: str) -> str:
    for uuid in (flow_uuid_of(run, backend.keys.namespace), run):
        if backend.client.execute("EXISTS", backend.keys.of_flow(uuid).flow):
            return uuid
    where = backend.config.address
    raise NotFound(f"{where} has no flow with run id or uuid {run!r}")
