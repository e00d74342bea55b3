"""Where flows have come to when several recipes begin."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.flows import Item, ScriptedFlow


def started(flow: ScriptedFlow, *workers: str) -> ScriptedFlow:
    """Start a flow a -> b -> c, with a worker that waits for work."""
    flow.line("a", "b", "c")
    for worker in ("w1", *workers, "sleeper"):
        flow.start(worker)
    flow.client.execute("ZADD", flow.keys.idle, 1, "sleeper")
    return flow


def wide(flow: ScriptedFlow, *layers: Sequence[str]) -> ScriptedFlow:
    """Start a flow with more links than one call may follow."""
    flow.layers(*layers).start()
    return flow


def launching(flow: ScriptedFlow) -> ScriptedFlow:
    """Bring a flow to where only flow_launch is left to do."""
    flow.line("a", "b", "c").create()
    flow.ensure("a", "b", "c")
    flow.come("w1")
    flow.load("w1")
    return flow


def idle(flow: ScriptedFlow) -> ScriptedFlow:
    """Suspend a run a -> b -> c, where a is done."""
    started(flow)
    item = flow.take().item
    flow.call("flow_transition", to="SUSPENDING")
    flow.complete(item)
    flow.finish(flow.take().item)
    return flow


def failed(flow: ScriptedFlow) -> ScriptedFlow:
    """Let b of a flow a -> b -> c fail."""
    started(flow)
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    return flow


def finishing(flow: ScriptedFlow) -> Item:
    """Do all atoms of a flow, and take what is left."""
    started(flow)
    for _ in "abc":
        flow.complete(flow.take().item)
    return flow.take().item


def asked(flow: ScriptedFlow) -> Item:
    """Start a flow a -> b -> c, and take the item to ask a's deciders."""
    flow.line("a", "b", "c").ask("a").start()
    flow.start("sleeper")
    flow.client.execute("ZADD", flow.keys.idle, 1, "sleeper")
    return flow.take().item


def failed_retry(flow: ScriptedFlow) -> Item:
    """Start a flow ?r -> a -> b, let a fail, and take its failure."""
    flow.line("?r", "a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    return flow.take().item


def trying_again(flow: ScriptedFlow) -> Item:
    """Bring a flow to where its retry controller is to try it again."""
    flow.resolve(failed_retry(flow), how="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    return flow.take().item
