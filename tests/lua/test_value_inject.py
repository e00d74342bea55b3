"""value_inject: values for the whole flow, each name on its own."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules
from tests.support.flows import edit


@pytest.fixture
def created(flow):
    """Return a flow without values."""
    flow.create()
    return flow


def inject(flow, *pairs, **args):
    """Inject names and values in turn."""
    return flow.on("inject", "value_inject", rest=pairs, name="inject", **args)


def test_first_values_come_with_their_injector(created):
    """OK: a person reads each value under its name; the injector counts as done."""
    assert inject(created, "x", "1", "y", "2") == ["OK", 1, 2]

    assert created.result("inject") == {"value:x": "1", "value:y": "2"}
    assert created.hash("atoms") == {"inject": "inject-uuid"}
    assert (
        created.atom("inject").items()
        >= {
            "name": "inject",
            "type": "task",
            "state": "SUCCESS",
        }.items()
    )
    assert broken_rules(created) == []


def test_values_of_other_names_stay(created):
    """OK: two writers of different names do not overwrite each other."""
    inject(created, "x", "1")
    inject(created, "y", "2")
    inject(created, "x", "3")

    assert created.result("inject") == {"value:x": "3", "value:y": "2"}
    assert broken_rules(created) == []


def test_the_whole_takes_the_place_of_what_there_was(created):
    """OK: names that are not given are gone; asked again, nothing changes."""
    inject(created, "x", "1", "y", "2")

    assert inject(created, "y", "3", "z", "4", whole=1) == ["OK", 2, 3]
    assert created.result("inject") == {"value:y": "3", "value:z": "4"}
    before = created.contents()
    assert inject(created, "y", "3", "z", "4", whole=1) == ["OK", 3, 3]
    assert created.contents() == before
    assert inject(created, whole=1) == ["OK", 3, 4]
    assert created.result("inject") == {}
    assert broken_rules(created) == []


def test_repeated_request_changes_nothing(created):
    """OK: values that are there cost no revision."""
    inject(created, "x", "1")
    before = created.contents()

    assert inject(created, "x", "1") == ["OK", 2, 2]
    assert created.contents() == before


def test_joiner_with_another_value_is_refused_while_workers_live(flow):
    """CONFLICT: the name is told, and not even its other values are written."""
    flow.line("a").create()
    inject(flow, "x", "1")
    flow.start()
    before = flow.contents()

    assert inject(flow, "y", "2", "x", "3", joining=1) == ["CONFLICT", "x"]
    assert flow.contents() == before


def test_joiner_with_the_same_value_or_a_new_name_is_welcome(flow):
    """OK: only a different value for a known name is a conflict."""
    flow.line("a").create()
    inject(flow, "x", "1")
    flow.start()

    assert inject(flow, "x", "1", "y", "2", joining=1)[0] == "OK"
    assert flow.result("inject") == {"value:x": "1", "value:y": "2"}


def test_idle_flow_takes_other_values(flow):
    """OK: once the workers' leases are over, a joiner's value replaces the old one."""
    flow.line("a").create()
    inject(flow, "x", "1")
    flow.start()
    flow.lapse("w1")

    assert inject(flow, "x", "2", joining=1)[0] == "OK"
    assert flow.result("inject") == {"value:x": "2"}


def test_injector_with_a_uuid_of_its_own_is_used(created):
    """OK: one that was saved by TaskFlow's storage keeps its uuid and its values."""
    words = edit("inject", "SUCCESS", results=["value:x", "1"])
    created.call("atom_write", rest=["own-uuid", *words[1:]], create=1)

    inject(created, "y", "2")

    key = created.keys.result("own-uuid")
    found = created.client.execute("HGETALL", key)
    assert found == {b"value:x": b"1", b"value:y": b"2"}
    assert created.hash("atoms") == {"inject": "own-uuid"}
    assert created.atom("inject") == {}
