"""flow_launch: count what every node waits for, then run."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules, missing_by_states


@pytest.fixture
def loaded(flow):
    """Return a flow whose structure is there, and w1 its starter."""
    flow.line("a", "b").create()
    flow.ensure("a", "b")
    flow.come("w1")
    flow.load("w1")
    return flow


def test_plan_is_set_out_and_the_steps_run_the_flow(loaded):
    """OK: nothing is handed out before what comes first is open, then the flow runs."""
    assert loaded.call("flow_launch", worker="w1") == ["OK", []]
    assert loaded.hash("plan") == {"to_open": "0@1", "launch": "w1"}
    handout = loaded.take("w1")
    assert (handout.items, handout.next) == ([], "WAIT")

    loaded.step()

    assert loaded.state == "RUNNING"
    assert loaded.members("ready") == ["00000001:execute"]
    assert loaded.hash("missing") == {"2": "1", "3": "1"}
    assert "starter" not in loaded.hash("flow")


def test_what_has_moved_since_it_was_loaded_is_counted(loaded):
    """An atom that is done when the flow is launched holds back nothing."""
    loaded.on("a", "atom_transition", state="SUCCESS")

    loaded.call("flow_launch", worker="w1")

    plan = {"phases": "forward,backward", "cursor": "0", "offset": "1", "launch": "w1"}
    assert loaded.hash("plan") == plan
    loaded.step()
    assert loaded.members("ready") == ["00000002:execute"]
    assert broken_rules(loaded) == []


def test_atoms_that_were_begun_before_are_counted(flow):
    """A new structure finds an atom of the old one done."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.leave("w1")
    flow.line("b", "a", "c").start("w2", fingerprint="another")

    assert flow.hash("missing") == {"2": "1", "3": "1", "4": "1"}
    assert flow.drive("w2") == ["execute b", "execute c", "SUCCESS"]


def test_what_does_not_come_after_the_first_gate_is_found(flow):
    """No flow of TaskFlow's is so, but nothing would ever open it."""
    flow.graph({"<f": ["a"], "a": [">f"], "b": [">f"], ">f": []}).start()

    assert flow.take(capacity=5).what == ["execute a", "execute b"]


def test_repeated_launch_begins_anew(loaded):
    """Whoever is asked twice, or comes after another, leaves the flow as one would."""
    loaded.call("flow_launch", worker="w1")

    assert loaded.call("flow_launch", worker="w1") == ["OK", []]
    assert "to_open" not in loaded.hash("plan")
    loaded.step()
    assert loaded.drive() == ["execute a", "execute b", "SUCCESS"]


def test_launch_is_refused_until_the_structure_is_complete(flow):
    """INCOMPLETE: a part of the structure is not there."""
    flow.line("a", "b").create()
    flow.ensure("a", "b")
    flow.come("w1")
    flow.call("graph_save", rest=flow.records[:12], worker="w1")
    before = flow.contents()

    assert flow.call("flow_launch", worker="w1") == ["INCOMPLETE"]
    assert flow.contents() == before


def test_only_the_starter_launches(loaded):
    """STALE: another one, or one who has launched already, changes nothing."""
    before = loaded.contents()
    assert loaded.call("flow_launch", worker="w2") == ["STALE"]
    assert loaded.contents() == before

    loaded.call("flow_launch", worker="w1")
    loaded.step()
    before = loaded.contents()

    assert loaded.call("flow_launch", worker="w1") == ["STALE"]
    assert loaded.contents() == before


def test_resumed_run_goes_through_suspended(flow):
    """A run that was left is RESUMING, then SUSPENDED, and at last RUNNING again."""
    flow.line("a", "b").start("w1")
    flow.complete(flow.take().item)
    flow.leave("w1")
    flow.come("w2")

    assert flow.call("flow_launch", worker="w2") == ["OK", ["RESUMING", "SUSPENDED"]]
    assert flow.call("plan_step")[:2] == ["DONE", ["SUSPENDED", "RUNNING"]]
    assert flow.drive("w2") == ["execute b", "SUCCESS"]


