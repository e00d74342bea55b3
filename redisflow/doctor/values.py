"""The rules of what is stored of results and metadata, and whether it can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from redisflow.codec import Codec
from redisflow.doctor.findings import Finding
from redisflow.doctor.snapshot import Snapshot
from redisflow.errors import CorruptKey
from redisflow.persistence.records import parse_payload

_FLAGS = {"failure": "E", "revert_failure": "R", "revert_results": "V"}
_LATE = "late:"
_VALUE = "value:"


def judge(
    snapshot: Snapshot, found: Callable[..., Finding], codec: Codec
) -> Iterator[Finding]:
    """Give what is wrong with what the codec has written, and with what counts it."""
    yield from _metadata(snapshot, found, codec)
    for uuid, stored in snapshot.results.items():
        record = snapshot.records.get(uuid)
        if record is None:
            if stored:
                yield found(
                    "names",
                    "it holds results of no atom",
                    key=snapshot.keys.result(uuid),
                )
            continue
        key = snapshot.keys.result(uuid)
        flags = {flag for name, flag in _FLAGS.items() if name in stored}
        if flags != set(record.get("failed", "")):
            yield found(
                "result-flags",
                f"the record of {snapshot.name_of(uuid)} says"
                f" {record.get('failed') or 'nothing'!r}, stored is"
                f" {''.join(sorted(flags)) or 'nothing'!r}",
                key=key,
            )
        if record["type"] == "retry":
            yield from _history(snapshot, uuid, record, stored, found)
        yield from _unreadable(snapshot, uuid, stored, found, codec)


def _metadata(
    snapshot: Snapshot, found: Callable[..., Finding], codec: Codec
) -> Iterator[Finding]:
    key = snapshot.keys.flow
    for name, data in snapshot.metadata.items():
        try:
            codec.decode(data, key=key)
        except CorruptKey as error:
            yield found("value", f"{name} of the flow: {error}", key=key)


def _history(
    snapshot: Snapshot,
    uuid: str,
    record: Mapping[str, str],
    stored: Mapping[str, bytes],
    found: Callable[..., Finding],
) -> Iterator[Finding]:
    entries = {name for name in stored if name.startswith("entry:")}
    plain = {name for name in entries if name.count(":") == 1}
    count = int(record.get("entries") or 0)
    if plain != {f"entry:{number}" for number in range(1, count + 1)}:
        yield found(
            "history",
            f"{snapshot.name_of(uuid)} counts {count} entries, stored are"
            f" {sorted(plain)}",
            key=snapshot.keys.result(uuid),
        )
    for name in sorted(entries - plain):
        if ":".join(name.split(":")[:2]) not in plain:
            yield found(
                "history",
                f"{name} belongs to no entry",
                key=snapshot.keys.result(uuid),
            )


def _unreadable(
    snapshot: Snapshot,
    uuid: str,
    stored: Mapping[str, bytes],
    found: Callable[..., Finding],
    codec: Codec,
) -> Iterator[Finding]:
    key = snapshot.keys.result(uuid)
    for name, data in stored.items():
        try:
            if name.startswith((_LATE, _VALUE)):
                codec.decode(data, key=key)
            else:
                parse_payload(name, data, codec, key=key)
        except CorruptKey as error:
            yield found(
                "value", f"{name} of {snapshot.name_of(uuid)}: {error}", key=key
            )
