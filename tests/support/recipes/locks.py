"""Recipes of scripts that are about a lock, a flow's own as well."""

from __future__ import annotations

from tests.support.flows import ScriptedFlow
from tests.support.locks import ScriptedLock
from tests.support.recipes.book import Call, recipe
from tests.support.recipes.stages import started


@recipe
def lock_create(flow: ScriptedFlow) -> Call:
    """Create a lock that exists."""
    started(flow)
    return lambda: flow.call("lock_create")


@recipe
def lock_acquire(flow: ScriptedFlow) -> Call:
    """Enter a lock."""
    started(flow)
    return lambda: ScriptedLock.of(flow).acquire("p:1")


@recipe
def lock_acquire__queue(flow: ScriptedFlow) -> Call:
    """Wait for a lock, and put one out whose lease is over."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")
    lock.lapse("p:2")
    return lambda: lock.acquire("p:3")


@recipe
def lock_release(flow: ScriptedFlow) -> Call:
    """Leave a lock, and let the next ones in."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2", "reads")
    lock.acquire("p:3", "reads")
    return lambda: lock.release("p:1")


@recipe
def lock_release__keep(flow: ScriptedFlow) -> Call:
    """Go on as a reader."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    return lambda: lock.release("p:1", keep_ms=1000)


@recipe
def lock_extend(flow: ScriptedFlow) -> Call:
    """Renew a lease, and let others in besides."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    return lambda: lock.extend("p:1", lease_ms=70_000, fence=0)


@recipe
def lock_list(flow: ScriptedFlow) -> Call:
    """Tell who holds a lock and who waits."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2")
    return lambda: lock.call("lock_list")


@recipe
def lock_break(flow: ScriptedFlow) -> Call:
    """Take a lock away."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2")
    return lock.break_holders


@recipe
def flow_unlock(flow: ScriptedFlow) -> Call:
    """Take a flow's lock away from readers."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")
    return lambda: lock.break_holders("flow_unlock")
