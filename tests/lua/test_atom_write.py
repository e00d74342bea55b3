"""atom_write: what has changed in the details of atoms, all of it or nothing."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey
from tests.support.flow_rules import broken_rules
from tests.support.flow_view import uuid_of
from tests.support.flows import edit


@pytest.fixture
def created(flow):
    """Return a flow with one atom, a."""
    flow.create()
    flow.ensure("a")
    return flow


def write(flow, *edits, create=1):
    """Write what is to be changed."""
    words = [word for one in edits for word in one]
    return flow.call("atom_write", rest=words, create=create)


def test_new_atom_has_all_that_was_given(flow):
    """OK: state, fields and results are there; the journal begins with the state."""
    flow.create()

    reply = write(
        flow,
        edit(
            "a",
            "SUCCESS",
            "REVERT",
            sets=["version", "2.0", "meta:k", "1"],
            results=["results", "5"],
        ),
        edit("?r", kind="retry", sets=["entries", 1], results=["entry:1", "6"]),
    )

    assert reply == ["OK", [0, 2, 0, 3]]
    assert flow.hash("atoms") == {"a": "a-uuid", "?r": "?r-uuid"}
    expected = {"state": "SUCCESS", "intention": "REVERT", "version": "2.0", "rev": "2"}
    assert flow.atom("a").items() >= {**expected, "type": "task", "meta:k": "1"}.items()
    assert flow.result("a") == {"results": "5"}
    expected = {"state": "", "intention": "EXECUTE", "type": "retry", "entries": "1"}
    assert flow.atom("?r").items() >= expected.items()
    assert [entry["to"] for entry in flow.journal(since=1)] == ["SUCCESS", ""]
    assert broken_rules(flow) == []


def test_what_is_not_named_stays(created):
    """OK: fields, results and state that the edit leaves out are as they were."""
    write(created, edit("a", "SUCCESS", sets=["meta:x", 1], results=["results", 5]))
    write(created, edit("a", sets=["meta:y", 2]))

    assert (
        created.atom("a").items()
        >= {"state": "SUCCESS", "meta:x": "1", "meta:y": "2"}.items()
    )
    assert created.result("a") == {"results": "5"}
    assert len(created.journal(since=2)) == 1, "metadata is no transition"
    assert broken_rules(created) == []


def test_what_is_to_be_removed_is_gone(created):
    """OK: named fields of the record and of the results are removed."""
    write(
        created,
        edit("a", sets=["meta:x", 1], results=["results", 1, "failure", "{}"]),
    )
    write(created, edit("a", drops=["meta:x"], forgets=["failure"]))

    assert "meta:x" not in created.atom("a")
    assert created.result("a") == {"results": "1"}


@pytest.mark.parametrize(
    ("kept", "failed"),
    [
        ([], ""),
        (["results"], ""),
        (["failure"], "E"),
        (["failure", "revert_results"], "EV"),
        (["failure", "revert_failure"], "ER"),
        (["revert_results"], "V"),
    ],
)
def test_what_stands_beside_the_results_is_known(created, kept, failed):
    """OK: the record tells which failures there are, as after the work scripts."""
    words = [word for name in kept for word in (name, "{}")]
    write(created, edit("a", "FAILURE", results=words))

    assert created.atom("a").get("failed", "") == failed


def test_nothing_to_change_changes_nothing(created):
    """OK: the revision of the atom is told, and no key is touched."""
    before = created.contents()

    reply = write(created, edit("a", "PENDING", "EXECUTE"), create=0)

    assert reply == ["OK", [2, 2]]
    assert created.contents() == before


def test_sent_twice_it_says_the_same(created):
    """A second sending leaves the states and results of the first."""
    change = edit("a", "FAILURE", sets=["meta:x", "1"], results=["failure", "{}"])
    write(created, change)
    atom, result, journal = created.atom("a"), created.result("a"), created.journal()

    write(created, change)

    assert created.atom("a") == atom | {"rev": "4"}
    assert (created.result("a"), created.journal()) == (result, journal)


def test_running_flow_follows_an_edit(flow):
    """OK: what waits for the atom is counted anew, and an idle worker is told."""
    flow.line("a", "b").start()
    flow.start("sleeper")
    flow.client.execute("ZADD", flow.keys.idle, 1, "sleeper")

    write(flow, edit("a", "SUCCESS", results=["results", "1"]))

    assert list(flow.hints()) == ["sleeper"]
    flow.step()
    assert flow.take().what == ["execute b"]
    assert broken_rules(flow) == []


def test_two_atoms_of_one_name_both_have_details(created):
    """OK: the name stays with the atom that had it first."""
    other = edit("a")
    other[0] = "other-uuid"
    write(created, other, ["third-uuid", *other[1:]])

    assert created.hash("atoms") == {"a": "a-uuid"}
    places = [
        created.client.execute("HGET", created.keys.atom(uuid), "place")
        for uuid in ("a-uuid", "other-uuid", "third-uuid")
    ]
    assert places == [b"1", b"2", b"3"]


@pytest.mark.parametrize("lapsed", [False, True])
def test_held_atom_is_left_to_its_worker(flow, lapsed):
    """HELD: state and results of one are refused with all else, metadata is merged."""
    flow.fan("a", "b").start()
    held = flow.take().item.name
    if lapsed:
        flow.lapse("w1")
    before = flow.contents()

    for change in (
        edit(held, "SUCCESS"),
        edit(held, intention="REVERT"),
        edit(held, results=["results", 1]),
        edit(held, forgets=["results"]),
    ):
        reply = write(flow, edit("c", sets=["meta:x", 1]), change)
        assert reply == ["HELD", uuid_of(held), "w1", 0 if lapsed else 1]
        assert flow.contents() == before

    assert write(flow, edit(held, "RUNNING", sets=["meta:x", 1]))[0] == "OK"
    assert flow.atom(held)["meta:x"] == "1"
    assert broken_rules(flow) == []


def test_atom_of_another_type_is_refused(created):
    """KIND: the uuid and its type are told, and nothing is written."""
    before = created.contents()

    reply = write(created, edit("b"), edit("a", kind="retry"))

    assert reply == ["KIND", "a-uuid", "task"]
    assert created.contents() == before


def test_unknown_atom_is_only_created_on_demand(created):
    """UNKNOWN: without the wish to create it, it stays unknown."""
    before = created.contents()

    assert write(created, edit("a", "SUCCESS"), edit("b"), create=0) == [
        "UNKNOWN",
        "b-uuid",
    ]
    assert created.contents() == before


def test_results_without_their_atom_are_not_adopted(created):
    """What a lost atom left behind is named, and nothing is written."""
    key = created.keys.result("b-uuid")
    created.client.execute("HSET", key, "results", "5")
    before = created.contents()

    with pytest.raises(CorruptKey) as caught:
        write(created, edit("b"))

    assert caught.value.key == key
    assert created.contents() == before


def test_more_fields_than_one_command_takes(created):
    """OK: an atom may have more metadata than Lua can unpack."""
    entries = [word for n in range(9000) for word in (f"meta:{n}", n)]
    write(created, edit("a", sets=entries))
    assert len(created.atom("a")) > 9000

    write(created, edit("a", drops=entries[::2]))
    assert not any(name.startswith("meta:") for name in created.atom("a"))


def test_thousand_atoms_in_one_call(flow):
    """As many as a call may carry are all there."""
    flow.create()
    write(flow, *(edit(f"t{number}", "PENDING") for number in range(1000)))

    assert flow.rev == 1001
    assert len(flow.hash("atoms")) == 1000
    assert broken_rules(flow) == []
