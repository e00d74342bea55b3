"""The keys of a flow as a person at ``redis-cli`` sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from redisflow.client import Client
from redisflow.keys import FlowKeys
from redisflow.scripts import Argument

#: The collections that are hashes, and those that are sorted sets.
HASHES = ("atoms", "graph", "missing", "claims", "plan", "lock_owners")
ZSETS = ("ready", "workers", "idle", "changes", "lock_readers", "lock_queue")

#: What keeps each of them in existence from a flow's creation to its deletion.
SENTINELS: Mapping[str, str] = {**dict.fromkeys((*HASHES, *ZSETS), "-"), "atoms": ""}

#: How to read a whole key of each type.
_READS: Mapping[bytes, tuple[Argument, ...]] = {
    b"hash": ("HGETALL",),
    b"zset": ("ZRANGE", 0, -1, "WITHSCORES"),
    b"stream": ("XRANGE", "-", "+"),
    b"string": ("GET",),
    b"list": ("LRANGE", 0, -1),
}


class FlowView:
    """Reads of one flow's keys; sentinels are left out.

    Args:
        client: of the server that the flow is on.
        keys: of the flow.
    """

    def __init__(self, client: Client, keys: FlowKeys) -> None:
        self.client = client
        self.keys = keys

    def exists(self, name: str) -> bool:
        """Whether a key of the flow exists."""
        return bool(self.client.execute("EXISTS", getattr(self.keys, name)))

    def hash(self, name: str) -> dict[str, str]:
        """HGETALL of a key of the flow, without its sentinel."""
        found = self._hgetall(getattr(self.keys, name))
        found.pop(SENTINELS.get(name, "-"), None)
        return found

    def members(self, name: str) -> list[str]:
        """ZRANGE of a key of the flow, without its sentinel."""
        found = self.client.execute("ZRANGE", getattr(self.keys, name), 0, -1)
        return [member.decode() for member in found if member != b"-"]

    def scores(self, name: str) -> dict[str, float]:
        """ZRANGE WITHSCORES of a key of the flow, without its sentinel."""
        key = getattr(self.keys, name)
        found = self.client.execute("ZRANGE", key, 0, -1, "WITHSCORES")
        return {member.decode(): score for member, score in found if member != b"-"}

    def atom(self, name: str) -> dict[str, str]:
        """HGETALL of an atom."""
        return self._hgetall(self.keys.atom(uuid_of(name)))

    def atoms_of(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """HGETALL of several atoms, by name."""
        known = list(names)
        reads = [("HGETALL", self.keys.atom(uuid_of(name))) for name in known]
        found = self.client.execute_many(reads)
        return {
            name: {field.decode(): value.decode() for field, value in row.items()}
            for name, row in zip(known, found, strict=True)
        }

    def result(self, name: str) -> dict[str, str]:
        """HGETALL of an atom's results."""
        return self._hgetall(self.keys.result(uuid_of(name)))

    def hints(self) -> dict[str, list[str]]:
        """The hints that wait for workers, by worker."""
        prefix = self.keys.wake("")
        found = {}
        for key in sorted(set(self.client.scan(f"{prefix}*"))):
            hints = self.client.execute("LRANGE", key.decode(), 0, -1)
            found[key.decode().removeprefix(prefix)] = [hint.decode() for hint in hints]
        return found

    def journal(self, since: int = 0) -> list[dict[str, str]]:
        """XRANGE of the journal after a revision."""
        rows = self.client.execute("XRANGE", self.keys.events, "-", "+")
        entries = [
            {name.decode(): value.decode() for name, value in fields.items()}
            for _, fields in rows
        ]
        return [entry for entry in entries if int(entry["rev"]) > since]

    def claims(self) -> dict[str, str]:
        """Items that are held -> by whom."""
        return {
            item: value.partition(" ")[0]
            for item, value in self.hash("claims").items()
            if not item.startswith("#")
        }

    @property
    def state(self) -> str:
        """The state of the flow."""
        return self.hash("flow").get("state", "")

    @property
    def rev(self) -> int:
        """The revision of the flow."""
        return int(self.hash("flow")["rev"])

    def all_keys(self) -> list[str]:
        """All keys of the flow that exist."""
        match = f"{self.keys.flow.removesuffix('flow')}*"
        return sorted(key.decode() for key in set(self.client.scan(match)))

    def contents(self) -> dict[str, Any]:
        """All that is in all keys of the flow, to tell that nothing was changed."""
        keys = self.all_keys()
        kinds = self.client.execute_many([("TYPE", key) for key in keys])
        found = self.client.execute_many(
            [
                (_READS[kind][0], key, *_READS[kind][1:])
                for key, kind in zip(keys, kinds, strict=True)
            ]
        )
        return dict(zip(keys, found, strict=True))

    def dump(self) -> dict[str, bytes]:
        """DUMP of all keys of the flow, for `restore`."""
        keys = self.all_keys()
        dumps = self.client.execute_many([("DUMP", key) for key in keys])
        return dict(zip(keys, dumps, strict=True))

    def restore(self, dump: Mapping[str, bytes]) -> None:
        """Put all keys of the flow back to what they were."""
        commands: list[tuple[Argument, ...]] = [("DEL", key) for key in self.all_keys()]
        commands += [("RESTORE", key, 0, data) for key, data in dump.items()]
        self.client.execute_many(commands)

    def _hgetall(self, key: str) -> dict[str, str]:
        """HGETALL of any key, in text."""
        found = self.client.execute("HGETALL", key)
        return {name.decode(): value.decode() for name, value in found.items()}


def uuid_of(name: str) -> str:
    """Name the details of an atom so that a test can tell whose they are."""
    return f"{name}-uuid"
