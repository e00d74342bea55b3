"""graph_save: the structure comes in parts, by the one who starts the run."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def starting(flow):
    """Return a flow that w1 starts, and that has no structure yet."""
    flow.line("a", "b").create()
    flow.ensure("a", "b")
    flow.come("w1")
    return flow


def test_nodes_and_atoms_know_each_other(starting):
    """OK: a person reads kind, priority, atom and both ends of the links of a node."""
    assert starting.call("graph_save", rest=starting.records, worker="w1") == ["OK"]

    assert starting.hash("graph") == {
        "0": "f|0||1|",
        "1": "t|0|a-uuid|2|0",
        "2": "t|0|b-uuid|3|1",
        "3": "e|0|||2",
    }
    assert starting.atom("a")["node"] == "1"
    assert starting.hash("flow")["unfinished"] == "2"
    assert starting.hash("missing") == {"1": "1", "2": "1", "3": "1"}
    assert starting.hash("plan") == {"fresh": starting.hash("flow")["rev"]}


def test_many_links_stand_in_fields_of_their_own(flow):
    """The record of a wide gate has their count: it is read whole at every link."""
    names = [f"t{number}" for number in range(130)]
    flow.fan(*names).create()
    flow.ensure(*names)
    flow.come("w1")
    flow.load("w1")

    graph = flow.hash("graph")
    assert (graph["0"], graph["131"]) == ("f|0||*130|", "e|0|||*130")
    parts = [graph[f"0:after:{field}"].split(",") for field in range(3)]
    assert [len(part) for part in parts] == [64, 64, 2]
    assert [int(link) for part in parts for link in part] == [*range(1, 131)]
    assert flow.hash("missing") == {
        **dict.fromkeys(map(str, range(1, 131)), "1"),
        "131": "130",
    }
    assert flow.call("flow_launch", worker="w1")[0] == "OK"


def test_structure_without_all_links_is_not_whole(flow):
    """A starter that died amid a node's many links has not brought that node."""
    names = [f"t{number}" for number in range(130)]
    flow.fan(*names).create()
    flow.ensure(*names)
    flow.come("w1")
    flow.call("graph_save", rest=flow.records[:-6], worker="w1")

    assert flow.call("flow_launch", worker="w1") == ["INCOMPLETE"]
    assert flow.come("w1")[0] == "CLEAR"
    flow.clear("w1")
    assert flow.hash("graph") == {}
    assert flow.start("w1") == ["LOAD"]
    assert flow.drive(capacity=130)[-1] == "SUCCESS"
    assert broken_rules(flow) == []


def test_first_of_many_links_alone_is_cleared(flow):
    """A beginning that is all links, and no whole node, is not built upon."""
    names = [f"t{number}" for number in range(130)]
    flow.fan(*names).create()
    flow.ensure(*names)
    flow.come("w1")
    flow.call("graph_save", rest=flow.records[:6], worker="w1")

    assert flow.come("w1")[0] == "CLEAR"


def test_repeated_part_counts_once(starting):
    """The same part twice leaves the same structure and the same counts."""
    for _ in range(2):
        assert starting.call("graph_save", rest=starting.records, worker="w1") == ["OK"]

    assert starting.hash("flow")["unfinished"] == "2"
    assert broken_rules(starting) == []


def test_only_the_starter_brings_it(starting):
    """STALE: a starter that was swept away does not mix into another's structure."""
    before = starting.contents()

    assert starting.call("graph_save", rest=starting.records, worker="w2") == ["STALE"]
    assert starting.contents() == before


def test_node_without_details_is_named_and_nothing_is_written(flow):
    """UNKNOWN: not even the nodes before it are there."""
    flow.line("a", "b").create()
    flow.ensure("a")
    flow.come("w1")

    assert flow.call("graph_save", rest=flow.records, worker="w1") == ["UNKNOWN", "b"]
    assert flow.hash("graph") == {}


def test_finished_atoms_of_an_old_run_count_as_finished(starting):
    """A structure that comes anew counts the atoms in the states that they have."""
    starting.on("a", "atom_transition", state="SUCCESS")

    starting.load("w1")

    assert starting.hash("flow")["unfinished"] == "1"
    assert broken_rules(starting) == []
