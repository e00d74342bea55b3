"""import_save: parts of a flow, each once and in their order."""

from __future__ import annotations

import pytest

from redisflow.errors import ScriptFailed


@pytest.fixture
def taken(flow):
    """Take the place of a flow."""
    flow.call("import_begin")
    return flow


def test_each_kind_has_its_place(taken):
    """OK: records and their order, hashes, sorted sets, the journal, the bitmap."""
    words = [
        *("atom", "u1", 4, "name", "a", "rev", 7),
        *("result", "u1", 2, "results", "[1]"),
        *("atoms", "", 2, "a", "u1"),
        *("graph", "", 2, "0", "t|0|u1||"),
        *("missing", "", 2, "0", "1"),
        *("claims", "", 4, "00000000:execute", "w1 7", "#w1", "1"),
        *("plan", "", 2, "phases", "forward"),
        *("ready", "", 2, "-5", "00000000:execute"),
        *("workers", "", 2, 1, "w1"),
        *("reached", "", 1, b"\xff\x00"),
        *("event", "5-0", 4, "rev", "7", "to", "PENDING"),
    ]

    assert taken.call("import_save", rest=words) == ["OK"]

    keys, run = taken.keys, taken.client.execute
    assert run("HGETALL", keys.atom("u1")) == {b"name": b"a", b"rev": b"7"}
    assert run("HGETALL", keys.result("u1")) == {b"results": b"[1]"}
    assert taken.scores("changes") == {"u1": 7}
    assert taken.hash("atoms") == {"a": "u1"}
    assert taken.hash("graph") == {"0": "t|0|u1||"}
    assert taken.hash("missing") == {"0": "1"}
    assert taken.hash("claims") == {"00000000:execute": "w1 7", "#w1": "1"}
    assert taken.hash("plan").items() >= {"phases": "forward", "imported": "1"}.items()
    assert taken.scores("ready") == {"00000000:execute": -5}
    assert taken.scores("workers") == {"w1": 1}
    assert run("GET", keys.reached) == b"\xff\x00"
    assert run("XRANGE", keys.events, "-", "+")[0][0] == b"5-0"
    assert not taken.exists("flow")


def test_a_part_is_done_once(taken):
    """OK: sent again it changes nothing, though an entry of the journal would."""
    words = ["event", "5-0", 2, "rev", "7"]
    taken.call("import_save", rest=words)
    before = taken.contents()

    assert taken.call("import_save", rest=words) == ["OK"]
    assert taken.contents() == before


def test_parts_are_not_left_out_nor_brought_by_others(taken):
    """STALE: the third before the second, another import, a place that was cleared."""
    before = taken.contents()
    words = ["graph", "", 2, "0", "t|0|u1||"]

    assert taken.call("import_save", rest=words, part=2) == ["STALE"]
    assert taken.call("import_save", rest=words, id="other") == ["STALE"]
    assert taken.contents() == before
    taken.client.execute("DEL", *taken.all_keys())
    assert taken.call("import_save", rest=words) == ["STALE"]
    assert taken.all_keys() == []


def test_flow_that_is_there_gets_nothing(flow):
    """EXISTS: whoever has come to be meanwhile is left alone."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("import_save", rest=["plan", "", 0]) == ["EXISTS", "nightly"]
    assert flow.contents() == before


def test_list_that_is_cut_short_is_refused(taken):
    """An error before the first write, not half of a part."""
    before = taken.contents()
    with pytest.raises(ScriptFailed, match="cut short"):
        taken.call("import_save", rest=["graph", "", 4, "0", "t|0|u1||"])
    assert taken.contents() == before


@pytest.mark.parametrize(
    "part",
    [
        ("songs", "", 2, "a", "b"),
        ("ready", "", 2, "soon", "00000000:execute"),
        ("ready", "", 0),
        ("event", "today", 2, "rev", "7"),
        ("event", "5-0", 0),
        ("atom", "u1", 2, "rev", "new"),
        ("graph", "", 1, "0"),
        ("reached", "", 0),
    ],
    ids=lambda part: " ".join(map(str, part)),
)
def test_part_that_is_not_understood_is_refused(taken, part):
    """An error before the first write: what comes before it is not brought either."""
    before = taken.contents()
    with pytest.raises(ScriptFailed, match="not understood"):
        taken.call("import_save", rest=["graph", "", 2, "0", "t|0|u1||", *part])
    assert taken.contents() == before
