"""What the doctor finds: the rules, and values that say which of them is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that what is stored keeps, or a setting that a server should have.

    Attributes:
        severity: how bad it is where it is broken.
        text: the rule in a sentence.
        repairable: whether what it is about can be computed from the rest.
    """

    severity: Severity
    text: str
    repairable: bool = False


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

#: All rules by name; docs/doctor.md says of each what to do.
RULES: Mapping[str, Rule] = {
    # The server
    "server-old": Rule(_ERROR, "Redis is 7.0, Valkey 7.2 or newer"),
    "server-evicts": Rule(_ERROR, "the server never evicts keys"),
    "server-evicted": Rule(_ERROR, "no key was evicted since the server's start"),
    "server-forgets": Rule(_WARNING, "the server keeps an append-only file"),
    "server-syncs-late": Rule(
        _WARNING, "the append-only file is on the disk within a second"
    ),
    "server-cannot-save": Rule(_ERROR, "the last save to disk went well"),
    "server-full": Rule(_WARNING, "a tenth of maxmemory is free"),
    "server-no-room": Rule(_ERROR, "maxmemory is not reached"),
    "server-unbounded": Rule(_NOTE, "maxmemory is set"),
    "server-replica": Rule(_ERROR, "the server is a primary"),
    "server-alone": Rule(_NOTE, "a replica is connected"),
    "server-lags": Rule(_WARNING, "replicas are less than ten seconds behind"),
    "server-silent": Rule(_NOTE, "the user may ask for this"),
    # The namespace
    "index-flows": Rule(
        _WARNING, "the index of flows has those that are there", repairable=True
    ),
    "index-atoms": Rule(_NOTE, "the index of atoms leads to flows", repairable=True),
    "index-submitted": Rule(
        _NOTE, "what is submitted is there, and open", repairable=True
    ),
    "index-servers": Rule(_NOTE, "serving workers have a live lease", repairable=True),
    "index-books": Rule(
        _WARNING, "the index of logbooks has those that exist", repairable=True
    ),
    "book-gone": Rule(_WARNING, "a flow's logbook exists"),
    "orphan-key": Rule(_ERROR, "keys of a flow are there with the flow"),
    "unknown-key": Rule(_WARNING, "keys of the namespace are redisflow's"),
    "hint-stays": Rule(_NOTE, "lists of hints expire", repairable=True),
    # A flow: its keys
    "newer-schema": Rule(_NOTE, "this version of redisflow knows the layout"),
    "in-motion": Rule(_NOTE, "the flow stands still while it is read"),
    "wrong-type": Rule(_ERROR, "keys have their type"),
    "lost-key": Rule(_ERROR, "collections exist, with their sentinel", repairable=True),
    "expires": Rule(_ERROR, "keys of a flow that is not over do not expire"),
    "field": Rule(_ERROR, "fields are there, and of their form"),
    "names": Rule(_ERROR, "atoms, their names and uuids agree"),
    "nameless": Rule(_ERROR, "a name leads to each atom", repairable=True),
    "graph": Rule(_ERROR, "the structure is whole, and its links go both ways"),
    # A flow: its history
    "journal-order": Rule(_ERROR, "revisions and epochs of the journal grow"),
    "journal-jump": Rule(_ERROR, "each transition begins where the last ended"),
    "journal-state": Rule(_ERROR, "states are those that the journal ends with"),
    # A flow: what is derived
    "changes": Rule(
        _ERROR, "the order of changes has the records' revisions", repairable=True
    ),
    "unfinished": Rule(
        _ERROR, "the count of unfinished atoms is right", repairable=True
    ),
    "missing": Rule(_ERROR, "counts of what nodes wait for are right", repairable=True),
    "planned": Rule(_ERROR, "the flow says whether there is a plan", repairable=True),
    "stuck": Rule(_ERROR, "what can be done next is offered", repairable=True),
    # A flow: who holds what
    "claims-count": Rule(
        _ERROR, "workers hold as many items as is counted", repairable=True
    ),
    "claim": Rule(_ERROR, "owner, token and state of an atom fit its claim"),
    "unclaimed": Rule(
        _ERROR, "who holds an atom or a failure has a claim on it", repairable=True
    ),
    "held-twice": Rule(_ERROR, "what is held is not offered to others"),
    "resolving": Rule(_ERROR, "the failure in question is the one that is held"),
    "left-over": Rule(_ERROR, "an ended run leaves no workers and no work"),
    "taken-over": Rule(_NOTE, "items are held by workers that live"),
    "plan-waits": Rule(_NOTE, "a plan is carried on by workers that live"),
    "lock-waits": Rule(_NOTE, "holders of the lock have a live lease"),
    # A flow: its results
    "result-flags": Rule(_ERROR, "records tell which results are stored"),
    "history": Rule(_ERROR, "retries have as many entries as is counted"),
    "value": Rule(_WARNING, "values can be read by the doctor's codec"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is broken, or a setting that should be another.

    Attributes:
        rule: its name in `RULES`.
        message: what is, and what should be.
        key: the key in Redis; "" where it is about the server.
        flow: uuid of the flow; "" where it is about none.
        mendable: whether this one can be mended, of a rule that can.
        node: the server's address, where it is one of a cluster's.
    """

    rule: str
    message: str
    key: str = ""
    flow: str = ""
    mendable: bool = True
    node: str = ""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity

    @property
    def repairable(self) -> bool:
        """Whether a repair can mend it."""
        return self.mendable and RULES[self.rule].repairable

    def __str__(self) -> str:
        where = self.key or self.node
        at = f" ({where})" if where else ""
        return f"{self.severity} {self.rule}: {self.message}{at}"
