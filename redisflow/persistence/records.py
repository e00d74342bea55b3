"""What stands in the hashes of a flow, and how it becomes TaskFlow's details.

Replies of RESP are flat lists of names and values, as bytes. Fields that
redisflow itself writes are plain text; the values of ``meta:`` fields, results and
failures are the codec's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from taskflow import states
from taskflow.persistence import models

from redisflow.codec import Codec, loads_plain
from redisflow.errors import CorruptKey
from redisflow.keys import FlowKeys

#: What scripts write of an atom's progress is a number, and never encrypted.
_PROGRESS, _NUMBER = b"meta:progress", re.compile(rb"[01]\.[0-9]+")
_META = b"meta:"
#: Fields of a flow that only the codec can read.
_ENCODED = (b"halt:", b"submitted:")
_INJECTED = b"injected:"
_TRANSIENT = b"transient:"
_ENTRY = "entry:"

#: Fields of an atom's hash that are plain text, and read here.
_PLAIN: Mapping[bytes, str] = {
    name.encode(): name
    for name in (
        "attempt",
        "entries",
        "failed",
        "finished_at",
        "intention",
        "name",
        "node",
        "owner",
        "place",
        "provides",
        "requires",
        "rev",
        "round",
        "started_at",
        "state",
        "type",
        "version",
    )
}

#: The entry of an atom's metadata that shows what was injected into it.
META_INJECTED = "injected"

#: The entry of a flow's metadata that holds its run id.
META_RUN_ID = "run_id"

#: The field of a flow's hash that this entry stands in.
RUN_ID_FIELD = f"meta:{META_RUN_ID}"

#: Fields of a result hash that hold a Failure; all others hold a value.
FAILURE_FIELDS = ("failure", "revert_failure")

#: Fields of a result hash that are attributes of the details.
RESULT_FIELDS = ("results", "revert_results", *FAILURE_FIELDS)

#: What TaskFlow keeps of a retry: for each try its value, and failures by atom.
History = list[tuple[Any, dict[str, Any]]]

#: The class of details for each ``type`` of an atom.
DETAIL_CLASSES: Mapping[str, type[models.AtomDetail]] = {
    "task": models.TaskDetail,
    "retry": models.RetryDetail,
}


@dataclass(slots=True)
class AtomRecord:
    """One atom as this process last saw it.

    Attributes:
        detail: TaskFlow's details; results are filled in when they are fetched.
        type: ``task`` or ``retry``.
        place: counts the flow's atoms in the order of their creation, from 1.
        rev: the flow's revision at its last change.
        failed: what is stored beside the results: ``E`` a failure of execute, ``R`` one
            of revert, ``V`` results of revert.
        owner: the worker that holds it, or "".
        round: how many times it was begun anew.
        attempt: how many workers this round has cost.
        node: its number in the flow's graph; -1 if it is not in it.
        started_at: when it was taken last, in the server's milliseconds; 0 for never.
        finished_at: when it was finished last.
        provides: name -> index into the result, None for all of it.
        requires: names of the values that it cannot be executed without.
        entries: how many entries the history of a retry has.
        payloads: results and failures that this process knows, by field.
        raised: failures that were raised in this process, with their tracebacks.
    """

    detail: models.AtomDetail
    type: str
    place: int = 0
    rev: int = 0
    failed: str = ""
    owner: str = ""
    round: int = 0
    attempt: int = 0
    node: int = -1
    started_at: int = 0
    finished_at: int = 0
    provides: Mapping[str, Any] = field(default_factory=dict)
    requires: Sequence[str] = ()
    entries: int = 0
    payloads: dict[str, Any] = field(default_factory=dict)
    raised: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The atom's name."""
        return str(self.detail.name)

    @property
    def uuid(self) -> str:
        """The atom's uuid."""
        return str(self.detail.uuid)

    @property
    def last(self) -> str:
        """The field of the result hash that holds what ``execute`` returned last."""
        return entry_field(self.entries) if self.type == "retry" else "results"


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """The hash of a flow.

    Attributes:
        fields: redisflow's own fields, as text.
        meta: metadata of TaskFlow and of the user, decoded.
        transients: names of values that some worker has and others cannot get.
    """

    fields: Mapping[str, str]
    meta: Mapping[str, Any]
    transients: frozenset[str] = frozenset()

    @property
    def state(self) -> str | None:
        """The flow's state; None as long as it has never had one."""
        return self.fields["state"] or None

    @property
    def run(self) -> int:
        """Number of the current run."""
        return int(self.fields["run"])

    @property
    def ended(self) -> int:
        """Number of the last run that has ended; 0 if none has."""
        return int(self.fields["ended"])

    @property
    def rev(self) -> int:
        """The revision of its last change."""
        return int(self.fields["rev"])

    @property
    def epoch(self) -> int:
        """How many histories of its server it has lived through."""
        return int(self.fields["epoch"])

    @property
    def history(self) -> tuple[str, int]:
        """In which of them this is; an epoch can be lost, and counted again."""
        return self.fields["server"], self.epoch


def pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Give the names and values of a flat reply two by two."""
    return zip(flat[::2], flat[1::2], strict=True)


def parse_flow(flat: Sequence[bytes], codec: Codec, *, key: str) -> FlowRecord:
    """Read the hash of a flow.

    Raises:
        CorruptKey: a field is missing or not understood.
    """
    fields: dict[str, str] = {}
    meta: dict[str, Any] = {}
    transients: set[str] = set()
    try:
        for name, value in pairs(flat):
            if name.startswith(_META):
                meta[name[5:].decode()] = codec.decode(value, key=key)
            elif name.startswith(_TRANSIENT):
                transients.add(name[len(_TRANSIENT) :].decode())
            elif not name.startswith(_ENCODED):
                fields[name.decode()] = value.decode()
        record = FlowRecord(fields, meta, frozenset(transients))
        _ = fields["name"], record.state, record.run, record.ended
        _ = record.rev, record.history
    except (KeyError, ValueError) as error:
        message = f"key {key} is not a flow that redisflow wrote: {error!r}"
        raise CorruptKey(message, key=key) from error
    return record


def parse_atom(
    uuid: str, flat: Sequence[bytes], codec: Codec, *, key: str
) -> AtomRecord:
    """Read the hash of an atom.

    Args:
        uuid: the atom's.
        flat: names and values in turn.
        codec: decodes its metadata.
        key: where it stands, to name it in an error.

    Raises:
        CorruptKey: a field is missing or not understood.
    """
    fields: dict[str, str] = {}
    meta: dict[str, Any] = {}
    injected: dict[str, Any] = {}
    try:
        for name, value in pairs(flat):
            plain = _PLAIN.get(name)
            if plain is not None:
                fields[plain] = value.decode()
            elif name == _PROGRESS and _NUMBER.fullmatch(value):
                meta["progress"] = float(value)
            elif name.startswith(_META):
                meta[name[5:].decode()] = codec.decode(value, key=key)
            elif name.startswith(_INJECTED):
                injected[name[9:].decode()] = codec.decode(value, key=key)
        if injected:
            meta[META_INJECTED] = {**(meta.get(META_INJECTED) or {}), **injected}
        detail = DETAIL_CLASSES[fields["type"]](fields["name"], uuid)
        detail.state = fields.get("state") or None
        detail.intention = fields.get("intention", "EXECUTE")
        detail.version = fields.get("version") or None
        detail.meta = meta
        return AtomRecord(
            detail,
            type=fields["type"],
            place=int(fields.get("place", 0)),
            rev=int(fields["rev"]),
            failed=fields.get("failed", ""),
            owner=fields.get("owner", ""),
            round=int(fields.get("round", 0)),
            attempt=int(fields.get("attempt", 0)),
            node=int(fields.get("node") or -1),
            started_at=int(fields.get("started_at", 0)),
            finished_at=int(fields.get("finished_at", 0)),
            provides=_parse_provides(fields.get("provides") or "{}"),
            requires=_parse_requires(fields.get("requires") or "[]"),
            entries=int(fields.get("entries", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"key {key} is not an atom that redisflow wrote: {error!r}"
        raise CorruptKey(message, key=key) from error


def parse_atoms(
    found: Sequence[Any], codec: Codec, keys: FlowKeys
) -> Iterator[AtomRecord]:
    """Read what flow_sync tells of atoms: uuids and hashes in turn.

    Raises:
        CorruptKey: a field is missing or not understood.
    """
    for name, flat in zip(found[::2], found[1::2], strict=True):
        uuid = name.decode()
        yield parse_atom(uuid, flat, codec, key=keys.atom(uuid))


class NewAtom(NamedTuple):
    """An atom that is to have details.

    Attributes:
        name: its name in the flow.
        type: ``task`` or ``retry``.
        version: its version, as text.
        provides: name -> index into its result, as JSON; empty if it provides nothing.
        requires: names of the values that it needs, as JSON; empty if it needs none.
    """

    name: str
    type: str
    version: str
    provides: bytes = b""
    requires: bytes = b""

    def record(self, uuid: str, *, place: int, rev: int) -> AtomRecord:
        """Make the record that the script atom_ensure creates of it."""
        detail = DETAIL_CLASSES[self.type](self.name, uuid)
        detail.state = states.PENDING
        detail.version = self.version or None
        record = AtomRecord(
            detail,
            type=self.type,
            place=place,
            rev=rev,
            provides=_parse_provides(self.provides.decode() or "{}"),
            requires=_parse_requires(self.requires.decode() or "[]"),
        )
        if self.type == "retry":
            record.payloads["results"] = detail.results = []
        return record


@functools.lru_cache(maxsize=256)
def _parse_provides(text: str) -> Mapping[str, Any]:
    """Read what an atom provides; most provide nothing, and share that."""
    return MappingProxyType(loads_plain(text))


@functools.lru_cache(maxsize=256)
def _parse_requires(text: str) -> Sequence[str]:
    """Read what an atom requires, likewise."""
    return tuple(map(str, loads_plain(text)))


def parse_payload(field_name: str, data: bytes, codec: Codec, *, key: str) -> Any:
    """Decode one field of a result hash.

    Raises:
        CorruptKey: it is not understood.
    """
    is_entry = field_name.startswith(_ENTRY) and field_name.count(":") > 1
    if field_name in FAILURE_FIELDS or is_entry:
        return codec.decode_failure(data, key=key)
    return codec.decode(data, key=key)


def entry_field(number: int, failed: str | None = None) -> str:
    """Name the field of an entry of a retry's history, or of a failure noted in it.

    >>> entry_field(2), entry_field(2, "upload")
    ('entry:2', 'entry:2:failure:upload')
    """
    return f"{_ENTRY}{number}" + ("" if failed is None else f":failure:{failed}")


def history_from(payloads: Mapping[str, Any]) -> History:
    """Build a retry's history from the decoded fields of its result hash."""
    entries: dict[int, tuple[Any, dict[str, Any]]] = {}
    failures: list[tuple[int, str, Any]] = []
    for name, value in payloads.items():
        number, mark, failed = name.removeprefix(_ENTRY).partition(":failure:")
        if not name.startswith(_ENTRY):
            continue
        if mark:
            failures.append((int(number), failed, value))
        else:
            entries[int(number)] = (value, {})
    for entry, failed, failure in failures:
        if entry in entries:
            entries[entry][1][failed] = failure
    return [entries[number] for number in sorted(entries)]


def version_text(version: Any) -> str:
    """Write an atom's version (a tuple of ints, or text) as TaskFlow prints it."""
    if isinstance(version, (list, tuple)):
        return ".".join(str(part) for part in version)
    return str(version or "")