def test_reverted_flow_is_reset_by_its_next_run(flow):
    """REVERTED goes to PENDING with all atoms; results and rounds tell of the past."""
    flow.line("a", "b").start()
    flow.drive(outcomes={"execute b": "FAILURE"})
    flow.come("w1", run=2)

    assert flow.call("flow_launch", worker="w1") == ["OK", ["REVERTED", "PENDING"]]
    flow.step()

    assert flow.states() == {"a": "PENDING", "b": "PENDING"}
    assert {flow.atom(name)["intention"] for name in "ab"} == {"EXECUTE"}
    assert flow.drive(run=2) == ["execute a", "execute b", "SUCCESS"]
    assert flow.atom("a")["round"] == "2"


def test_finished_flow_runs_again_without_resetting_anything(flow):
    """After SUCCESS the next run finds nothing to do."""
    flow.line("a").start()
    flow.drive()
    assert flow.start("w1", run=2) == ["READY"]

    assert flow.drive(run=2) == ["SUCCESS"]
    assert (
        flow.hash("flow").items()
        >= {
            "outcome:1": "SUCCESS",
            "outcome:2": "SUCCESS",
        }.items()
    )


def test_plan_of_a_start_with_another_structure_is_dropped(loaded):
    """The next starter's counters are not raised again by what the last one left."""
    loaded.call("flow_launch", worker="w1")
    loaded.call("flow_launch", worker="w1")  # the answer was lost
    assert "phases" in loaded.hash("plan")
    loaded.lapse("w1")
    loaded.graph({"<f": ["a", "b"], "a": ["c"], "b": ["c"], "c": [">f"], ">f": []})

    assert loaded.start("w2", fingerprint="another") == ["SWEEP", "CLEAR", "LOAD"]

    assert loaded.hash("missing") == missing_by_states(loaded)
    assert broken_rules(loaded) == []
    assert loaded.drive("w2") == ["execute a", "execute b", "execute c", "SUCCESS"]


@pytest.mark.parametrize("cleared", [False, True])
def test_one_who_slept_does_not_complete_it_on_another_structure(loaded, cleared):
    """A step for the plan of a start whose structure is being replaced does nothing."""
    loaded.call("flow_launch", worker="w1")
    loaded.call("flow_launch", worker="w1")
    loaded.lapse("w1")
    loaded.graph({"<f": ["a", "b"], "a": [">f"], "b": [">f"], ">f": []})
    assert loaded.come("w2", fingerprint="another")[0] == "SWEEP"
    loaded.sweep()
    assert loaded.come("w2", fingerprint="another")[0] == "CLEAR"
    if cleared:
        loaded.clear("w2")

    assert loaded.call("plan_step", who="w1") == ["DONE", []]
    assert loaded.call("flow_cancel", run=1, reason="") == ["IDLE", "PENDING"]

    assert loaded.hash("flow")["starter"] == "w2"
    assert loaded.start("w2", fingerprint="another")[-1] == "LOAD"
    assert loaded.drive("w2") == ["execute a", "execute b", "SUCCESS"]


def test_edit_while_a_resumed_run_starts_is_followed(flow):
    """The pass has seen a done when it is reset: b waits for it again."""
    names = [f"t{number:02}" for number in range(40)]
    links = {"<f": ["a", *names], "a": ["b"], "b": [">f"]}
    flow.graph(links | {name: [">f"] for name in names} | {">f": []}).start("w1")
    flow.complete(flow.take().item)
    flow.leave("w1")
    flow.come("w2")
    flow.call("flow_launch", worker="w2")
    assert flow.call("plan_step", who="w2") == ["MORE"]

    flow.on("a", "atom_reset", state="PENDING")
    flow.step("w2")

    assert flow.hash("missing") == missing_by_states(flow)
    assert flow.take("w2").what == ["execute a"]


def test_edit_while_a_first_run_starts_is_followed(flow):
    """What was offered is done by somebody else: what comes after it is next."""
    names = [f"t{number:02}" for number in range(40)]
    links = {"<f": ["a", *names], "a": ["b"], "b": [">f"]}
    flow.graph(links | {name: [">f"] for name in names} | {">f": []})
    flow.create()
    flow.ensure(*flow.atoms)
    flow.come("w1")
    flow.load("w1")
    flow.call("flow_launch", worker="w1")
    assert flow.call("plan_step", who="w1") == ["MORE"]

    flow.on("a", "atom_transition", state="SUCCESS")
    flow.step("w1")

    assert flow.hash("missing") == missing_by_states(flow)
    assert "execute b" in flow.take("w1", capacity=50).what
