"""graph_clear: an old structure goes in parts, by the one who starts the run."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def between_structures(flow, *names):
    """Suspend a flow of these atoms, and come to it with another structure."""
    flow.fan(*names).start()
    flow.call("flow_transition", to="SUSPENDING")
    flow.drive()
    assert flow.come("w2", run=2, fingerprint="print-2")[0] == "CLEAR"
    return flow


def test_nothing_is_left_of_the_old_structure(flow):
    """OK 0: nodes, counts and ready items are gone, and atoms have no node."""
    between_structures(flow, "a", "b")

    assert flow.call("graph_clear", worker="w2") == ["OK", 0]
    assert flow.hash("graph") == {}
    assert flow.members("ready") == []
    assert not flow.atom("a").get("node")
    assert flow.hash("flow").items() >= {"unfinished": "0", "nodes": "0"}.items()
    assert broken_rules(flow) == []


def test_repeated_call_leaves_the_same(flow):
    """What is cleared stays cleared."""
    between_structures(flow, "a")
    flow.call("graph_clear", worker="w2")

    assert flow.call("graph_clear", worker="w2") == ["OK", 0]
    assert flow.hash("graph") == {}


def test_large_structure_goes_in_bounded_parts(flow):
    """OK left: the caller repeats it until nothing is left."""
    between_structures(flow, *(f"t{number}" for number in range(600)))
    left = []
    while not left or left[-1]:
        left.append(flow.call("graph_clear", worker="w2")[1])

    assert len(left) > 1
    assert left == sorted(left, reverse=True)
    assert flow.hash("graph") == {}


def test_only_the_starter_clears(flow):
    """STALE: another one changes nothing."""
    between_structures(flow, "a")
    before = flow.contents()

    assert flow.call("graph_clear", worker="w1") == ["STALE"]
    assert flow.contents() == before


def test_flow_goes_on_with_the_new_structure(flow):
    """Atoms of both structures keep their states; what is left out stays PENDING."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.call("flow_transition", to="SUSPENDING")
    flow.drive()

    flow.line("a", "x")
    assert flow.start("w2", run=2, fingerprint="print-2") == ["CLEAR", "LOAD"]

    assert flow.drive("w2", run=2) == ["execute x", "SUCCESS"]
    assert (flow.atom("b")["state"], flow.atom("b").get("node", "")) == ("PENDING", "")
    assert broken_rules(flow) == []


def test_walk_along_the_old_structure_is_carried_to_its_end_first(flow):
    """PLAN: a dead worker left a nay half applied; its reach is in the old links."""
    flow.line("a", "b", "c").ask("a").start("w1")
    flow.decide(flow.take("w1").item, "ALL")
    flow.lapse("w1")
    flow.sweep()
    assert flow.come("w2", fingerprint="print-2")[0] == "CLEAR"
    before = flow.contents()

    assert flow.call("graph_clear", worker="w2") == ["PLAN"]
    assert flow.contents() == before

    while flow.call("graph_clear", worker="w2") == ["PLAN"]:
        flow.call("plan_step", who="w2")
    assert flow.states() == dict.fromkeys("abc", "IGNORE")
    assert broken_rules(flow) == []
    flow.line("a", "x")
    assert flow.start("w2", fingerprint="print-2") == ["LOAD"]
    assert flow.drive("w2") == ["execute x", "SUCCESS"]
    assert broken_rules(flow) == []
