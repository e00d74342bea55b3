"""Recipes of scripts with which workers take, do and lose work."""

from __future__ import annotations

from tests.support.flows import ScriptedFlow
from tests.support.recipes.book import Call, recipe
from tests.support.recipes.stages import (
    asked,
    failed,
    failed_retry,
    started,
    trying_again,
    wide,
)


@recipe
def work_decline(flow: ScriptedFlow) -> Call:
    """Leave an item to another worker."""
    item = started(flow).take().item
    return lambda: flow.about(item, "work_decline", "w1", payload='"lacks x"')


@recipe
def work_take(flow: ScriptedFlow) -> Call:
    """Take the first item."""
    started(flow)
    return flow.take


@recipe
def work_take__lost(flow: ScriptedFlow) -> Call:
    """Get an item again whose hand-out was lost."""
    started(flow).take()
    return lambda: flow.take(lease_ms=90_000)


@recipe
def work_complete(flow: ScriptedFlow) -> Call:
    """Complete an atom, and take the next."""
    item = started(flow).take().item
    return lambda: flow.complete(item, capacity=1)


@recipe
def work_complete__failure(flow: ScriptedFlow) -> Call:
    """Complete an atom that failed."""
    item = started(flow).take().item
    return lambda: flow.complete(item, "FAILURE", capacity=1)


@recipe
def work_complete__late(flow: ScriptedFlow) -> Call:
    """Complete an atom that was taken back."""
    item = started(flow, "w2").take("w2").item
    flow.sweep(dead="w2")
    return lambda: flow.try_complete(item, worker="w2")


@recipe
def work_complete__wide(flow: ScriptedFlow) -> Call:
    """Complete an atom that opens more than one call may."""
    names = [f"t{number}" for number in range(410)]
    item = wide(flow, ["a"], names).take().item
    return lambda: flow.complete(item)


@recipe
def work_complete__edited(flow: ScriptedFlow) -> Call:
    """Complete an atom that a pass over all nodes has left behind."""
    flow.fan(*(f"t{number}" for number in range(250))).start()
    item = flow.take().item
    flow.on("t200", "atom_transition", state="SUCCESS")
    flow.call("plan_step")
    return lambda: flow.complete(item)


@recipe
def work_complete__revert(flow: ScriptedFlow) -> Call:
    """Complete a revert, which opens the one before."""
    flow.resolve(failed(flow).take().item)
    flow.step()
    item = flow.take().item
    return lambda: flow.complete(item, "REVERTED", capacity=1)


@recipe
def work_halt(flow: ScriptedFlow) -> Call:
    """Give an item back, and end the run."""
    item = started(flow).take().item
    return lambda: flow.halt(item)


@recipe
def work_halt__resolving(flow: ScriptedFlow) -> Call:
    """End the run for a failure of the one who was asked about another."""
    item = failed(flow).take().item
    return lambda: flow.halt(item)


@recipe
def work_decide(flow: ScriptedFlow) -> Call:
    """Let an atom run."""
    item = asked(flow)
    return lambda: flow.decide(item)


@recipe
def work_decide__nay(flow: ScriptedFlow) -> Call:
    """Leave an atom out, and all that comes after it."""
    item = asked(flow)
    return lambda: flow.decide(item, "ALL")


@recipe
def work_decide__reverted(flow: ScriptedFlow) -> Call:
    """Give an atom back that is to be reverted by now."""
    flow.fan("a", "b").ask("a").start()
    first, second = flow.take(capacity=2).items
    flow.complete(second, "FAILURE")
    flow.resolve(flow.take(holding=[first]).item)
    flow.step()
    return lambda: flow.decide(first)


@recipe
def work_blame(flow: ScriptedFlow) -> Call:
    """Note in a history what a controller is asked about."""
    item = failed_retry(flow)
    claim = {"worker": "w1", "token": item.token, "item": item.id}
    return lambda: flow.on("?r", "work_blame", failed="a", **claim)


@recipe
def work_resolve__retry(flow: ScriptedFlow) -> Call:
    """Decide that a flow is tried again."""
    item = failed_retry(flow)
    return lambda: flow.resolve(item, how="RETRY ?r")


@recipe
def work_retry(flow: ScriptedFlow) -> Call:
    """Set out to put back what comes after a controller."""
    item = trying_again(flow)
    return lambda: flow.retry(item)


@recipe
def work_retry__runs(flow: ScriptedFlow) -> Call:
    """Let a controller run again."""
    item = trying_again(flow)
    flow.retry(item)
    flow.step()
    return lambda: flow.retry(item)


@recipe
def work_resolve(flow: ScriptedFlow) -> Call:
    """Decide that everything is reverted."""
    item = failed(flow).take().item
    return lambda: flow.resolve(item)


@recipe
def worker_heartbeat(flow: ScriptedFlow) -> Call:
    """Renew a lease."""
    started(flow)
    return lambda: flow.call("worker_heartbeat", worker="w1")


@recipe
def worker_leave(flow: ScriptedFlow) -> Call:
    """Leave with an item in hand."""
    started(flow).take()
    return lambda: flow.leave("w1")


@recipe
def worker_leave__resolving(flow: ScriptedFlow) -> Call:
    """Leave with a failure in hand."""
    failed(flow).take()
    return lambda: flow.leave("w1")


@recipe
def worker_sweep(flow: ScriptedFlow) -> Call:
    """Take an item back."""
    started(flow).take()
    return lambda: flow.sweep(dead="w1")


@recipe
def worker_sweep__given_up(flow: ScriptedFlow) -> Call:
    """Take back an atom that has cost as many workers as it may."""
    started(flow).take()
    return lambda: flow.sweep(dead="w1", max_attempts=1)


@recipe
def worker_sweep__asked(flow: ScriptedFlow) -> Call:
    """Take back an atom whose deciders were being asked."""
    asked(flow)
    return lambda: flow.sweep(dead="w1")
