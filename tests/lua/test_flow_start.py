"""flow_start: join the run that is on, or become the one who starts it."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules
from tests.support.kept_flows import ended


@pytest.fixture
def ready(flow):
    """Return a flow with details of its atoms, and no structure yet."""
    flow.line("a", "b").create()
    flow.ensure("a", "b")
    return flow


@pytest.fixture
def suspended(flow):
    """Return a flow whose first run was suspended."""
    flow.line("a", "b").start()
    flow.call("flow_transition", to="SUSPENDING")
    assert flow.drive() == ["SUSPENDED"]
    return flow


def test_first_worker_loads_the_structure(ready):
    """LOAD: it is the starter now, under a lease, and the fingerprint is its own."""
    assert ready.come("w1") == ["LOAD", []]
    fields = ready.hash("flow")
    assert (
        fields.items()
        >= {
            "starter": "w1",
            "fingerprint": "print-1",
            "nodes": "4",
            "run": "1",
        }.items()
    )
    assert ready.members("workers") == ["w1"]


def test_repeated_start_gives_the_same_answer(ready):
    """A starter that lost its answer gets it again."""
    assert ready.come("w1") == ready.come("w1") == ["LOAD", []]
    assert broken_rules(ready) == []


def test_others_wait_while_one_starts(ready):
    """WAIT: the second one is a member already, and comes again."""
    ready.come("w1")

    assert ready.come("w2") == ["WAIT"]
    assert ready.hash("flow")["starter"] == "w1"
    assert set(ready.members("workers")) == {"w1", "w2"}


def test_structure_that_is_there_needs_only_a_launch(ready):
    """READY: the starter's successor finds the structure complete."""
    ready.come("w1")
    ready.load("w1")
    ready.leave("w1")

    assert ready.come("w2") == ["READY", []]
    assert ready.hash("flow")["starter"] == "w2"


def test_structure_that_is_half_there_is_loaded_to_its_end(ready):
    """A starter that died in the middle of it leaves what the next one completes."""
    ready.come("w1")
    ready.call("graph_save", rest=ready.records[:12], worker="w1")
    ready.lapse("w1")
    ready.sweep()

    assert ready.come("w2")[0] in ("LOAD", "CLEAR")
    assert ready.start("w2")[-1] in ("LOAD", "READY", "JOINED")
    assert ready.drive("w2")[-1] == "SUCCESS"


def test_joining_a_run_that_is_on(flow):
    """JOINED: state and the number of others are told, and nothing else changes."""
    flow.line("a").start("w1")
    rev = flow.rev

    assert flow.come("w2") == ["JOINED", "RUNNING", 1]
    assert flow.come("w2") == ["JOINED", "RUNNING", 1]
    assert flow.rev == rev
    assert set(flow.members("workers")) == {"w1", "w2"}


def test_longest_lease_is_told(flow):
    """Whoever sweeps learns of the longest lease that one who takes part may have."""
    flow.line("a").start("w1", lease_ms=1000)
    for worker, lease_ms, longest in (
        ("w2", 5000, "5000"),
        ("w3", 3000, "5000"),
        ("w1", 1000, "5000"),
    ):
        assert flow.come(worker, lease_ms=lease_ms)[0] == "JOINED"
        assert flow.hash("flow")["lease_ms"] == longest
    for worker in ("w1", "w2", "w3"):
        flow.leave(worker)
    flow.start("w4", lease_ms=2000)
    assert flow.hash("flow")["lease_ms"] == "2000"


def test_dead_workers_come_first(flow):
    """SWEEP: whoever comes to a run of the dead sweeps before anything else."""
    flow.line("a").start("w1")
    flow.lapse("w1")
    before = flow.contents()

    assert flow.come("w2") == ["SWEEP"]
    assert flow.contents() == before
    flow.sweep()
    assert flow.come("w2")[0] == "READY"


def test_run_that_is_over_is_told(flow):
    """ENDED: a latecomer gets the outcome of its own run, and writes nothing."""
    flow.line("a").start()
    flow.drive()
    before = flow.contents()

    assert flow.come("w2") == ["ENDED", "SUCCESS"]
    assert flow.contents() == before


def test_other_structure_among_live_workers_is_refused(flow):
    """MISMATCH: the number of live workers is told, and nothing changes."""
    flow.line("a").start("w1")
    before = flow.contents()

    assert flow.come("w2", fingerprint="print-2") == ["MISMATCH", 1]
    assert flow.contents() == before


def test_suspended_run_is_resumed_on_the_way_to_the_next(suspended):
    """READY: an idle flow's next run counts, and keeps the atoms as they are."""
    assert suspended.come("w2", run=2) == ["READY", []]
    assert suspended.hash("flow").items() >= {"run": "2", "starter": "w2"}.items()


def test_run_left_by_all_is_resumed(flow):
    """READY: RUNNING goes to RESUMING, and the move is told to the starter alone."""
    flow.line("a").start("w1")
    flow.leave("w1")

    assert flow.come("w2") == ["READY", ["RUNNING", "RESUMING"]]
    assert flow.come("w2") == ["READY", []]
    assert flow.state == "RESUMING"


def test_other_structure_of_an_idle_flow_is_cleared_first(suspended):
    """CLEAR: the old structure goes before the new one comes."""
    suspended.line("a", "x")

    assert suspended.come("w2", run=2, fingerprint="print-2") == ["CLEAR", []]
    assert suspended.come("w3", run=2, fingerprint="print-2") == ["WAIT"]
    suspended.clear("w2")
    assert suspended.come("w2", run=2, fingerprint="print-2") == ["LOAD", []]
    assert suspended.hash("flow")["fingerprint"] == "print-2"


def test_new_run_forgets_why_the_last_one_was_halted(flow):
    """What halted it, and why, goes when the next run starts."""
    flow.line("a").start()
    flow.halt(flow.take().item, payload='"why"')
    assert flow.drive() == ["FAILURE"]
    assert flow.hash("flow")["halt:1"] == '"why"'

    flow.come("w2", run=2)

    fields = flow.hash("flow")
    assert fields["halt"] == "0"
    assert "halt:1" not in fields


def test_run_that_is_taken_over_stays_halted(flow):
    """What has halted a run ends it, when all who knew of it are gone, too."""
    flow.line("a", "b").start()
    flow.halt(flow.take().item, payload='"why"')
    flow.lapse("w1")

    assert flow.start("w2")[:2] == ["SWEEP", "READY"]
    assert flow.drive("w2") == ["FAILURE"]
    assert flow.hash("flow")["halt:1"] == '"why"'
    assert broken_rules(flow) == []


def test_old_engine_never_starts_the_next_run(flow):
    """A caller of run 1 that comes during run 2 is told the end of run 1."""
    flow.line("a").start()
    flow.drive()
    flow.start("w2", run=2)

    assert flow.come("w1", run=1) == ["ENDED", "SUCCESS"]


def test_flow_that_is_to_go_is_kept_first(flow):
    """EXPIRES: nothing begins on keys that may be gone in a moment."""
    ended(flow, "a")
    before = flow.contents()
    assert flow.start("w1", run=2) == ["EXPIRES"]
    assert flow.contents() == before
