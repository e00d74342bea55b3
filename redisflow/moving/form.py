"""The form of an export: lines of JSON, bounded in size, with a digest at the end.

The first line says what it is, the last one whether it is whole::

    {"kind":"redisflow-export","version":1,"schema":1,"run_id":"nightly",...}
    {"kind":"flow","fields":{"name":"load","state":"SUSPENDED",...}}
    {"kind":"book","uuid":"...","own":true,"fields":{"name":"nightly",...}}
    {"kind":"atom","uuid":"...","fields":{"name":"fetch","state":"SUCCESS",...}}
    {"kind":"result","uuid":"...","fields":{"results":"[1,2]"}}
    {"kind":"graph","fields":{"0":"f|0||1|",...}}
    {"kind":"event","id":"1732588000000-0","fields":{"rev":"1",...}}
    {"kind":"end","counts":{"atom":3,...},"sha256":"..."}

Fields, members and values are what stands in Redis. Bytes that are UTF-8 are that text;
others, and texts that would look like those, are ``base64:`` and their base64. So names
and values are read with any tool, and come back byte for byte.

A digest finds damage, not malice: whoever can write the file can write the digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from redisflow.codec import dumps_plain, loads_plain
from redisflow.errors import BadExport

FORMAT = "redisflow-export"

#: Of what is written here; a file with a higher one is refused.
VERSION = 1

#: Bytes of the longest line: a value of 16 MiB, each byte of it spelled with six.
MAX_LINE = 128 * 2**20

#: Fields in one line, of collections that are cut into several.
FIELDS_IN_LINE = 500

#: Bytes of values in one line, but for a single value that is longer.
BYTES_IN_LINE = 2**20

HEAD, END = FORMAT, "end"
_MARK = "base64:"


def text_of(data: bytes) -> str:
    r"""Write bytes as text that JSON can hold.

    >>> [text_of(data) for data in (b"fetch", b"base64:x", b"\xff")]
    ['fetch', 'base64:YmFzZTY0Ong=', 'base64:/w==']
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _MARK
    if text.startswith(_MARK):
        return _MARK + base64.b64encode(data).decode()
    return text


def bytes_of(text: object) -> bytes:
    r"""Read what `text_of` wrote.

    >>> [bytes_of(text) for text in ("fetch", "base64:/w==")]
    [b'fetch', b'\xff']

    Raises:
        ValueError: it is no text, or no base64 after the mark.
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r:.40} is no text")
    if not text.startswith(_MARK):
        return text.encode()
    try:
        return base64.b64decode(text[len(_MARK) :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text!r:.40} is no base64: {error}") from error


def fields_of(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Write the fields of a hash, or of an entry of a stream."""
    return {text_of(name): text_of(value) for name, value in fields.items()}


class Pen:
    """Writes an export.

    Args:
        stream: where it goes; only written to.

    Attributes:
        counts: lines by their kind.
        size: bytes that were written.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.counts: Counter[str] = Counter()
        self.size = 0

    def write(self, kind: str, **record: Any) -> None:
        """Write a line.

        Raises:
            BadExport: it would be longer than any that is read.
        """
        line = dumps_plain({"kind": kind, **record}) + b"\n"
        if len(line) > MAX_LINE:
            raise BadExport(f"a {kind} of {len(line):,} bytes is too long for a line")
        self._digest.update(line)
        self._stream.write(line)
        self.counts[kind] += 1
        self.size += len(line)

    def end(self) -> None:
        """Write the last line: how many there are of each kind, and their digest."""
        counts = dict(self.counts)
        self.write(END, counts=counts, sha256=self._digest.hexdigest())


def read_lines(stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read an export line by line, each with its number; the digest is compared.

    Raises:
        BadExport: it is none, one of another version, or not a whole one.
    """
    digest = hashlib.sha256()
    counts: Counter[str] = Counter()
    number = 0
    while True:
        line = stream.readline(MAX_LINE + 1)
        number += 1
        if not line:
            raise BadExport(
                "the file is cut short: it has no last line with counts and digest"
                if number > 1
                else "the file is empty"
            )
        record = _record(line, number)
        if number == 1:
            _check_head(record)
        if record["kind"] == END:
            break
        digest.update(line)
        counts[record["kind"]] += 1
        yield number, record
    if record.get("counts") != counts or record.get("sha256") != digest.hexdigest():
        raise BadExport("the digest does not fit: the file was changed or damaged")
    if stream.read(1):
        raise BadExport("something follows its last line", line=number + 1)


def _record(line: bytes, number: int) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise BadExport(f"it is longer than {MAX_LINE:,} bytes", line=number)
    try:
        record = loads_plain(line) if line.endswith(b"\n") else None
    except ValueError:
        record = None
    if isinstance(record, dict) and isinstance(record.get("kind"), str):
        return record
    if number == 1:
        raise BadExport(f"the file is no {FORMAT}")
    raise BadExport("the file is cut short or damaged here", line=number)


def _check_head(record: Mapping[str, Any]) -> None:
    if record["kind"] != HEAD:
        raise BadExport(f"the file is no {FORMAT}")
    version = record.get("version")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise BadExport(
            f"it is of version {version}, and this redisflow reads up to {VERSION}:"
            " import it with the redisflow that wrote it, or a newer one"
        )
