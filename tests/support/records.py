"""What a flow has left on its server, as those read it who judge it.

Nothing of the package but the names of keys is used for it. The journal has no tokens,
but a claim's token is the revision of the entry that records it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from redisflow.keys import FlowKeys

_LINKS_IN_FIELD = 64
_CLAIMED = {"RUNNING": "execute", "REVERTING": "revert", "RETRYING": "execute"}
_AGAIN = ("RETRYING", "RUNNING")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the journal.

    Attributes:
        ms: the server's clock when it was written.
        rev: the flow's revision.
        atom: name of the atom, or "" for the flow.
        old: the state before.
        new: the state after.
        intention: the intention after.
        worker: who did it.
        attempt: how many workers the round had cost.
    """

    ms: int
    rev: int
    atom: str
    old: str
    new: str
    intention: str
    worker: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of an atom, and what became of it.

    Attributes:
        entry: the journal's entry that records it.
        kind: execute or revert.
        end: the state that it led to; "" if it was taken back.
    """

    entry: Entry
    kind: str
    end: str

    @property
    def token(self) -> str:
        """The token that it gave."""
        return str(self.entry.rev)

    @property
    def pid(self) -> int:
        """The process that had it."""
        return int(self.entry.worker.split(":")[1])


@dataclass
class Flow:
    """All keys of a flow, read once.

    Args:
        admin: a client that answers in text.
        keys: of the flow.
    """

    admin: Any  # redis-py's types do not know which clients answer in text
    keys: FlowKeys
    jumps: list[str] = field(default_factory=list)

    @cached_property
    def fields(self) -> Mapping[str, str]:
        """The hash of the flow."""
        return dict(self.admin.hgetall(self.keys.flow))

    @cached_property
    def atoms(self) -> Mapping[str, Mapping[str, str]]:
        """The hashes of all atoms, by name."""
        return self._hashes(self.keys.atom)

    @cached_property
    def results(self) -> Mapping[str, Mapping[str, str]]:
        """The hashes with the results of all atoms, by name."""
        return self._hashes(self.keys.result)

    @property
    def states(self) -> dict[str, str]:
        """The states of all atoms, by name."""
        return {name: atom["state"] for name, atom in self.atoms.items()}

    @cached_property
    def journal(self) -> list[Entry]:
        """All entries, in order."""
        names = {uuid: name for name, uuid in self.uuids.items()} | {"": ""}
        return [
            Entry(
                int(number.partition("-")[0]),
                int(row["rev"]),
                names[row["atom"]],
                row["from"],
                row["to"],
                row["intention"],
                row["worker"],
                int(row["attempt"]),
            )
            for number, row in self.admin.xrange(self.keys.events)
        ]

    @cached_property
    def claims(self) -> Mapping[str, list[Claim]]:
        """All claims of each atom, in order; what cannot be goes to ``jumps``."""
        return {name: list(self._claims_of(name)) for name in self.atoms}

    @cached_property
    def before(self) -> Mapping[str, frozenset[str]]:
        """The atoms that an atom waits for; gates between them are left out."""
        rows = self.admin.hgetall(self.keys.graph)
        names = {uuid: name for name, uuid in self.uuids.items()}
        nodes = {
            int(number): text.split("|")
            for number, text in rows.items()
            if number.isdigit()  # neither the sentinel nor some of many links
        }
        found: dict[int, frozenset[str]] = {}
        for number in sorted(nodes):  # links lead to higher numbers
            listed = nodes[number][4]
            if listed.startswith("*"):
                fields = range(-(-int(listed[1:]) // _LINKS_IN_FIELD))
                listed = ",".join(rows[f"{number}:before:{field}"] for field in fields)
            links = [int(link) for link in listed.split(",") if link]
            atoms: set[str] = set()
            for link in links:
                name = names.get(nodes[link][2])
                atoms |= found[link] if name is None else {name}
            found[number] = frozenset(atoms)
        return {
            names[node[2]]: found[number] for number, node in nodes.items() if node[2]
        }

    def taken_back(self, atom: str) -> list[Entry]:
        """Return the entries that charge an atom with the loss of its worker."""
        charged, attempt = [], 0
        for entry in self._entries[atom]:
            if entry.attempt > attempt:
                charged.append(entry)
            attempt = entry.attempt
        return charged

    def digest(self, atom: str, name: str) -> str | None:
        """Return the SHA-256 of a field of an atom's results, byte for byte."""
        text = self.results[atom].get(name)
        return None if text is None else hashlib.sha256(text.encode()).hexdigest()

    def takeover_ms(self, atom: str, worker: str, since_ms: int) -> int | None:
        """Tell how long after a moment an atom of a dead worker ran elsewhere."""
        for claim in self.claims[atom]:
            if claim.entry.ms >= since_ms and claim.entry.worker != worker:
                return claim.entry.ms - since_ms
        return None

    @cached_property
    def uuids(self) -> Mapping[str, str]:
        """The uuids of all atoms, by name."""
        rows = self.admin.hgetall(self.keys.atoms)
        return {name: uuid for name, uuid in rows.items() if name}

    def _hashes(self, key_of: object) -> dict[str, dict[str, str]]:
        assert callable(key_of)
        with self.admin.pipeline(transaction=False) as pipeline:
            for uuid in self.uuids.values():
                pipeline.hgetall(key_of(uuid))
            return dict(zip(self.uuids, pipeline.execute(), strict=True))

    @cached_property
    def _entries(self) -> Mapping[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for entry in self.journal:
            found.setdefault(entry.atom, []).append(entry)
        return found

    def _claims_of(self, name: str) -> Iterator[Claim]:
        claimed: Entry | None = None
        state = ""
        for entry in self._about_claims(name):
            if claimed is None:
                if entry.new not in _CLAIMED:
                    self.jumps.append(f"{name} is held by nobody, and then {entry}")
                    continue
                claimed, state = entry, entry.new
                continue
            if entry.worker != claimed.worker:
                self.jumps.append(f"{name} is held by {claimed}, and then {entry}")
            if (state, entry.new) != _AGAIN:
                end = "" if entry.new == state else entry.new
                yield Claim(claimed, _CLAIMED[claimed.new], end)
                claimed = None
            state = entry.new
        if claimed is not None:
            self.jumps.append(f"{name} is still held: {claimed}")

    def _about_claims(self, name: str) -> Iterator[Entry]:
        """Leave out resets, and what is about an atom that nobody runs or reverts."""
        intention = ""
        for entry in self._entries[name]:
            told = entry.new == entry.old and (
                entry.intention != intention or entry.new not in _CLAIMED
            )
            intention = entry.intention
            if entry.worker and entry.new not in ("PENDING", "IGNORE") and not told:
                yield entry
