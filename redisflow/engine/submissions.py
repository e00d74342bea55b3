"""Submitted flows as the server has them: their marks, their index, who serves them.

The mark is part of a flow's own hash, written by one script together with the values
for the flow: the run that it is for, the factory, and what that is called with. A flow
is *open* from then on until that run has ended.

The index (``submitted``) and the list of serving workers (``servers``) have no tag and
are hints. A submitter writes the index before the mark, and once more after it; a
worker that finds an entry without an open flow drops it, looks again, and puts it back
if it was wrong. So whatever the two do at the same time, an open flow is in the index
when the submitter returns. Entries of flows that are not there yet are left alone for a
minute: their submitter is on its way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redisflow.client import ServerError
from redisflow.engine.factories import FactoryCall
from redisflow.errors import CorruptKey, Refused
from redisflow.keys import SCHEMA
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import Command, run_many
from redisflow.persistence.records import RUN_ID_FIELD

#: For how long an entry may be in the index before its flow is marked.
GRACE_MS = 60_000

#: Servers that are told of one submission, and for how long a hint is kept that nobody
#: has taken.
_TOLD, _HINT_MS = 100, 60_000
_PAGE = 200

_HEAD = ("submitted", "ended", "submitted:request", "schema", "starter")
_MARK = (
    *("submitted", "ended", "submitted:request", "submitted:factory"),
    *("submitted:args", "submitted:kwargs", "submitted:options"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A flow in the index, as a worker that looks for work sees it.

    Attributes:
        uuid: of the flow.
        since_ms: when it came into the index, by the server's clock.
        request: names the last time that it was submitted.
        open: whether it is submitted, and its run has not ended.
        readable: False if a newer version wrote it, or its keys are damaged.
        live: how many workers take part in it.
        next_end_ms: when the first of their leases ends; 0 without any.
        work: whether there is something to do for one worker more.
    """

    uuid: str
    since_ms: float
    request: str = ""
    open: bool = False
    readable: bool = True
    live: int = 0
    next_end_ms: float = 0
    work: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """What a flow was submitted with.

    Attributes:
        uuid: of the flow.
        run_id: its name.
        run: number of the run that it was submitted for.
        request: names the last time that it was submitted.
        call: makes the flow.
        options: of the engines on it.
    """

    uuid: str
    run_id: str
    run: int
    request: str
    call: FactoryCall
    options: Mapping[str, Any]


