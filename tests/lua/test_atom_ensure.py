"""atom_ensure: one detail per name, whoever asks."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey
from tests.support.flow_rules import broken_rules
from tests.support.flows import edit, uuid_of


@pytest.fixture
def created(flow):
    """Return a flow without atoms."""
    flow.create()
    return flow


def record(name, uuid, kind="task", provides="{}", requires=""):
    """Write what is asked for one atom."""
    return [name, kind, "1.0", uuid, provides, requires]


def test_new_atom_gets_its_details(created):
    """OK: a person reads all of it, and the journal begins with PENDING."""
    reply = created.call("atom_ensure", rest=record("a", "a-uuid"), who="me")

    assert reply == ["OK", 1, 2, ["a-uuid"]]
    assert created.hash("atoms") == {"a": "a-uuid"}
    assert (
        created.atom("a").items()
        >= {
            "name": "a",
            "type": "task",
            "version": "1.0",
            "provides": "{}",
            "state": "PENDING",
            "intention": "EXECUTE",
            "rev": "2",
        }.items()
    )
    (entry,) = created.journal(since=1)
    assert (
        entry.items()
        >= {
            "atom": "a-uuid",
            "from": "",
            "to": "PENDING",
            "worker": "me",
        }.items()
    )
    assert broken_rules(created) == []


def test_known_atom_keeps_the_uuid_of_whoever_was_first(created):
    """OK: both callers get the same details, and the second call changes nothing."""
    created.call("atom_ensure", rest=record("a", "a-uuid"))
    before = created.contents()

    reply = created.call("atom_ensure", rest=record("a", "other-uuid"))

    assert reply == ["OK", 2, 2, ["a-uuid"]]
    assert created.contents() == before


def test_many_are_answered_in_order(created):
    """OK: new, known and repeated names of one request are each in their place."""
    created.ensure("b")
    rest = [*record("a", "a-uuid"), *record("b", "x"), *record("a", "y")]

    reply = created.call("atom_ensure", rest=rest)

    assert reply[3] == ["a-uuid", "b-uuid", "a-uuid"]
    assert created.hash("atoms") == {"a": "a-uuid", "b": "b-uuid"}


def test_thousand_atoms_in_one_call(created):
    """As many as a call may carry get as many revisions."""
    created.ensure(*(f"t{number}" for number in range(1000)))

    assert created.rev == 1001
    assert len(created.hash("atoms")) == 1000


@pytest.mark.parametrize("known", [True, False])
def test_name_of_an_atom_of_another_type_is_refused(created, known):
    """DUPLICATE: stored or earlier in the request; nothing at all is written."""
    if known:
        created.ensure("a")
    before = created.contents()
    rest = [*record("b", "b-uuid"), *record("a", "a-uuid"), *record("a", "z", "retry")]

    assert created.call("atom_ensure", rest=rest) == ["DUPLICATE", "a", "task"]
    assert created.contents() == before


def test_what_an_atom_provides_and_requires_follows_the_code(created):
    """OK: new names replace the old ones, and the state stays."""
    created.ensure("a")
    created.on("a", "atom_transition", state="SUCCESS")

    names = {"provides": '{"x":0}', "requires": '["y"]'}
    reply = created.call("atom_ensure", rest=record("a", "a-uuid", **names))

    assert reply == ["OK", 3, 4, ["a-uuid"]]
    assert (
        created.atom("a").items()
        >= {
            **names,
            "state": "SUCCESS",
            "rev": "4",
        }.items()
    )
    assert broken_rules(created) == []


def test_name_whose_details_are_gone_is_corrupt(created):
    """The missing record is named, and nothing is written."""
    created.ensure("a")
    created.client.execute("DEL", created.keys.atom("a-uuid"))
    before = created.contents()

    with pytest.raises(CorruptKey) as caught:
        created.ensure("b", "a")

    assert caught.value.key == created.keys.atom("a-uuid")
    assert created.contents() == before


def test_atom_that_was_saved_without_a_state_is_pending(created):
    """OK: whoever ensures an atom may go on to run it."""
    created.call("atom_write", rest=edit("a"), create=1)
    assert created.atom("a")["state"] == ""

    created.call("atom_ensure", rest=record("a", "other-uuid"))

    assert created.atom("a")["state"] == "PENDING"
    assert broken_rules(created) == []


def test_what_a_gone_flow_has_left_behind_is_not_adopted(flow):
    """A record without an index is removed, with its results."""
    flow.create()
    atom, result = flow.keys.atom(uuid_of("a")), flow.keys.result(uuid_of("a"))
    flow.client.execute("HSET", atom, "failed", "E", "entries", "3")
    flow.client.execute("HSET", result, "failure", '"old"')

    flow.ensure("a")

    assert not {"failed", "entries"} & flow.atom("a").keys()
    assert flow.result("a") == {}
    assert broken_rules(flow) == []
