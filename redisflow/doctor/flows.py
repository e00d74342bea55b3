"""The rules of one flow: what holds between its keys after every script.

Everything is computed anew from the records; nothing here is shared with the scripts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from taskflow import states

from redisflow.codec import Codec, loads_plain
from redisflow.doctor import claims, structure, values
from redisflow.doctor.findings import Finding
from redisflow.doctor.snapshot import (
    KINDS,
    WITHOUT_SENTINEL,
    Snapshot,
    take_snapshot,
)
from redisflow.keys import SCHEMA
from redisflow.persistence import RedisBackend
from redisflow.persistence.layout import OF_ATOM, OF_FLOW
from redisflow.persistence.names import ATOM_STATES, FLOW_STATES, INTENTIONS
from redisflow.persistence.records import DETAIL_CLASSES

#: Makes a finding of a rule: message, and the key that it is about.
Found = Callable[..., Finding]


def check_flow(backend: RedisBackend, flow_uuid: str) -> list[Finding]:
    """Look for what is wrong with a flow; an empty list if nothing is.

    Raises:
        StoreError: the server did not answer.
    """
    snapshot = take_snapshot(backend.client, backend.keys.of_flow(flow_uuid))
    if snapshot is None:
        return []
    return list(judge(snapshot, backend.codec))


def judge(snapshot: Snapshot, codec: Codec) -> Iterator[Finding]:
    """Give all findings about a flow as it was read."""
    for finding in _findings(snapshot, codec):
        mendable = _can_mend(finding, snapshot)
        yield finding if mendable else dataclasses.replace(finding, mendable=False)


def _can_mend(finding: Finding, snapshot: Snapshot) -> bool:
    """Tell whether a finding is one that `repair_flow` mends: not a lost lock."""
    if snapshot.types["plan"] == "none" and snapshot.flow.get("planned") == "1":
        return False  # nobody knows how far that change of many records had come
    return finding.key not in (
        snapshot.keys.lock,
        snapshot.keys.flow if finding.rule == "lost-key" else "",
        snapshot.keys.events,
        # What is held is named by nodes, and could not be taken back.
        snapshot.keys.graph if snapshot.hashes["claims"] else "",
    )


def _findings(snapshot: Snapshot, codec: Codec) -> Iterator[Finding]:
    found: Found = partial(Finding, flow=snapshot.keys.flow_uuid)
    schema = snapshot.flow.get("schema", "")
    if schema.isdigit() and int(schema) > SCHEMA:
        yield found(
            "newer-schema",
            f"layout {schema}, this version knows {SCHEMA}: the flow is left alone",
            key=snapshot.keys.flow,
        )
        return
    broken = [*_keys(snapshot, found), *_fields(snapshot, found)]
    yield from broken
    if any(finding.rule in ("wrong-type", "field") for finding in broken):
        return  # what follows would only repeat it in other words
    yield from _expiry(snapshot, found)
    if not snapshot.steady:
        yield found(
            "in-motion",
            "it changed each time that it was read: what depends on several keys was"
            " not compared",
            key=snapshot.keys.flow,
        )
        return
    yield from _names(snapshot, found)
    yield from _history(snapshot, found)
    yield from structure.judge(snapshot, found)
    yield from claims.judge(snapshot, found)
    yield from values.judge(snapshot, found, codec)


def _keys(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    for name, kind in KINDS.items():
        key, is_ = getattr(snapshot.keys, name), snapshot.types[name]
        if is_ not in (kind, "none"):
            yield found("wrong-type", f"it holds a {is_}, not a {kind}", key=key)
        elif is_ == "none":
            yield found("lost-key", "it is gone", key=key)
        elif name not in (*WITHOUT_SENTINEL, *snapshot.sentinels):
            yield found("lost-key", "its sentinel is gone", key=key)
    for key, is_ in snapshot.types.items():
        if key not in KINDS:
            yield found("wrong-type", f"it holds a {is_}, not a hash", key=key)


def _fields(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    if snapshot.types["flow"] == KINDS["flow"]:
        yield from _fields_of_flow(snapshot, found)
    for uuid, record in snapshot.records.items():
        yield from _fields_of_atom(record, found, key=snapshot.keys.atom(uuid))
    for key, names in snapshot.garbled.items():
        for name in names:
            yield found("field", f"field {name} is no text", key=key)


def _fields_of_flow(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    flow, key = snapshot.flow, snapshot.keys.flow
    for name in OF_FLOW.lacking(flow):
        yield found("field", f"field {name} is gone", key=key)
    for name in OF_FLOW.odd(flow):
        yield found("field", f"field {name} is {flow[name]!r}, no number", key=key)
    if flow.get("state", "") not in ("", *FLOW_STATES):
        yield found("field", f"{flow['state']!r} is no state of a flow", key=key)


def _fields_of_atom(
    record: Mapping[str, str], found: Found, *, key: str
) -> Iterator[Finding]:
    wrong = [*OF_ATOM.lacking(record), *OF_ATOM.odd(record)]
    wrong += [
        name
        for name, right in (
            ("state", record.get("state", "") in ("", *ATOM_STATES)),
            ("intention", record.get("intention") in INTENTIONS),
            ("type", record.get("type") in DETAIL_CLASSES),
            ("provides", _is_object(record.get("provides") or "{}")),
        )
        if not right
    ]
    for name in dict.fromkeys(wrong):
        what = record.get(name)
        yield found("field", f"field {name} of an atom cannot be {what!r}", key=key)


def _is_object(text: str) -> bool:
    try:
        return isinstance(loads_plain(text), dict)
    except ValueError:
        return False


def _expiry(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    """Only what belongs to an ended run may expire."""
    if snapshot.over and snapshot.state != states.SUSPENDED:
        return
    for key, left_ms in snapshot.ttls.items():
        yield found("expires", f"it expires in {left_ms / 1000:.0f} s", key=key)


def _names(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    """Compare the atoms with the names that lead to them."""
    for name, uuid in snapshot.atoms.items():
        record = snapshot.records.get(uuid)
        if record is None:
            yield found("names", f"atom {name!r} is gone", key=snapshot.keys.atom(uuid))
        elif record.get("name") != name:
            yield found(
                "names",
                f"name {record.get('name')!r} stands in the record of {name!r}",
                key=snapshot.keys.atom(uuid),
            )
    first = set(snapshot.atoms.values())
    for uuid, record in snapshot.records.items():
        if uuid not in first and record.get("name") not in snapshot.atoms:
            yield found(
                "nameless",
                f"no name leads to atom {record.get('name')!r}",
                key=snapshot.keys.atom(uuid),
            )


def _history(snapshot: Snapshot, found: Found) -> Iterator[Finding]:
    """Fold the journal, and compare what comes of it with the records."""
    key = snapshot.keys.events
    yield from _order(snapshot.journal, int(snapshot.flow["rev"]), found, key)
    state: dict[str, str] = {}
    last: dict[str, dict[str, str]] = {}
    for entry in snapshot.journal:
        atom = entry.get("atom", "")
        if entry.get("from", "") != state.get(atom, ""):
            yield found(
                "journal-jump",
                f"rev {entry.get('rev')} moves {_whose(snapshot, atom)} from"
                f" {entry.get('from') or 'nothing'}, where it was"
                f" {state.get(atom) or 'nothing'}",
                key=key,
            )
        state[atom] = entry.get("to", "")
        last[atom] = entry
    ends = state.get("", "")
    if snapshot.flow["state"] and snapshot.flow["state"] != ends:
        yield found(
            "journal-state",
            f"the flow is {snapshot.flow['state']}, the journal ends with {ends}",
            key=snapshot.keys.flow,
        )
    for uuid, record in snapshot.records.items():
        entry = last.get(uuid, {})
        told = (entry.get("to", ""), entry.get("intention", "EXECUTE"))
        stored = (record["state"], record["intention"])
        if told != stored:
            yield found(
                "journal-state",
                f"{snapshot.name_of(uuid)} is {'/'.join(stored)}, the journal ends"
                f" with {'/'.join(told)}",
                key=snapshot.keys.atom(uuid),
            )


def _order(
    journal: Sequence[dict[str, str]], rev: int, found: Found, key: str
) -> Iterator[Finding]:
    before = (0, 0)
    for entry in journal:
        numbers = entry.get("epoch", ""), entry.get("rev", "")
        if not all(number.isdigit() for number in numbers):
            yield found("journal-order", f"an entry has no revision: {entry}", key=key)
            continue
        here = int(numbers[0]), int(numbers[1])
        if here[0] < before[0] or here[1] <= before[1]:
            yield found(
                "journal-order",
                f"rev {here[1]} (epoch {here[0]}) comes after rev {before[1]}"
                f" (epoch {before[0]})",
                key=key,
            )
        before = here
    if before[1] > rev:
        yield found(
            "journal-order",
            f"it ends with rev {before[1]}, the flow has {rev}",
            key=key,
        )


def _whose(snapshot: Snapshot, atom: str) -> str:
    return snapshot.name_of(atom) if atom else "the flow"
