"""Lines of an export as the script import_save takes them.

A flow that comes to another place than it had gets other uuids for its atoms: wherever
a line names an atom, it is given the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redisflow.keys import atom_uuid_of
from redisflow.moving.checking import Checked, fields_in, members_in
from redisflow.moving.form import bytes_of
from redisflow.scripts import Argument

_NAMED = ("atom", "result", "event")
_HASHES = ("atoms", "graph", "missing", "claims", "plan")
_ZSETS = ("ready", "workers")


class Rewriter:
    """Writes the lines of one export for the place that its flow comes to.

    Args:
        checked: what was found in the export.
        place: the uuid that its flow will have.
    """

    def __init__(self, checked: Checked, place: str) -> None:
        self._names = checked.atoms
        self._before = checked.flow_uuid
        self._place = place
        self._renamed: dict[str, str] = {}

    def words_of(self, record: Mapping[str, Any]) -> list[Argument]:
        """Write a line as import_save takes it; nothing of one that comes otherwise."""
        kind = record["kind"]
        if kind in _NAMED:
            return self._named(record)
        if kind in _HASHES:
            return self._hash(record)
        if kind in _ZSETS:
            return self._zset(record)
        if kind == "reached":
            return [kind, "", 1, bytes_of(record["bytes"])]
        return []

    def atom(self, old: str) -> str:
        """Name an atom; in another flow it is another one.

        One that was named for its flow is named for the new one: brought back to where
        it was, it is the same again.
        """
        if self._place == self._before or not old:
            return old
        if old not in self._renamed:
            name = self._names.get(old, old)
            derived = old == atom_uuid_of(self._before, name)
            new = atom_uuid_of(self._place, name if derived else old)
            self._renamed[old] = new
        return self._renamed[old]

    def _named(self, record: Mapping[str, Any]) -> list[Argument]:
        kind, fields = record["kind"], fields_in(record)
        subject = record["id"] if kind == "event" else self.atom(record["uuid"])
        if kind == "event":
            fields[b"atom"] = self.atom(fields.get(b"atom", b"").decode()).encode()
        return [kind, subject, *_list(fields)]

    def _hash(self, record: Mapping[str, Any]) -> list[Argument]:
        kind, fields = record["kind"], fields_in(record)
        if kind == "atoms":
            fields = {
                name: self.atom(value.decode()).encode()
                for name, value in fields.items()
            }
        elif kind == "graph":
            fields = {
                name: self._node(value) if name.isdigit() else value
                for name, value in fields.items()
            }
        return [kind, "", *_list(fields)]

    def _node(self, text: bytes) -> bytes:
        parts = text.split(b"|")
        parts[2] = self.atom(parts[2].decode()).encode()
        return b"|".join(parts)

    def _zset(self, record: Mapping[str, Any]) -> list[Argument]:
        members = members_in(record)
        if not members:
            return []
        dead = record["kind"] == "workers"
        words: list[Argument] = []
        for member, score in members.items():
            words += [1 if dead else repr(score), member]
        return [record["kind"], "", len(words), *words]


def flat(fields: Mapping[bytes, bytes]) -> list[Argument]:
    """Give names and values in turn."""
    return [word for pair in fields.items() for word in pair]


def _list(fields: Mapping[bytes, bytes]) -> list[Argument]:
    return [2 * len(fields), *flat(fields)]
