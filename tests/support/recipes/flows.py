"""Recipes of scripts that are about a whole flow, its graph and its plan."""

from __future__ import annotations

from redisflow.scripts import Argument
from tests.support.flow_view import uuid_of
from tests.support.flows import ScriptedFlow, repair, submitted
from tests.support.recipes.book import FAR, Call, recipe
from tests.support.recipes.stages import (
    asked,
    failed,
    finishing,
    idle,
    launching,
    started,
    trying_again,
    wide,
)


@recipe
def flow_create(flow: ScriptedFlow) -> Call:
    """Create a flow that exists."""
    started(flow)
    return flow.create


@recipe
def epoch_begin(flow: ScriptedFlow) -> Call:
    """Come to a flow from another server than it knows."""
    started(flow)
    flow.client.execute("HSET", flow.keys.flow, "server", "another")
    return lambda: flow.call("epoch_begin")


@recipe
def flow_update(flow: ScriptedFlow) -> Call:
    """Give a flow metadata."""
    started(flow)
    return lambda: flow.call("flow_update", rest=["owner", '"me"'])


@recipe
def flow_sync(flow: ScriptedFlow) -> Call:
    """Ask for all that has changed."""
    started(flow)
    return lambda: flow.call("flow_sync", since=0, limit=10)


@recipe
def flow_transition(flow: ScriptedFlow) -> Call:
    """Suspend a flow."""
    started(flow)
    return lambda: flow.call("flow_transition", to="SUSPENDING")


@recipe
def flow_transition__forced(flow: ScriptedFlow) -> Call:
    """Set the state of a flow that nobody runs."""
    idle(flow)
    return lambda: flow.call("flow_transition", to="PENDING", forced=1)


@recipe
def flow_start(flow: ScriptedFlow) -> Call:
    """Start a run again."""
    idle(flow)
    return lambda: flow.come("w2", run=2)


@recipe
def flow_launch(flow: ScriptedFlow) -> Call:
    """Launch a run."""
    launching(flow)
    return lambda: flow.call("flow_launch", worker="w1")


@recipe
def flow_finish(flow: ScriptedFlow) -> Call:
    """Finish a run."""
    item = finishing(flow)
    return lambda: flow.finish(item)


@recipe
def flow_halt(flow: ScriptedFlow) -> Call:
    """End a run for a failure that belongs to no atom."""
    started(flow)
    return lambda: flow.call("flow_halt", run=1)


@recipe
def flow_cancel(flow: ScriptedFlow) -> Call:
    """Cancel a run in the middle of it."""
    started(flow).complete(flow.take().item)
    return lambda: flow.call("flow_cancel", run=1, reason="why")


@recipe
def value_note(flow: ScriptedFlow) -> Call:
    """Note that a worker has a value which others cannot get."""
    started(flow)
    return lambda: flow.call("value_note", rest=["x"])


@recipe
def graph_clear(flow: ScriptedFlow) -> Call:
    """Take an old structure away."""
    idle(flow)
    assert flow.come("w2", run=2, fingerprint="other")[0] == "CLEAR"
    return lambda: flow.call("graph_clear", worker="w2")


@recipe
def graph_save(flow: ScriptedFlow) -> Call:
    """Bring a structure."""
    flow.line("a", "b", "c").create()
    flow.ensure("a", "b", "c")
    flow.come("w1")
    return lambda: flow.call("graph_save", rest=flow.records, worker="w1")


@recipe
def plan_step(flow: ScriptedFlow) -> Call:
    """Count what every node waits for, and run."""
    launching(flow).call("flow_launch", worker="w1")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__reset(flow: ScriptedFlow) -> Call:
    """Reset the atoms of a flow that was reverted."""
    started(flow).drive(outcomes={"execute b": "FAILURE"})
    flow.come("w1", run=2)
    flow.call("flow_launch", worker="w1")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__mark(flow: ScriptedFlow) -> Call:
    """Tell all atoms that they are to be reverted."""
    flow.resolve(failed(flow).take().item)
    return lambda: flow.call("plan_step")


