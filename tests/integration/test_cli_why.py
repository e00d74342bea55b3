"""``redisflow why`` against situations that are made on purpose, state by state."""

from __future__ import annotations

import json

import pytest
from taskflow import task
from taskflow.patterns import graph_flow
from taskflow.types.failure import Failure

import redisflow
from redisflow.cli.app import invoke
from redisflow.codec import Codec
from redisflow.keys import FlowKeys
from redisflow.rwlock import FlowLock
from tests.support.flows import ScriptedFlow, submitted

pytestmark = pytest.mark.one_server


@pytest.fixture
def flow(backend, namespace):
    """Name a flow that only scripts work on."""
    return ScriptedFlow(backend.client, FlowKeys(namespace, "f-why"))


@pytest.fixture
def why(url, capsys):
    """Ask why; gives kind and text of each reason, and what they are about."""

    def ask(*atom):
        capsys.readouterr()
        assert invoke(["why", "f-why", *atom, "--url", url, "-o", "json"]) == 0
        found = json.loads(capsys.readouterr().out)["reasons"]
        assert invoke(["why", "f-why", *atom, "--url", url]) == 0
        shown = capsys.readouterr().out
        assert shown.count("\n- ") == len(found)
        return found

    return ask


def _kinds(reasons):
    return [reason["kind"] for reason in reasons]


def _texts(reasons):
    return "\n".join(reason["text"] for reason in reasons)


def _failure(text="the disk is full"):
    return Codec().encode_failure(Failure.from_exception(OSError(text)))


# Runs that are not on


def test_a_run_that_has_not_begun(flow, why):
    """Nobody has started it, and its structure is not there."""
    flow.create()
    flow.ensure("a")
    assert _kinds(why()) == ["not_begun"]
    assert _kinds(why("a")) == ["no_node", "not_begun"]


def test_a_submitted_run_without_a_server(flow, why):
    """It was left to workers, and nobody serves."""
    flow.create()
    flow.ensure("inject")
    assert submitted(flow, "r-1")[0] == "OK"
    assert _kinds(why()) == ["submitted"]
    assert "no worker serves" in _texts(why())


def test_a_run_that_is_being_started(flow, why):
    """The one who starts it is named; once it is dead, that is said."""
    flow.line("a", "b")
    flow.create()
    flow.ensure("a", "b")
    flow.come("w1")
    assert _kinds(why()) == ["starting"]
    assert "w1 is starting the run" in _texts(why())
    flow.lapse("w1")
    assert "is dead" in _texts(why())


def test_a_success(flow, why):
    """A run that has ended waits for nothing, and neither do its atoms."""
    flow.line("a", "b").start()
    flow.drive()
    assert _kinds(why()) == ["ended"]
    assert _texts(why("a")) == "it is done"


def test_a_success_of_which_something_was_put_back(flow, why):
    """It can run again, and is told how: the same command gives what there was."""
    flow.line("a", "b").start()
    flow.drive()
    flow.on("b", "atom_restart", act="reset b")
    for found in (why(), why("b")):
        (reason,) = [each for each in found if each["kind"] == "reset"]
        assert reason["pending"] == 1
        assert "--rerun" in reason["text"]


