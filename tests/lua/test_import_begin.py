"""import_begin: the place of a flow is taken, and the flow itself is not there."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey
from tests.support.flow_view import SENTINELS


def test_place_is_taken_and_nobody_sees_a_flow(flow):
    """OK: all collections with their sentinels and a free lock, but no flow."""
    assert flow.call("import_begin") == ["OK"]

    assert not flow.exists("flow")
    assert flow.hash("plan") == {"importing": "import-1"}
    assert all(flow.exists(name) for name in SENTINELS)
    assert flow.client.execute("HGET", flow.keys.lock, "held") == b""
    with pytest.raises(CorruptKey):
        flow.create()


def test_sent_again_it_changes_nothing(flow):
    """OK for the same import; LEFT, with a key, for any other."""
    flow.call("import_begin")
    before = flow.contents()

    assert flow.call("import_begin") == ["OK"]
    assert flow.call("import_begin", id="other") == ["LEFT", flow.keys.lock]
    assert flow.contents() == before


def test_flow_that_is_there_keeps_its_place(flow):
    """EXISTS, with its name; nothing is changed."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("import_begin") == ["EXISTS", "nightly"]
    assert flow.contents() == before


@pytest.mark.parametrize("name", ["atoms", "plan", "events"])
def test_what_was_left_is_not_adopted(flow, name):
    """LEFT: a collection without its flow, of whatever type, stays as it is."""
    key = getattr(flow.keys, name)
    flow.client.execute("SET", key, "in the way")

    assert flow.call("import_begin") == ["LEFT", key]
    assert flow.all_keys() == [key]


def test_what_is_left_of_an_import_can_be_removed(flow):
    """The removal of what is left of a gone flow takes its records as well."""
    flow.call("import_begin")
    atom = ["atom", "u1", 4, "name", "a", "rev", 7]
    flow.call("import_save", rest=[*atom, "result", "u1", 2, "results", "1"])

    assert flow.call("flow_remove", limit=10, only="gone")[0] == "OK"
    assert flow.all_keys() == []