@recipe
def plan_step__revert(flow: ScriptedFlow) -> Call:
    """Count what every node's revert waits for."""
    flow.resolve(failed(flow).take().item)
    flow.call("plan_step")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__open(flow: ScriptedFlow) -> Call:
    """Open the rest of a wide fan-out."""
    names = [f"t{number}" for number in range(410)]
    wide(flow, ["a"], names).complete(flow.take().item)
    return lambda: flow.call("plan_step")


@recipe
def plan_step__clear(flow: ScriptedFlow) -> Call:
    """Offer the rest of the reverts that one revert has opened."""
    names = [f"t{number}" for number in range(410)]
    wide(flow, names, ["a"])
    for _ in range(3):
        for item in flow.take(capacity=200).items:
            flow.complete(item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__walk(flow: ScriptedFlow) -> Call:
    """Visit what a nay reaches."""
    flow.decide(asked(flow), "ALL")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__again(flow: ScriptedFlow) -> Call:
    """Put back what comes after a retry controller."""
    flow.retry(trying_again(flow))
    return lambda: flow.call("plan_step")


@recipe
def plan_step__done_meanwhile(flow: ScriptedFlow) -> Call:
    """Count anew for an atom that was done in the middle of its links."""
    names = [f"t{number}" for number in range(410)]
    item = wide(flow, ["a"], names).take().item
    flow.on("t9", "atom_transition", state="SUCCESS")
    flow.call("plan_step")
    flow.complete(item)
    return lambda: flow.call("plan_step")


@recipe
def flow_submit(flow: ScriptedFlow) -> Call:
    """Leave a flow to workers, with a value for it."""
    started(flow)
    return lambda: submitted(flow, "r1")


@recipe
def flow_submit__again(flow: ScriptedFlow) -> Call:
    """Submit a flow once more, without a value."""
    flow_submit(flow)()
    return lambda: submitted(flow, "r2", rest=[])


@recipe
def flow_check(flow: ScriptedFlow) -> Call:
    """Look whether the details of two atoms can be written."""
    started(flow)
    questions: list[Argument] = [uuid_of("a"), "task", 1, uuid_of("d"), "task", 1]
    return lambda: flow.call("flow_check", rest=questions)


@recipe
def flow_write(flow: ScriptedFlow) -> Call:
    """Set the state of a flow that nobody runs, and change its metadata."""
    idle(flow)
    words: list[Argument] = [2, "meta:a", "1", 1, "meta:b"]
    return lambda: flow.call("flow_write", rest=words, state="PENDING")


@recipe
def flow_remove(flow: ScriptedFlow) -> Call:
    """Remove a flow, all of it at once."""
    started(flow)
    return lambda: flow.call("flow_remove", limit=1000)


@recipe
def flow_repair(flow: ScriptedFlow) -> Call:
    """Compute anew what somebody has changed by hand."""
    started(flow).take()
    flow.client.execute("ZADD", flow.keys.changes, 1, uuid_of("a"))
    rest, rev = [uuid_of("a"), uuid_of("x")], flow.rev
    return lambda: repair(flow, rest=rest, rev=rev, unfinished=3, recount=1)


@recipe
def flow_expire(flow: ScriptedFlow) -> Call:
    """Let records go with their flow."""
    started(flow).drive()
    flow.client.execute("HSET", flow.keys.flow, "expires_at", FAR)
    return lambda: flow.call("flow_expire", run=1)


@recipe
def flow_keep(flow: ScriptedFlow) -> Call:
    """Let a flow stay that was to go."""
    started(flow).drive()
    flow.client.execute("HSET", flow.keys.flow, "expires_at", FAR)
    return lambda: flow.call("flow_keep", ended=1)


@recipe
def import_begin(flow: ScriptedFlow) -> Call:
    """Take the place of a flow that is there."""
    started(flow)
    return lambda: flow.call("import_begin")


@recipe
def import_save(flow: ScriptedFlow) -> Call:
    """Bring an atom to a flow that is there."""
    started(flow)
    words: list[Argument] = ["atom", uuid_of("a"), 2, "rev", 5]
    return lambda: flow.call("import_save", rest=words)


@recipe
def import_finish(flow: ScriptedFlow) -> Call:
    """Bring the hash of a flow that is there."""
    started(flow)
    return lambda: flow.call("import_finish", rest=["rev", 5])