def test_a_failed_run_tells_of_the_failure(flow, why):
    """REVERTED: what failed is named; an atom tells of its own failure."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE", payload=_failure())
    flow.drive()
    found = why()
    assert _kinds(found) == ["ended", "failure"]
    assert "REVERTED" in _texts(found)
    assert found[1]["failure"]["atom"] == "b"
    assert "the disk is full" in _texts(why("b"))
    assert "it was reverted" in _texts(why("a"))


def test_a_suspended_run(flow, why):
    """SUSPENDED: the next run goes on; what waits is still told."""
    flow.line("a", "b").start()
    flow.call("flow_transition", to="SUSPENDING")
    assert "suspending" in _kinds(why())
    flow.finish(flow.take().item)
    found = why()
    assert _kinds(found) == ["suspended", "waits"]
    assert found[1]["waits_for"] == ["a"]


def test_a_suspended_run_tells_who_has_asked(flow, why):
    """The journal has it, as long as that was not long ago."""
    flow.line("a").start()
    asked = {"act": "suspend", "who": "db1:7:ann/1", "reason": "moving"}
    flow.call("flow_transition", to="SUSPENDING", **asked)
    assert "(by ann (db1:7): moving)" in _texts(why())
    flow.leave()
    (reason,) = [each for each in why() if each["kind"] == "suspending"]
    assert "its workers are gone" in reason["text"]
    assert (reason["who"], reason["reason"]) == ("db1:7:ann", "moving")
    assert "ready" not in _kinds(why())


def test_a_run_that_is_left_to_workers_again(flow, why):
    """It has ended, or is suspended; what it waits for is a worker."""
    flow.line("a").start()
    flow.ensure("inject")
    flow.drive()
    assert submitted(flow, "again", rerun=1)[0] == "OK"
    assert _kinds(why()) == ["ended", "submitted"]
    assert "no worker serves" in _texts(why())


# Runs that are on


def test_what_is_ready_held_and_waited_for(flow, why):
    """The whole run: who is at what, what could be taken, what waits for these."""
    flow.layers(["a", "b"], ["c"], ["d"]).start()
    flow.take()
    found = why()
    assert _kinds(found) == ["held", "ready", "waits", "further"]
    assert found[0]["atom"] == "a"
    assert found[0]["worker"] == "w1"
    assert 50 < found[0]["lease_left_s"] <= 60
    assert found[2]["atoms"] == ["c"]
    assert found[2]["waits_for"] == ["a", "b"]


def test_a_pending_atom_names_what_is_before_it(flow, why):
    """PENDING: its nearest predecessors, with their states and owners."""
    flow.layers(["a", "b"], ["c"], ["d"]).start()
    flow.take()
    found = why("c")
    assert [(each["atom"], each["state"]) for each in found] == [
        ("a", "RUNNING"),
        ("b", "PENDING"),
    ]
    assert "a (RUNNING, by w1)" in _texts(found)
    assert [each["atom"] for each in why("d")] == ["c"]
    assert _kinds(why("b")) == ["ready"]


def test_a_running_atom_names_its_owner(flow, why):
    """RUNNING: who holds it, and what is left of its lease; also once that is over."""
    flow.line("a").start()
    flow.take()
    (reason,) = why("a")
    assert reason["kind"] == "held"
    assert reason["worker"] == "w1"
    flow.lapse("w1")
    found = why("a")
    assert _kinds(found) == ["held", "no_worker"]
    assert "whose lease is over" in _texts(found)


def test_an_atom_that_has_cost_a_worker(flow, why):
    """RUNNING without an owner: it is ready again, and so many died on it."""
    flow.line("a").start()
    flow.take()
    flow.lapse("w1")
    assert flow.sweep(payload=_failure())[0] == "OK"
    found = why("a")
    assert _kinds(found) == ["ready", "no_worker"]
    assert "1 worker(s) died on it" in _texts(found)


def test_an_atom_with_deciders(flow, why):
    """Deciders are to be asked; then somebody asks them; a nay leaves it out."""
    flow.line("a", "b").ask("b").start()
    flow.complete(flow.take().item)
    assert "deciders before it to be asked" in _texts(why("b"))
    item = flow.take().item
    assert "are being asked" in _texts(why("b"))
    flow.decided(item, "ALL")
    flow.step()
    assert "a decider said no" in _texts(why("b"))


def test_a_failure_is_resolved_before_anything_else(flow, why):
    """FAILURE: what it means is to be resolved; then somebody does; then all waits."""
    flow.fan("a", "b").start()
    flow.complete(flow.take().item, "FAILURE", payload=_failure())
    assert "has to be resolved" in _texts(why("a"))
    item = flow.take().item
    assert item.kind == "resolve"
    found = why("b")
    assert "resolving" in _kinds(found)
    assert "the failure of a means is being resolved, by w1" in _texts(found)


def test_a_revert_waits_for_what_comes_after(flow, why):
    """SUCCESS, to be reverted: what comes after it is reverted first."""
    flow.line("a", "b", "c").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE", payload=_failure())
    flow.do(flow.take().item)
    flow.step()
    reverted = flow.take().item
    assert str(reverted) == "revert c"
    assert "is being reverted by w1" in _texts(why("c"))
    found = why("a")
    assert _kinds(found) == ["to_undo", "waits", "reverting"]
    assert found[1]["atom"] == "b"
    assert found[1]["intention"] == "REVERT"
    assert "since c has failed" in found[2]["text"]


def test_a_retry_puts_back_what_comes_after_it(flow, why):
    """RETRYING: who does it; what is to be tried again says so."""
    flow.line("?r", "a").start()
    flow.complete(flow.take().item, payload="1")
    flow.complete(flow.take().item, "FAILURE", payload=_failure())
    flow.do(flow.take().item, state="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    item = flow.take().item
    assert str(item) == "retry ?r"
    assert "is being put back, to be tried again by w1" in _texts(why("?r"))


def test_how_often_a_retry_has_begun_what_comes_after_it(flow, why):
    """Once, and then once more for each try."""
    flow.line("?r", "a").start()
    flow.complete(flow.take().item, payload="1")
    assert _texts(why("?r")) == "it has let what comes after it begin once"
    flow.complete(flow.take().item, "FAILURE", payload=_failure())
    flow.do(flow.take().item, state="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    flow.do(flow.take().item)
    assert str(flow.take().item) == "execute a"
    assert _texts(why("?r")) == "it has let what comes after it begin 2 times"


def test_a_plan_in_progress(flow, why):
    """A change of many records: nothing is handed out until it is done."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    assert flow.call("flow_cancel", run=1, who="ops", reason="wrong input")[0] == "OK"
    found = why()
    assert _kinds(found)[:2] == ["cancelled", "plan"]
    assert "cancelled by ops: wrong input" in _texts(found)
    assert "nothing is handed out" in _texts(found)


