"""All keys of a flow as they were at one moment.

There is no reading of many keys at a moment but inside a script, and a script that read
a large flow would hold up all others. So the small keys are read before and after the
large ones: whatever the scripts change shows in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redisflow.client import Client
from redisflow.keys import FlowKeys

#: The collections by their type.
HASHES = ("flow", "atoms", "graph", "missing", "claims", "plan", "lock", "lock_owners")
ZSETS = ("ready", "workers", "idle", "changes", "lock_readers", "lock_queue")
KINDS: Mapping[str, str] = {
    **dict.fromkeys(HASHES, "hash"),
    **dict.fromkeys(ZSETS, "zset"),
    "reached": "string",
    "events": "stream",
}
#: What keeps a collection in existence; the others always have something in them.
SENTINELS: Mapping[str, str] = {
    **dict.fromkeys((*HASHES, *ZSETS), "-"),
    "atoms": "",
}
WITHOUT_SENTINEL = ("flow", "lock", "reached", "events")

#: What changes with everything else that does; `workers` and the lock may move freely.
_HEAD = ("flow", "claims", "ready", "plan", "missing")

_META = "meta:"
_PAGE = 500
_TRIES = 5


@dataclass
class Snapshot:
    """What stands in the keys of a flow; sentinels are left out.

    Attributes:
        keys: of the flow.
        now_ms: when it was read, by the server's clock.
        steady: whether all of it is of one moment.
        types: name of a collection -> type of its key; "none" if it is not there.
        ttls: key -> ms until it expires, of those that do.
        sentinels: names of the collections that have theirs.
        hashes: name -> fields, of the collections that are hashes.
        zsets: name -> member -> score, likewise.
        reached: the bitmap of the walk.
        records: atom uuid -> fields of its hash.
        results: atom uuid -> fields of its result hash.
        journal: the entries of the stream.
        metadata: of the flow, by name, as the codec has written it.
        garbled: key -> names of its plain fields that are no text.
    """

    keys: FlowKeys
    now_ms: float = 0.0
    steady: bool = True
    types: dict[str, str] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)
    sentinels: set[str] = field(default_factory=set)
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    zsets: dict[str, dict[str, float]] = field(default_factory=dict)
    reached: bytes = b""
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    results: dict[str, dict[str, bytes]] = field(default_factory=dict)
    journal: list[dict[str, str]] = field(default_factory=list)
    metadata: dict[str, bytes] = field(default_factory=dict)
    garbled: dict[str, list[str]] = field(default_factory=dict)

    @property
    def flow(self) -> Mapping[str, str]:
        """The flow's own hash."""
        return self.hashes["flow"]

    @property
    def atoms(self) -> Mapping[str, str]:
        """Name -> uuid of each atom."""
        return self.hashes["atoms"]

    @property
    def state(self) -> str:
        """The flow's state."""
        return self.flow.get("state") or "PENDING"

    @property
    def live(self) -> set[str]:
        """Workers with a live lease."""
        return {
            worker
            for worker, until in self.zsets["workers"].items()
            if until >= self.now_ms
        }

    @property
    def over(self) -> bool:
        """Whether the current run has ended."""
        return self.flow.get("ended") == self.flow.get("run")

    def name_of(self, uuid: str) -> str:
        """Name an atom for a person."""
        return repr(self.records.get(uuid, {}).get("name", uuid))


def take_snapshot(client: Client, keys: FlowKeys) -> Snapshot | None:
    """Read a flow; None if there is none."""
    names = list(KINDS)
    places = [getattr(keys, name) for name in names]
    for number in range(1, _TRIES + 1):
        found = client.execute_many(
            [("TYPE", key) for key in places] + [("PTTL", key) for key in places]
        )
        kinds = [kind.decode() for kind in found[: len(names)]]
        snapshot = Snapshot(keys, types=dict(zip(names, kinds, strict=True)))
        if snapshot.types["flow"] == "none":
            return None
        for key, left_ms in zip(places, found[len(names) :], strict=True):
            if left_ms >= 0:
                snapshot.ttls[key] = left_ms
        _read_collections(client, snapshot)
        before = _head_of(snapshot)
        _read_records(client, snapshot)
        _read_journal(client, snapshot)
        again = Snapshot(keys, types=snapshot.types)
        _read_collections(client, again, only=_HEAD)
        snapshot.steady = _head_of(again) == before
        if snapshot.steady or number == _TRIES:
            return snapshot
    raise AssertionError("unreachable")


def _head_of(snapshot: Snapshot) -> object:
    return [snapshot.hashes.get(name, snapshot.zsets.get(name)) for name in _HEAD]


