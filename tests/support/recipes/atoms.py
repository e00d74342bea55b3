"""Recipes of scripts that are about one atom's record and results."""

from __future__ import annotations

from typing import Any

from tests.support.flow_view import uuid_of
from tests.support.flows import ScriptedFlow, edit
from tests.support.recipes.book import Call, recipe
from tests.support.recipes.stages import started


@recipe
def atom_ensure(flow: ScriptedFlow) -> Call:
    """Give a new atom its details."""
    started(flow)
    return lambda: flow.ensure("a", "d")


@recipe
def atom_ensure__provides(flow: ScriptedFlow) -> Call:
    """Change what a known atom provides."""
    started(flow)
    records = ["a", "task", "1.0", uuid_of("a"), '{"x":0}', ""]
    return lambda: flow.call("atom_ensure", rest=records)


@recipe
def atom_transition(flow: ScriptedFlow) -> Call:
    """Set an atom's state while the flow runs."""
    started(flow)
    return lambda: flow.on("a", "atom_transition", state="SUCCESS")


@recipe
def atom_reset(flow: ScriptedFlow) -> Call:
    """Reset an atom while the flow runs."""
    started(flow).complete(flow.take().item)
    return lambda: flow.on("a", "atom_reset", state="PENDING")


@recipe
def atom_save(flow: ScriptedFlow) -> Call:
    """Save a result from outside while the flow runs."""
    started(flow)
    return lambda: flow.on("a", "atom_save", state="SUCCESS", writer="me")


def with_retry(flow: ScriptedFlow) -> ScriptedFlow:
    """Start a flow ?r -> a, whose retry has a history."""
    flow.line("?r", "a").start()
    request(flow, "retry_save", 1, state="SUCCESS")
    flow.step()
    return flow


def request(flow: ScriptedFlow, script: str, op_id: int, **args: Any) -> object:
    """Do something to ?r that must not be done twice."""
    asked: dict[str, Any] = {"owner": "me", "op_id": op_id, "keep_ms": 60_000, **args}
    return flow.on("?r", script, **asked)


@recipe
def retry_save(flow: ScriptedFlow) -> Call:
    """Append to a history while the flow runs."""
    flow.line("?r", "a").start()
    return lambda: request(flow, "retry_save", 1, state="SUCCESS")


@recipe
def retry_fail(flow: ScriptedFlow) -> Call:
    """Note in a history that an atom has failed."""
    with_retry(flow)
    return lambda: request(flow, "retry_fail", 2, failed="a")


@recipe
def retry_clear(flow: ScriptedFlow) -> Call:
    """Remove a history while the flow runs."""
    with_retry(flow)
    return lambda: request(flow, "retry_clear", 2, state="PENDING")


@recipe
def atom_update(flow: ScriptedFlow) -> Call:
    """Give an atom metadata."""
    started(flow)
    return lambda: flow.on("a", "atom_update", rest=["progress", "0.5"])


@recipe
def value_inject(flow: ScriptedFlow) -> Call:
    """Inject a value for the first time."""
    started(flow)
    return lambda: flow.on("inject", "value_inject", rest=["x", "1"], name="inject")


@recipe
def value_inject__again(flow: ScriptedFlow) -> Call:
    """Inject another value into the same injector."""
    value_inject(flow)()
    return lambda: flow.on("inject", "value_inject", rest=["x", "2"], name="inject")


@recipe
def atom_read(flow: ScriptedFlow) -> Call:
    """Read an atom with its results."""
    item = started(flow).take().item
    flow.complete(item)
    return lambda: flow.call("atom_read", of=uuid_of("a"))


@recipe
def atom_write(flow: ScriptedFlow) -> Call:
    """Change the details of one atom of a running flow, and bring another."""
    started(flow)
    words = [
        *edit("a", "SUCCESS", sets=["meta:x", "1"], results=["results", "5"]),
        *edit("d", "PENDING", sets=["version", "2.0"]),
    ]
    return lambda: flow.call("atom_write", rest=words, create=1)


@recipe
def atom_restart(flow: ScriptedFlow) -> Call:
    """Put an atom back to its beginning."""
    started(flow).drive()
    return lambda: flow.on("a", "atom_restart")


@recipe
def atom_override(flow: ScriptedFlow) -> Call:
    """Give an atom another result."""
    started(flow).drive()
    return lambda: flow.on("a", "atom_override", state="SUCCESS", payload='"new"')
