"""Reading an export from its first line to its last, before any of it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from redisflow.errors import BadExport, ValueRefused
from redisflow.keys import SCHEMA
from redisflow.moving.form import FORMAT, HEAD, bytes_of, read_lines
from redisflow.persistence.layout import OF_ATOM, OF_FLOW, Layout
from redisflow.persistence.names import as_uuid

#: What one line may have: scripts take only so much at once.
_MOST_FIELDS = 3000

_ID = re.compile(r"(\d{1,15})-(\d{1,15})")


@dataclass
class Checked:
    """What an export says of itself; all of it was read, and is of its form.

    Attributes:
        run_id: the run's name; None if it has none, or could not be read.
        flow_uuid: of its flow.
        name: the flow's.
        state: the flow's.
        rev: its revision.
        origin: where it was.
        exported_by: who wrote the file.
        flow: the fields of the flow's own hash.
        book_uuid: of its logbook; empty if that was gone.
        book: the fields of its logbook.
        own: whether the logbook was made for this flow alone.
        workers: who was at work then.
        names: how many names of atoms there are.
        links: how many fields the structure has.
        entries: how many entries the journal has.
        atoms: uuid -> name of each of its atoms.
        results: how many fields of results there are.
        lines: how many lines were read.
    """

    run_id: str | None = None
    flow_uuid: str = ""
    name: str = ""
    state: str = ""
    rev: int = 0
    origin: str = ""
    exported_by: str = ""
    flow: dict[bytes, bytes] = field(default_factory=dict)
    book_uuid: str = ""
    book: dict[bytes, bytes] = field(default_factory=dict)
    own: bool = False
    workers: list[str] = field(default_factory=list)
    names: int = 0
    links: int = 0
    entries: int = 0
    atoms: dict[str, str] = field(default_factory=dict)
    results: int = 0
    lines: int = 0
    last: tuple[int, int] = (0, 0)


def check_export(stream: BinaryIO) -> Checked:
    """Read a file to its end, and tell what is in it.

    Raises:
        BadExport: it is no export, one of another version, or not a whole one.
    """
    found = Checked()
    for number, record in read_lines(stream):
        found.lines = number
        check = _CHECKS.get(record["kind"])
        if check is None or (record["kind"] == HEAD) != (number == 1):
            kind = record["kind"]
            raise BadExport(f"a line of the kind {kind!r:.40} is none", line=number)
        try:
            check(found, record)
        except (KeyError, TypeError, ValueError, ValueRefused) as error:
            what = f"a {record['kind']} is not what it should be: {error}"
            raise BadExport(f"{what:.300}", line=number) from error
    if not found.flow:
        raise BadExport(f"the {FORMAT} has no flow")
    return found


def fields_in(record: Mapping[str, Any], name: str = "fields") -> dict[bytes, bytes]:
    """Give the fields of a line as the bytes that they were.

    Raises:
        TypeError: they are something else.
        ValueError: one of them cannot be read.
    """
    fields = record[name]
    if not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise TypeError(f"its {name} are no object of at most {_MOST_FIELDS:,}")
    return {bytes_of(key): bytes_of(value) for key, value in fields.items()}


def members_in(record: Mapping[str, Any]) -> dict[bytes, float]:
    """Give the members of a sorted set with their scores.

    Raises:
        TypeError: they are something else.
    """
    members = record["members"]
    if not isinstance(members, dict) or len(members) > _MOST_FIELDS:
        raise TypeError(f"its members are no object of at most {_MOST_FIELDS:,}")
    return {bytes_of(member): float(score) for member, score in members.items()}


def _head(found: Checked, record: Mapping[str, Any]) -> None:
    found.run_id = record["run_id"]
    if not isinstance(found.run_id, (str, type(None))):
        raise TypeError("its run id is no text")
    found.flow_uuid = as_uuid(record["flow_uuid"])
    found.name = bytes_of(record["name"]).decode(errors="replace")
    found.state = str(record["state"])
    found.rev = int(record["rev"])
    found.origin = str(record["origin"])
    found.exported_by = str(record["exported_by"])
    schema = int(record["schema"])
    if schema > SCHEMA:
        raise ValueError(f"its layout is {schema}, this redisflow knows {SCHEMA}")


def _flow(found: Checked, record: Mapping[str, Any]) -> None:
    if found.flow:
        raise ValueError("there is a second one")
    fields = fields_in(record)
    _judge(fields, OF_FLOW)
    if fields[b"uuid"].decode() != found.flow_uuid:
        raise ValueError("it has another uuid")
    if int(fields[b"schema"]) > SCHEMA:
        raise ValueError("its layout is newer than this redisflow")
    found.flow = fields


def _judge(fields: Mapping[bytes, bytes], layout: Layout) -> None:
    """Refuse a record that has not all its fields, or others in place of numbers."""
    texts = {
        name: fields[name.encode()].decode()
        for name in layout.names
        if name.encode() in fields
    }
    if lacking := layout.lacking(texts):
        raise ValueError(f"it has no {lacking[0]}")
    if odd := layout.odd(texts):
        raise ValueError(f"its {odd[0]} is {texts[odd[0]]!r:.40}, no number")


def _book(found: Checked, record: Mapping[str, Any]) -> None:
    found.book_uuid = as_uuid(record["uuid"])
    found.own = bool(record["own"])
    found.book = fields_in(record)
    _ = found.book[b"name"]


def _atom(found: Checked, record: Mapping[str, Any]) -> None:
    uuid = as_uuid(record["uuid"])
    if uuid in found.atoms:
        raise ValueError(f"there are two with the uuid {uuid}")
    fields = fields_in(record)
    _judge(fields, OF_ATOM)
    if not isinstance(record["indexed"], bool):
        raise TypeError("whether it is in the index is neither true nor false")
    found.atoms[uuid] = fields[b"name"].decode()


def _result(found: Checked, record: Mapping[str, Any]) -> None:
    if record["uuid"] not in found.atoms:
        raise ValueError(f"there is no atom {record['uuid']!r:.60} before it")
    found.results += len(fields_in(record))


def _names(found: Checked, record: Mapping[str, Any]) -> None:
    fields = _entries_in(record)
    for uuid in fields.values():
        if uuid.decode() not in found.atoms:
            raise ValueError(f"a name leads to {uuid!r:.60}, which is no atom")
    found.names += len(fields)


def _graph(found: Checked, record: Mapping[str, Any]) -> None:
    fields = _entries_in(record)
    for name, text in fields.items():
        node = name.isdigit()
        if node and (text.count(b"|") != 4 or not _known(found, text)):  # noqa: PLR2004
            raise ValueError(f"node {name!r} is not understood")
    found.links += len(fields)


def _known(found: Checked, node: bytes) -> bool:
    atom = node.split(b"|")[2].decode()
    return not atom or atom in found.atoms


def _hash(_found: Checked, record: Mapping[str, Any]) -> None:
    _entries_in(record)


def _entries_in(record: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Read the fields of a collection, in which some names are kept for others."""
    fields = fields_in(record)
    for name in (b"", b"-", b"importing", b"imported"):
        if name in fields:
            raise ValueError(f"it has a field {name!r}")
    return fields


def _ready(_found: Checked, record: Mapping[str, Any]) -> None:
    members_in(record)


def _workers(found: Checked, record: Mapping[str, Any]) -> None:
    found.workers += [member.decode() for member in members_in(record)]


def _reached(_found: Checked, record: Mapping[str, Any]) -> None:
    bytes_of(record["bytes"])


def _event(found: Checked, record: Mapping[str, Any]) -> None:
    numbers = _ID.fullmatch(record["id"])
    if numbers is None:
        raise ValueError(f"{record['id']!r:.40} is no id of an entry")
    here = int(numbers[1]), int(numbers[2])
    if here <= found.last:
        raise ValueError(f"{record['id']} comes too late")
    if not fields_in(record):
        raise ValueError("it is empty")
    found.last = here
    found.entries += 1


_CHECKS: Mapping[str, Callable[[Checked, Mapping[str, Any]], None]] = {
    HEAD: _head,
    "flow": _flow,
    "book": _book,
    "atom": _atom,
    "result": _result,
    "atoms": _names,
    "graph": _graph,
    **dict.fromkeys(("missing", "claims", "plan"), _hash),
    "ready": _ready,
    "workers": _workers,
    "reached": _reached,
    "event": _event,
}