def test_a_halted_run(flow, why):
    """The failure for which the run is being ended is told."""
    flow.fan("a", "b").start()
    held = flow.take(capacity=2).items
    flow.halt(held[0], payload=_failure("no argument x"))
    found = why("b")
    assert _kinds(found) == ["held", "halt"]
    assert "no argument x" in _texts(found)


def test_a_declined_item(flow, why):
    """Workers that lacked a value are named, and whether others are there."""
    flow.line("a").start()
    item = flow.take().item
    flow.about(item, "work_decline", "w1", payload=_failure("lacks x"))
    found = why("a")
    assert _kinds(found) == ["declined"]
    assert found[0]["workers"] == ["w1"]
    assert "no other worker is alive" in _texts(found)
    flow.start("w2")
    assert "1 other worker(s) may have it" in _texts(why())


def test_no_worker_is_alive(flow, why):
    """All have left: nothing goes on."""
    flow.line("a").start()
    flow.leave()
    assert _kinds(why()) == ["no_worker", "ready"]
    assert _kinds(why("a")) == ["ready", "no_worker"]


def test_the_lock_is_held(flow, why, backend):
    """Who writes in a section of the flow's lock, with fence and lease."""
    flow.line("a").start()
    with FlowLock(backend.client, flow.keys, lease_s=30).write_lock():
        (reason,) = [each for each in why() if each["kind"] == "lock"]
    assert reason["does"] == "writes"
    assert reason["pid"] > 0
    assert reason["fence"] > 0
    assert 20 < reason["lease_left_s"] <= 30
    assert "others' changes wait" in reason["text"]


def test_a_lock_whose_holder_is_dead_holds_nobody_up(flow, why):
    """Its lease is over: whoever comes next is let in, and that is said."""
    flow.line("a").start()
    held = ("held", "write", "writer", "p:1", "deadline", 1, "fence", 7)
    flow.client.execute("HSET", flow.keys.lock, *held)
    owner = '{"host":"db1","pid":7,"thread":"main","does":"writes","since":1}'
    flow.client.execute("HSET", flow.keys.lock_owners, "p:1", owner)
    (reason,) = [each for each in why() if each["kind"].startswith("lock")]
    assert reason["kind"] == "lock_lapsed"
    assert "whoever comes next is let in" in reason["text"]


def test_an_atom_of_another_structure(flow, why):
    """An atom that the structure lacks will not run."""
    flow.line("a").start()
    flow.ensure("old")
    assert _kinds(why("old")) == ["no_node"]


def test_an_unknown_atom(flow, url, capsys):
    """A name that the flow does not have is a usage error."""
    flow.create()
    assert invoke(["why", "f-why", "nope", "--url", url]) == 2
    assert "has no atom 'nope'" in capsys.readouterr().err


def test_many_reasons_are_cut(flow, why):
    """A run with thousands of atoms is told of in some lines."""
    names = [f"t{number}" for number in range(1500)]
    flow.layers(names, ["join"], [f"z{number}" for number in range(300)]).start()
    found = why()
    assert len(found) < 10
    assert "1,500 items wait for a worker" in _texts(found)
    assert "more atoms come after these" in _texts(found)


def test_an_argument_names_who_provides_it(url, capsys):
    """What is waited for is not only an atom, but the value that it gives."""
    maker = task.FunctorTask(lambda: 7, name="maker", provides="x")
    user = task.FunctorTask(lambda x: x, name="user")
    flow = graph_flow.Flow("f").add(maker, user)
    engine = redisflow.load(flow, run_id="nightly", url=url)
    phases = engine.run_iter()
    next(phases)
    next(phases)
    assert invoke(["why", "nightly", "user", "--url", url, "-o", "json"]) == 0
    (reason,) = json.loads(capsys.readouterr().out)["reasons"]
    assert (reason["atom"], reason["provides"]) == ("maker", ["x"])
    assert reason["text"].endswith(", which provides its argument x")
    list(phases)
    engine.storage.backend.close()
