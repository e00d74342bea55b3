"""Indexes against what they lead to, and keys that belong to nothing.

Keys are found by SCAN, over all primaries. What is made or removed meanwhile may be
seen or not: whatever looks wrong is looked at once more before it is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from redisflow.client import Client
from redisflow.doctor.findings import Finding
from redisflow.doctor.snapshot import KINDS, text
from redisflow.engine.submissions import GRACE_MS
from redisflow.errors import CorruptKey
from redisflow.keys import Keys
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_each

_PAGE = 500
_LOCK_KEYS = {"lock", "lock_readers", "lock_queue", "lock_owners"}
_FLOW_KEY = re.compile(r"(?:atom|result):(?P<record>.+)|(?P<name>[a-z_]+)")
_RECORD = re.compile(r":(?:atom|result):(.+)$", re.DOTALL)
_INDEXES = ("books", "flows", "submitted", "servers", "atom-index")


@dataclass
class Found:
    """What SCAN has found in a namespace.

    Attributes:
        flows: uuids of flows that have their own hash.
        tagged: uuid of a flow -> its keys.
        books: uuids of logbooks.
        hints: lists of hints.
        unknown: keys that no rule of `redisflow.keys` knows.
    """

    flows: set[str] = field(default_factory=set)
    tagged: dict[str, list[str]] = field(default_factory=dict)
    books: set[str] = field(default_factory=set)
    hints: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def check_namespace(backend: RedisBackend) -> list[Finding]:
    """Look at indexes and stray keys; flows themselves are `check_flow`'s.

    Raises:
        StoreError: the server did not answer.
    """
    client, keys = backend.client, backend.keys
    found = look_around(client, keys)
    return [
        *_index(client, keys.flows, "index-flows", found.flows, _flow_key(keys)),
        *_index(client, keys.books, "index-books", found.books, keys.book),
        *_atom_index(client, keys, found),
        *_submitted(client, keys, found),
        *_servers(client, keys),
        *_books_of(client, keys, found),
        *_orphans(client, keys, found),
        *_strangers(client, found),
    ]


def look_around(client: Client, keys: Keys) -> Found:
    """Sort all keys of a namespace by what they belong to."""
    space = keys.namespace
    found = Found()
    for key in map(text, set(client.scan(f"{_escaped(space)}:*"))):
        rest = key.removeprefix(f"{space}:")
        if tagged := re.fullmatch(r"\{([^{}]+)\}:(.+)", rest, re.DOTALL):
            _sort_tagged(found, key, tagged[1], tagged[2])
        elif rest.startswith("book:"):
            found.books.add(rest.removeprefix("book:"))
        elif rest.startswith("wake:"):
            found.hints.append(key)
        elif rest not in _INDEXES:
            found.unknown.append(key)
    return found


def _sort_tagged(found: Found, key: str, tag: str, name: str) -> None:
    known = _FLOW_KEY.fullmatch(name)
    of_lock = tag.startswith("lock:")
    if name.startswith("lock_wake:") or (name.startswith("wake:") and not of_lock):
        found.hints.append(key)
    elif of_lock:
        if name not in _LOCK_KEYS:
            found.unknown.append(key)
    elif known is None or (known["name"] and known["name"] not in KINDS):
        found.unknown.append(key)
    else:
        found.tagged.setdefault(tag, []).append(key)
        if name == "flow":
            found.flows.add(tag)


def _escaped(space: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", space)


def _flow_key(keys: Keys) -> Callable[[str], str]:
    return lambda uuid: keys.of_flow(uuid).flow


def _index(
    client: Client,
    index: str,
    rule: str,
    there: set[str],
    key_of: Callable[[str], str],
) -> Iterator[Finding]:
    """Compare an index with what is there."""
    before_ms = client.now_ms() - GRACE_MS
    since = {text(uuid): score for uuid, score in _members(client, index)}
    listed = set(since)
    # The index is written first: what is new there may be on its way.
    old = {uuid for uuid in listed if since[uuid] < before_ms}
    for uuid in _still(client, sorted(old - there), key_of, exists=False):
        yield Finding(rule, f"it lists {uuid}, which is gone", key=index, flow=uuid)
    unlisted = list(_unlisted(client, index, sorted(there - listed)))
    for uuid in _still(client, unlisted, key_of, exists=True):
        yield Finding(rule, f"it does not list {uuid}", key=index, flow=uuid)


def _members(client: Client, index: str) -> Iterator[tuple[bytes, float]]:
    """Read an index, a page at a time; entries may slip by when others go meanwhile."""
    start = 0
    while True:
        words = (index, start, start + _PAGE - 1, "WITHSCORES")
        page = client.execute("ZRANGE", *words)
        yield from page
        if len(page) < _PAGE:
            return
        start += _PAGE


def _unlisted(client: Client, index: str, uuids: Sequence[str]) -> Iterator[str]:
    """Give those that are not in an index after all."""
    for batch in _pages(uuids):
        scores = client.execute_many([("ZSCORE", index, uuid) for uuid in batch])
        for uuid, score in zip(batch, scores, strict=True):
            if score is None:
                yield uuid


def _pages(uuids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uuids), _PAGE):
        yield uuids[start : start + _PAGE]


def _still(
    client: Client,
    uuids: Sequence[str],
    key_of: Callable[[str], str],
    *,
    exists: bool,
) -> Iterator[str]:
    """Give those of which it is still so."""
    for batch in _pages(uuids):
        replies = client.execute_many([("EXISTS", key_of(uuid)) for uuid in batch])
        for uuid, reply in zip(batch, replies, strict=True):
            if bool(reply) is exists:
                yield uuid


def _atom_index(client: Client, keys: Keys, found: Found) -> Iterator[Finding]:
    flows: set[str] = set()
    cursor: int | None = None
    while cursor != 0:
        words = (keys.atom_index, cursor or 0, "COUNT", _PAGE)
        cursor, rows = client.execute("HSCAN", *words)
        flows |= set(map(text, rows.values()))
    uuids = sorted(flows - found.flows)
    for uuid in _still(client, uuids, _flow_key(keys), exists=False):
        yield Finding(
            "index-atoms",
            f"it leads to flow {uuid}, which is gone",
            key=keys.atom_index,
            flow=uuid,
        )


def _submitted(client: Client, keys: Keys, found: Found) -> Iterator[Finding]:
    listed = {text(uuid) for uuid, _since in _members(client, keys.submitted)}
    unlisted = set(_unlisted(client, keys.submitted, sorted(found.flows - listed)))
    listed |= found.flows - unlisted
    for batch in _pages(sorted(listed | found.flows)):
        marks = run_each(
            client,
            [
                ("HMGET", keys.of_flow(uuid).flow, "submitted", "ended")
                for uuid in batch
            ],
        )
        for uuid, mark in zip(batch, marks, strict=True):
            if isinstance(mark, CorruptKey):
                continue  # the flow's own rules tell
            run, ended = ((value or b"0").decode(errors="replace") for value in mark)
            if not (run.isdecimal() and ended.isdecimal()):
                continue  # likewise
            is_open = int(run) > int(ended)
            if is_open is (uuid in listed):
                continue
            said = "does not list" if is_open else "lists"
            which = "open" if is_open else "not open"
            yield Finding(
                "index-submitted",
                f"it {said} {uuid}, which is {which}",
                key=keys.submitted,
                flow=uuid,
            )


def _servers(client: Client, keys: Keys) -> Iterator[Finding]:
    expired = ("ZRANGEBYSCORE", keys.servers, "-inf", client.now_ms())
    for worker in client.execute(*expired):
        yield Finding(
            "index-servers", f"{text(worker)} is not alive any more", key=keys.servers
        )


def _books_of(client: Client, keys: Keys, found: Found) -> Iterator[Finding]:
    for batch in _pages(sorted(found.flows)):
        books = run_each(
            client, [("HGET", keys.of_flow(uuid).flow, "book") for uuid in batch]
        )
        for uuid, book in zip(batch, books, strict=True):
            if isinstance(book, CorruptKey):
                continue  # the flow's own rules tell
            if book and text(book) not in found.books:
                yield Finding(
                    "book-gone",
                    f"its logbook {text(book)} is gone",
                    key=keys.of_flow(uuid).flow,
                    flow=uuid,
                )


def _orphans(client: Client, keys: Keys, found: Found) -> Iterator[Finding]:
    gone = sorted(found.tagged.keys() - found.flows)
    for uuid in _still(client, gone, _flow_key(keys), exists=False):
        there = [
            key
            for key in _still(client, found.tagged[uuid], str, exists=True)
            if not client.execute("PTTL", key) >= 0
        ]
        if there:
            yield Finding(
                "orphan-key",
                f"{len(there)} keys of a flow that is gone: redisflow rm {uuid}",
                key=there[0],
                flow=uuid,
            )
    for batch in _pages(sorted(found.flows)):
        yield from _strays(client, keys, batch, found)


def _strays(
    client: Client, keys: Keys, uuids: Sequence[str], found: Found
) -> Iterator[Finding]:
    """Look for records of flows that these do not know."""
    changes = {uuid: keys.of_flow(uuid).changes for uuid in uuids}
    kinds = client.execute_many([("TYPE", key) for key in changes.values()])
    # Where it is no zset the flow's own rules tell.
    right = [u for u, kind in zip(uuids, kinds, strict=True) if kind == b"zset"]
    rows = client.execute_many([("ZRANGE", changes[uuid], 0, -1) for uuid in right])
    for uuid, row in zip(right, rows, strict=True):
        known = set(map(text, row))
        for key in found.tagged[uuid]:
            record = _RECORD.search(key)
            if record and record[1] not in known:
                yield Finding(
                    "orphan-key", "its flow does not know it", key=key, flow=uuid
                )


def _strangers(client: Client, found: Found) -> Iterator[Finding]:
    for key in sorted(found.unknown):
        yield Finding("unknown-key", "it is none of redisflow's", key=key)
    for key in sorted(found.hints):
        if client.execute("PTTL", key) == -1:
            yield Finding("hint-stays", "it does not expire", key=key)