def _read_collections(
    client: Client, snapshot: Snapshot, only: Sequence[str] = tuple(KINDS)
) -> None:
    """Read the collections that are of their type; others count as empty."""
    right = [name for name in only if snapshot.types[name] == KINDS[name]]
    clock, *found = client.execute_many(
        [("TIME",), *[_read_of(name, getattr(snapshot.keys, name)) for name in right]]
    )
    snapshot.now_ms = int(clock[0]) * 1000 + int(clock[1]) / 1000
    snapshot.hashes = {name: {} for name in only if KINDS[name] == "hash"}
    snapshot.zsets = {name: {} for name in only if KINDS[name] == "zset"}
    for name, reply in zip(right, found, strict=True):
        if KINDS[name] == "hash":
            _keep_hash(snapshot, name, reply)
        elif KINDS[name] == "zset":
            scores = {text(member): float(score) for member, score in reply}
            if scores.pop("-", None) is not None:
                snapshot.sentinels.add(name)
            snapshot.zsets[name] = scores
        elif name == "reached":
            snapshot.reached = reply or b""


def _read_of(name: str, key: str) -> tuple[Any, ...]:
    if KINDS[name] == "hash":
        return ("HGETALL", key)
    if KINDS[name] == "zset":
        return ("ZRANGE", key, 0, -1, "WITHSCORES")
    return ("GET", key) if name == "reached" else ("XLEN", key)


def _keep_hash(snapshot: Snapshot, name: str, reply: Mapping[bytes, bytes]) -> None:
    fields = {text(field): text(value) for field, value in reply.items()}
    if name not in WITHOUT_SENTINEL and fields.pop(SENTINELS[name], None) == "":
        snapshot.sentinels.add(name)
    snapshot.hashes[name] = fields
    if name == "flow":
        _note_garbled(snapshot, snapshot.keys.flow, reply)
        snapshot.metadata = {
            text(field).removeprefix(_META): value
            for field, value in reply.items()
            if text(field).startswith(_META)
        }


def _note_garbled(snapshot: Snapshot, key: str, row: Mapping[bytes, bytes]) -> None:
    """Note the fields that are no text; those with a colon are the codec's."""
    wrong = [name for name, value in row.items() if b":" not in name and _odd(value)]
    if wrong:
        snapshot.garbled[key] = list(map(text, wrong))


def _odd(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _read_records(client: Client, snapshot: Snapshot) -> None:
    """Read the hashes of all atoms that any collection knows."""
    known = dict.fromkeys(snapshot.atoms.values())
    known |= dict.fromkeys(snapshot.zsets["changes"])
    uuids = [uuid for uuid in known if uuid]
    of_atom, of_result = snapshot.keys.atom, snapshot.keys.result
    for start in range(0, len(uuids), _PAGE):
        batch = uuids[start : start + _PAGE]
        places = [(of_atom(uuid), of_result(uuid)) for uuid in batch]
        flat = [key for pair in places for key in pair]
        looks = client.execute_many(
            [("TYPE", key) for key in flat] + [("PTTL", key) for key in flat]
        )
        for key, left_ms in zip(flat, looks[len(flat) :], strict=True):
            if left_ms >= 0:
                snapshot.ttls[key] = left_ms
        kinds = dict(zip(flat, (text(kind) for kind in looks), strict=False))
        snapshot.types |= {
            key: kind for key, kind in kinds.items() if kind not in ("hash", "none")
        }
        there = [key for key in flat if kinds[key] == "hash"]
        rows = client.execute_many([("HGETALL", key) for key in there])
        found = dict(zip(there, rows, strict=True))
        for uuid, (atom, result) in zip(batch, places, strict=True):
            if row := found.get(atom):
                _note_garbled(snapshot, atom, row)
                snapshot.records[uuid] = {text(k): text(v) for k, v in row.items()}
            snapshot.results[uuid] = {
                text(k): value for k, value in found.get(result, {}).items()
            }


def _read_journal(client: Client, snapshot: Snapshot) -> None:
    if snapshot.types["events"] != "stream":
        return
    start = "-"
    while True:
        rows = client.execute(
            "XRANGE", snapshot.keys.events, start, "+", "COUNT", _PAGE
        )
        snapshot.journal += [
            {text(k): text(v) for k, v in fields.items()} for _, fields in rows
        ]
        if len(rows) < _PAGE:
            return
        start = f"({text(rows[-1][0])}"


def text(data: bytes) -> str:
    """Decode what may have been written by anybody."""
    return data.decode(errors="backslashreplace")
