"""worker_sweep: what a dead worker held is done by others, up to a limit."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def two_workers(flow, *names):
    """Start a flow with w1 and w2."""
    flow.line(*names).start("w1")
    flow.start("w2")
    return flow


def test_items_of_a_lapsed_worker_are_ready_again(flow):
    """OK: the atom has cost a worker more, and goes to another with a new token."""
    two_workers(flow, "a")
    late = flow.take("w1").item
    flow.lapse("w1")

    assert flow.sweep() == ["OK", "w1", 1, 0]

    assert flow.atom("a").items() >= {"owner": "", "attempt": "1", "round": "1"}.items()
    assert flow.journal()[-1].items() >= {"worker": "w1", "attempt": "1"}.items()
    assert flow.members("workers") == ["w2"]
    assert broken_rules(flow) == []
    again = flow.take("w2").item
    assert (again.id, again.round, again.attempt) == (late.id, 1, 1)
    assert int(again.token) > int(late.token)


def test_repeated_sweep_finds_nobody(flow):
    """NONE: many sweepers are harmless."""
    two_workers(flow, "a").take("w1")
    flow.lapse("w1")
    flow.sweep()
    before = flow.contents()

    assert flow.sweep() == ["NONE"]
    assert flow.sweep(dead="w1") == ["NONE"]
    assert flow.contents() == before


def test_living_workers_are_left_alone(flow):
    """NONE: a lease that is not over protects its items."""
    two_workers(flow, "a").take("w1")
    before = flow.contents()

    assert flow.sweep() == ["NONE"]
    assert flow.contents() == before


def test_worker_that_is_known_to_be_dead_need_not_lapse(flow):
    """OK: whoever saw it die names it."""
    two_workers(flow, "a").take("w1")

    assert flow.sweep(dead="w1")[:3] == ["OK", "w1", 1]


def test_several_dead_workers_are_swept_one_by_one(flow):
    """While more is 1 the caller comes again for the next."""
    two_workers(flow, "a")
    flow.lapse("w1")
    flow.lapse("w2")

    swept = [flow.sweep(), flow.sweep()]

    assert [(reply[1], reply[3]) for reply in swept] == [("w1", 1), ("w2", 0)]
    assert flow.sweep() == ["NONE"]


def test_atom_that_has_cost_too_many_workers_fails(flow):
    """max_attempts: the payload is its failure, and the flow's own rules take over."""
    flow.line("a", "b").start("w0")
    for attempt in range(3):
        worker = f"w{attempt}"
        flow.start(worker)
        assert flow.take(worker).item.attempt == attempt
        flow.start(f"w{attempt + 1}")
        flow.sweep(dead=worker, max_attempts=3, payload='"WorkerLost"')

    assert (
        flow.atom("a").items()
        >= {
            "state": "FAILURE",
            "owner": "",
            "failed": "E",
        }.items()
    )
    assert flow.result("a") == {"failure": '"WorkerLost"'}
    assert broken_rules(flow) == []
    assert flow.drive("w3") == ["resolve a", "revert a", "REVERTED"]


def test_revert_that_has_cost_too_many_workers_ends_the_run(flow):
    """max_attempts while reverting: REVERT_FAILURE, and the run ends in FAILURE."""
    two_workers(flow, "a")
    flow.complete(flow.take("w1").item, "FAILURE")
    flow.resolve(flow.take("w1").item)
    flow.step()
    flow.take("w1")

    flow.sweep(dead="w1", max_attempts=1, payload='"WorkerLost"')

    assert flow.atom("a")["state"] == "REVERT_FAILURE"
    assert flow.result("a")["revert_failure"] == '"WorkerLost"'
    assert flow.hash("flow").items() >= {"halt": "1", "halt:1": '"WorkerLost"'}.items()
    assert flow.drive("w2") == ["FAILURE"]


def test_failure_by_lost_workers_that_is_never_resolved_ends_the_run(flow):
    """never: the WorkerLost failure is the reason for the end."""
    flow.line("a").start("w1", never=1)
    flow.start("w2", never=1)
    flow.take("w1")

    flow.sweep(dead="w1", max_attempts=1, payload='"WorkerLost"')

    assert flow.atom("a")["state"] == "FAILURE"
    assert flow.drive("w2") == ["FAILURE"]


def test_attempts_are_counted_anew_for_each_round(flow):
    """A round that ended well forgets what it has cost."""
    two_workers(flow, "a", "b").take("w1")
    flow.sweep(dead="w1")
    item = flow.take("w2").item
    assert item.attempt == 1
    flow.complete(item, worker="w2")
    flow.on("a", "atom_reset", state="PENDING")
    flow.step()

    again = flow.take("w2").item

    assert (again.round, again.attempt) == (2, 0)


def test_idle_workers_are_woken_for_what_was_taken_back(flow):
    """Those that wait hear of it."""
    two_workers(flow, "a").take("w1")
    flow.take("w2")

    flow.sweep(dead="w1")

    assert list(flow.hints()) == ["w2"]
    assert flow.members("idle") == []


def test_starter_that_died_is_replaced(flow):
    """After the sweep another one starts the run, from what the dead one had done."""
    flow.line("a").create()
    flow.ensure("a")
    flow.come("w1")
    flow.load("w1")
    flow.call("flow_launch", worker="w1")
    flow.lapse("w1")

    assert flow.start("w2")[:1] == ["SWEEP"]
    assert flow.drive("w2") == ["execute a", "SUCCESS"]


def test_resolve_that_was_taken_comes_again_before_anything_else(flow):
    """The barrier holds until another worker has decided."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item, "FAILURE")
    flow.take("w1")

    flow.sweep(dead="w1")

    assert flow.hash("flow")["resolving"] == ""
    assert flow.take("w2", capacity=5).what == ["resolve a"]


def test_failures_are_resolved_in_their_order_also_after_a_death(flow):
    """The failure that a dead worker was at came first, and comes first again."""
    flow.fan("a", "b", "c").start("w1")
    flow.start("w2")
    first, second, third = flow.take("w2", capacity=3).items
    for item in (second, first, third):
        flow.complete(item, "FAILURE", worker="w2")
    for worker in ("w1", "w3"):
        if worker == "w3":
            flow.start("w3")
        assert flow.take(worker).what == ["resolve b"]
        flow.sweep(dead=worker)

    for name in "bac":
        item = flow.take("w2").item
        assert str(item) == f"resolve {name}"
        flow.resolve(item, "w2")
        flow.step()


def test_failure_that_cannot_be_decided_upon_ends_the_run(flow):
    """max_attempts: it is not asked again in this run, but in the next."""
    flow.line("a").start("w1")
    flow.complete(flow.take("w1").item, "FAILURE")
    assert flow.take("w1").what == ["resolve a"]
    flow.start("w2")
    flow.lapse("w1")

    flow.sweep(max_attempts=1, payload='"WorkerLost"')

    assert broken_rules(flow) == []
    assert flow.drive("w2") == ["FAILURE"]
    assert flow.atom("a")["state"] == "FAILURE"
    assert flow.start("w3", run=2) == ["READY"]
    assert flow.drive("w3", run=2) == ["resolve a", "revert a", "REVERTED"]