class Submissions:
    """The submitted flows of a backend.

    Args:
        backend: where they are kept.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._client = backend.client
        self._keys = backend.keys

    def add(self, uuid: str, now_ms: int) -> None:
        """Put a flow into the index; one that is there keeps its time."""
        run_many(self._client, [("ZADD", self._keys.submitted, "NX", now_ms, uuid)])

    def drop(self, uuid: str) -> None:
        """Take a flow out of the index, unless it is open after all."""
        run_many(self._client, [("ZREM", self._keys.submitted, uuid)])
        now_ms = self._client.now_ms()
        entry = self._read_each([(uuid, now_ms)], now_ms)[0]
        if entry.open:
            self.add(uuid, now_ms)

    def call_servers(self, uuid: str, now_ms: int) -> int:
        """Tell serving workers of a flow, at most 100; returns how many there were."""
        keys = self._keys
        _, servers = run_many(
            self._client,
            [
                ("ZREMRANGEBYSCORE", keys.servers, "-inf", now_ms),
                ("ZRANGE", keys.servers, 0, _TOLD - 1),
            ],
        )
        commands: list[Command] = []
        for server in servers:
            key = keys.wake(server.decode())
            commands += [("RPUSH", key, uuid), ("PEXPIRE", key, _HINT_MS)]
        with contextlib.suppress(Refused):  # who serves looks for itself soon
            self._client.execute_many(commands)
        return len(servers)

    def serve(self, server: str, lease_ms: int) -> int:
        """Note that a worker serves, until its lease is over; returns the time."""
        now_ms = self._client.now_ms()
        command = ("ZADD", self._keys.servers, now_ms + lease_ms, server)
        run_many(self._client, [command])
        return now_ms

    def leave(self, server: str) -> None:
        """Note that a worker serves no more."""
        keys = self._keys
        run_many(
            self._client, [("ZREM", keys.servers, server), ("DEL", keys.wake(server))]
        )

    def entries(self, now_ms: int) -> Iterator[Entry]:
        """Give what is in the index, oldest first; they may be dropped meanwhile."""
        start, pages = 0, list[list[tuple[str, float]]]()
        while not pages or len(pages[-1]) == _PAGE:
            command = ("ZRANGE", self._keys.submitted, start, start + _PAGE - 1)
            (rows,) = run_many(self._client, [(*command, "WITHSCORES")])
            pages.append([(uuid.decode(), float(since)) for uuid, since in rows])
            start += _PAGE
        for page in pages:
            yield from self._read_page(page, now_ms)

    def read(self, uuid: str) -> Submission | None:
        """Read what a flow was submitted with; None if it is not open.

        Raises:
            CorruptKey: a field is not understood.
        """
        return self._read(uuid, closed=False)

    def last(self, uuid: str) -> Submission | None:
        """Read what a flow was submitted with last, open or not; None if it never was.

        Raises:
            CorruptKey: a field is not understood.
        """
        return self._read(uuid, closed=True)

    def _read(self, uuid: str, *, closed: bool) -> Submission | None:
        key = self._keys.of_flow(uuid).flow
        command = ("HMGET", key, *_MARK, RUN_ID_FIELD)
        ((*head, args, kwargs, options, run_id),) = run_many(self._client, [command])
        run, ended, request, factory = head
        if run is None or not (closed or _is_open(run, ended)):
            return None
        if None in (request, factory, args, kwargs, options):
            message = f"key {key} has lost a part of its submission"
            raise CorruptKey(message, key=key)
        name = None if run_id is None else self.decode(run_id, key)
        with _damage_named(key):
            return Submission(
                uuid,
                uuid if name is None else str(name),
                int(run),
                request.decode(),
                self.call_of(key, factory, args, kwargs),
                dict(self.decode(options, key)),
            )

    def call_of(
        self, key: str, factory: bytes, args: bytes, kwargs: bytes
    ) -> FactoryCall:
        """Read the factory of a submission, and what it is called with."""
        positional, named = self.decode(args, key), self.decode(kwargs, key)
        with _damage_named(key):
            return FactoryCall(factory.decode(), tuple(positional), dict(named))

    def decode(self, data: bytes, key: str) -> Any:
        """Decode a value."""
        return self._backend.codec.decode(data, key=key)

    def _read_page(self, page: Sequence[tuple[str, float]], now_ms: int) -> list[Entry]:
        try:
            return self._read_each(page, now_ms)
        except (CorruptKey, ServerError):
            return [self._read_alone(uuid, since, now_ms) for uuid, since in page]

    def _read_alone(self, uuid: str, since: float, now_ms: int) -> Entry:
        """Read an entry of a page in which something is damaged."""
        try:
            return self._read_each([(uuid, since)], now_ms)[0]
        except (CorruptKey, ServerError):
            return Entry(uuid, since, readable=False)

    def _read_each(self, page: Sequence[tuple[str, float]], now_ms: int) -> list[Entry]:
        commands: list[Command] = []
        for uuid, _since in page:
            keys, alive = self._keys.of_flow(uuid), (f"({now_ms}", "(inf")
            commands += [
                ("HMGET", keys.flow, *_HEAD),
                ("ZCOUNT", keys.workers, *alive),
                ("ZRANGEBYSCORE", keys.workers, *alive, "WITHSCORES", "LIMIT", 0, 1),
                ("ZCARD", keys.ready),
            ]
        replies = run_many(self._client, commands)
        return [
            _entry(uuid, since, replies[4 * number : 4 * number + 4])
            for number, (uuid, since) in enumerate(page)
        ]


@contextlib.contextmanager
def _damage_named(key: str) -> Iterator[None]:
    """Tell of a submission that decodes into something else than one."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = f"key {key} has a submission that is not understood: {error}"
        raise CorruptKey(message, key=key) from error


def _entry(uuid: str, since: float, replies: Sequence[Any]) -> Entry:
    (run, ended, request, schema, starter), live, first, ready = replies
    return Entry(
        uuid,
        since,
        request=(request or b"").decode(errors="replace"),
        open=_is_open(run, ended),
        readable=_number(schema) <= SCHEMA,
        live=live,
        next_end_ms=float(first[0][1]) if first else 0,
        work=not live or bool(starter) or ready > 1,  # more than its sentinel
    )


def _is_open(run: bytes | None, ended: bytes | None) -> bool:
    return run is not None and ended is not None and _number(run) > _number(ended)


def _number(field: bytes | None) -> int:
    try:
        return int(field or 0)
    except ValueError:
        return 0
