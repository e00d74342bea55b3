"""Flows that are kept for a while once they have ended."""

from __future__ import annotations

from typing import Any

from tests.support.flows import ScriptedFlow

_FAR_MS = 3_600_000


def lasting(flow: ScriptedFlow) -> list[str]:
    """Name the keys of a flow that do not expire."""
    keys = flow.all_keys()
    left = flow.client.execute_many([("PTTL", key) for key in keys])
    return [key for key, ms in zip(keys, left, strict=True) if ms < 0]


def ended(flow: ScriptedFlow, *names: str, keep_ms: int = _FAR_MS) -> list[Any]:
    """Run a fan to its end, kept for a while."""
    flow.fan(*names).start(keep_ms=keep_ms)
    while True:
        for item in flow.take(capacity=50).items:
            if item.kind == "finish":
                return flow.finish(item)
            flow.complete(item)


def expire(flow: ScriptedFlow, *, run: int = 1) -> None:
    """Let all records go with a flow, as the worker does that has ended the run."""
    reply = flow.call("flow_expire", run=run)
    while reply[0] == "MORE":
        reply = flow.call("flow_expire", run=run, after=reply[1])
    assert reply == ["OK"]


def keep(flow: ScriptedFlow, *, run: int = 1, after: int = 0) -> None:
    """Let a flow stay whose run has set out that it is to go."""
    reply = flow.call("flow_keep", ended=run, after=after)
    while reply[0] == "MORE":
        reply = flow.call("flow_keep", ended=run, after=reply[1])
    assert reply == ["OK"]
