"""The form of exports: byte for byte, and what is not a whole one is refused."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redisflow.codec import dumps_plain, loads_plain
from redisflow.errors import BadExport
from redisflow.moving import check_export, form
from redisflow.moving.checking import fields_in
from redisflow.moving.form import HEAD, Pen, bytes_of, fields_of, read_lines, text_of

HEADER = {
    "version": 1,
    "schema": 1,
    "run_id": "nightly",
    "flow_uuid": "F1",
    "name": "f",
    "state": "SUCCESS",
    "rev": 9,
    "origin": "db1",
    "exported_by": "me",
}
FLOW = {
    **dict.fromkeys(("schema", "run", "rev", "ended", "epoch"), "1"),
    **dict.fromkeys(("unfinished", "halt", "created_at", "updated_at"), "0"),
    **dict.fromkeys(("resolving", "planned"), ""),
    "name": "f",
    "uuid": "F1",
    "book": "",
    "state": "SUCCESS",
}
ATOM = {
    "name": "a",
    "state": "SUCCESS",
    "intention": "EXECUTE",
    "type": "task",
    "rev": "5",
    "round": "1",
}


def written(*lines: tuple[str, dict[str, object]], **head: object) -> bytes:
    """Write an export of these lines."""
    stream = io.BytesIO()
    pen = Pen(stream)
    pen.write(HEAD, **{**HEADER, **head})
    for kind, record in lines:
        pen.write(kind, **record)
    pen.end()
    return stream.getvalue()


def whole() -> bytes:
    """Write a small export with a line of each kind."""
    return written(
        ("flow", {"fields": FLOW}),
        ("book", {"uuid": "B", "own": True, "fields": {"name": "f"}}),
        ("atom", {"uuid": "u1", "indexed": False, "fields": ATOM}),
        ("result", {"uuid": "u1", "fields": {"results": "base64:/w=="}}),
        ("atoms", {"fields": {"a": "u1"}}),
        ("graph", {"fields": {"0": "t|0|u1||"}}),
        ("missing", {"fields": {}}),
        ("claims", {"fields": {}}),
        ("plan", {"fields": {}}),
        ("ready", {"members": {"00000000:execute": -1.5}}),
        ("workers", {"members": {"w1": 5}}),
        ("reached", {"bytes": ""}),
        ("event", {"id": "5-0", "fields": {"rev": "1"}}),
        ("event", {"id": "5-1", "fields": {"rev": "2"}}),
    )


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda t: t.encode()))
def test_bytes_come_back(data):
    """Whatever they are; and what is text can be read as text."""
    text = text_of(data)

    assert bytes_of(json.loads(json.dumps(text))) == data
    if not text.startswith("base64:"):
        assert text.encode() == data


@given(st.dictionaries(st.binary(max_size=12), st.binary(max_size=12), max_size=9))
def test_fields_come_back(fields):
    """No two names become one."""
    line = dumps_plain({"fields": fields_of(fields)})

    assert fields_in(loads_plain(line)) == fields


def test_what_is_whole_is_told():
    """Counts, names and workers, as an import needs them."""
    found = check_export(io.BytesIO(whole()))

    assert (found.run_id, found.flow_uuid, found.own) == ("nightly", "F1", True)
    assert (found.names, found.links, found.entries, found.results) == (1, 1, 2, 1)
    assert (found.atoms, found.workers, found.lines) == ({"u1": "a"}, ["w1"], 15)


def test_people_can_read_it():
    """Texts are text, in lines that each say what they are."""
    lines = [json.loads(line) for line in whole().splitlines()]

    assert [line["kind"] for line in lines][:3] == ["redisflow-export", "flow", "book"]
    assert lines[1]["fields"]["state"] == "SUCCESS"


@given(st.data())
def test_file_that_was_cut_is_noticed(data):
    """At whatever byte."""
    text = whole()
    cut = data.draw(st.integers(0, len(text) - 1))

    with pytest.raises(BadExport, match=r"cut short|empty|is no redisflow-export"):
        check_export(io.BytesIO(text[:cut]))


@given(st.data())
def test_file_that_was_changed_is_noticed(data):
    """Whatever byte it is: by its form, or by the digest."""
    text = bytearray(whole())
    place = data.draw(st.integers(0, len(text) - 2))
    text[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BadExport):
        check_export(io.BytesIO(bytes(text)))


def test_lines_that_were_left_out_or_added_are_noticed():
    """Counts and digest are of all lines, and nothing comes after them."""
    lines = whole().splitlines(keepends=True)

    for text in (
        b"".join([*lines[:4], *lines[5:]]),
        b"".join([*lines[:5], lines[5], *lines[5:]]),
        whole() + b"\n",
    ):
        with pytest.raises(BadExport):
            check_export(io.BytesIO(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the file is empty"),
        (b"{}\n", "is no redisflow-export"),
        (b"[1]\n", "is no redisflow-export"),
        (b"\x1f\x8b\x08\n", "is no redisflow-export"),
        (b'{"kind":"flow","fields":{}}\n', "is no redisflow-export"),
        (written(version=2), "is of version 2"),
        (written(version="1"), "is of version 1"),
        (written(schema=2), "its layout is 2"),
        (written(flow_uuid="a}b"), "cannot be the uuid"),
        (written(run_id=5), "is no text"),
        (written(), "has no flow"),
    ],
)
def test_what_is_no_export_of_ours_is_refused(text, said):
    """With what it is instead."""
    with pytest.raises(BadExport, match=re.escape(said)):
        check_export(io.BytesIO(text))


@pytest.mark.parametrize(
    "line",
    [
        ("song", {"fields": {}}),
        (HEAD, HEADER),
        ("flow", {"fields": FLOW}),
        ("flow", {}),
        ("atom", {"uuid": "u2", "fields": {}}),
        ("atom", {"uuid": "u2", "fields": {**ATOM, "rev": "x"}}),
        ("atom", {"uuid": "u2", "fields": {**ATOM, "attempt": "x"}}),
        ("atom", {"uuid": "u2", "fields": {**ATOM, "started_at": "x"}}),
        ("atom", {"uuid": "u2", "fields": {**ATOM, "token": "x"}}),
        ("atom", {"uuid": "u2", "fields": {**ATOM, "place": "9" * 17}}),
        ("atom", {"uuid": "u1", "fields": ATOM}),
        ("result", {"uuid": "u9", "fields": {}}),
        ("result", {"uuid": "u1", "fields": {"results": 5}}),
        ("result", {"uuid": "u1", "fields": {"results": "base64:?"}}),
        ("atoms", {"fields": {"b": "u9"}}),
        ("graph", {"fields": {"0": "t|0|u9||"}}),
        ("graph", {"fields": {"0": "nonsense"}}),
        ("ready", {"members": {"a": "b"}}),
        ("ready", {"members": []}),
        ("workers", {}),
        ("event", {"id": "x", "fields": {"rev": "1"}}),
        ("event", {"id": "5-0", "fields": {}}),
        ("plan", {"fields": {str(number): "" for number in range(4000)}}),
    ],
    ids=str,
)
def test_line_that_is_not_what_it_should_be_is_named(line):
    """By its number, though the digest is right."""
    text = written(
        ("flow", {"fields": FLOW}),
        ("atom", {"uuid": "u1", "indexed": False, "fields": ATOM}),
        line,
    )

    with pytest.raises(BadExport) as caught:
        check_export(io.BytesIO(text))
    assert caught.value.line == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"updated_at": "x"}, "updated_at is 'x', no number"),
        ({"submitted": "-1"}, "submitted is '-1', no number"),
        ({"rev": "9" * 17}, "rev is '99999999999999999', no number"),
        ({"planned": None}, "it has no planned"),
        ({"epoch": None}, "it has no epoch"),
    ],
)
def test_flow_that_is_not_what_it_should_be_is_refused(changes, said):
    """What nobody could work on, or look at, is not brought."""
    fields = {name: text for name, text in (FLOW | changes).items() if text is not None}
    with pytest.raises(BadExport, match=re.escape(said)):
        check_export(io.BytesIO(written(("flow", {"fields": fields}))))


def test_journal_out_of_order_is_refused():
    """Its entries could not be written again."""
    entries = [("event", {"id": i, "fields": {"rev": "1"}}) for i in ("5-1", "5-0")]
    with pytest.raises(BadExport, match="comes too late"):
        check_export(io.BytesIO(written(("flow", {"fields": FLOW}), *entries)))


def test_line_without_end_is_not_read_for_ever(monkeypatch):
    """A line has a greatest length; a file of zeros is told by its first bytes."""
    flow = ("flow", {"fields": {**FLOW, "meta:x": "y" * 1000}})
    text = written(flow)
    monkeypatch.setattr(form, "MAX_LINE", 1000)
    with pytest.raises(BadExport, match=r"line 2: it is longer than 1,000 bytes"):
        list(read_lines(io.BytesIO(text)))
    with pytest.raises(BadExport, match="too long for a line"):
        written(flow)
    with pytest.raises(BadExport):
        list(read_lines(io.BytesIO(bytes(5000))))
