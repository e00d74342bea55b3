"""Taking back what dead workers hold, and from nobody who lives.

A worker whose lease is over counts as dead. But of a server that was away, or stood
still, for longer than the leases, all have lapsed at once: those who are at work renew
them within a third of one from when it is back, and go on. So who sweeps

* names a worker whose process was seen to end; or
* is a heartbeat whose own renewals were steady; or
* has seen the server answer for half a lease without a break (`sweep_lapsed`): asks
  it again and again, each time for no longer than a heartbeat would wait. Only whose
  client has asked that one server all along need not begin with it now.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from threading import Event
from time import monotonic

from redisflow import observing
from redisflow.client import SILENT_S, Client
from redisflow.errors import CorruptKey
from redisflow.lease import RENEW_AT, STEADY_AFTER
from redisflow.persistence.commands import run_many
from redisflow.scripts import FlowScripts

logger = logging.getLogger(__name__)

#: For who sweeps on nobody's behalf: no atom is given up for it, its engines decide.
NEVER = 2**31

#: Of a flow that was begun before flows told theirs, in seconds.
_LEASE_S = 15.0

#: Part of a lease that may pass between two questions, and their longest distance.
_ASK_AT = 1 / 10
_ASK_S = 1.0


def sweep(
    scripts: FlowScripts,
    dead: str = "",
    *,
    max_attempts: int = NEVER,
    payload: bytes = b"null",
) -> int:
    """Take back at once what dead workers hold; returns how many workers were dead.

    Args:
        scripts: of the flow.
        dead: one that is known to be dead; otherwise those whose lease is over.
        max_attempts: how many workers an atom may cost before it fails.
        payload: its failure then, encoded.
    """
    workers: set[bytes] = set()
    more = 1
    while more:
        reply = scripts.call(
            "worker_sweep", dead=dead, max_attempts=max_attempts, payload=payload
        )
        if reply.status == "NONE":
            break
        worker, taken, more = reply.fields
        workers.add(worker)
        if taken or not dead:
            flow = scripts.keys.flow_uuid
            logger.warning(
                "worker %s is dead: items taken back: %d",
                worker.decode(),
                taken,
                extra={"flow": flow, "worker": worker.decode()},
            )
            observing.tell("took_back", flow, worker.decode(), taken)
        if dead and not more:
            break
    return len(workers)


def sweep_lapsed(
    scripts: FlowScripts,
    *,
    max_attempts: int = NEVER,
    payload: bytes = b"null",
    needless: Callable[[], bool] = lambda: False,
) -> int:
    """Take back what those hold whose lease is over, and who had time to renew it.

    To be called where somebody's lease is over: it may wait for half a lease.

    Args:
        scripts: of the flow.
        max_attempts: how many workers an atom may cost before it fails.
        payload: its failure then, encoded.
        needless: asked while it waits: whether it is to be left.

    Returns:
        How many workers were dead.
    """
    told, since = False, math.inf
    while True:
        asked = monotonic()
        lease_s = _lease_of(scripts)
        now = monotonic()
        if since == math.inf:
            since = min(now, _known_since(scripts.client, lease_s))
        elif now - asked > lease_s * RENEW_AT:
            since = now
        wait_s = since + lease_s * STEADY_AFTER - now
        if wait_s <= 0:
            return sweep(scripts, max_attempts=max_attempts, payload=payload)
        if not told:
            words = "leases are over: waiting %.1f s for workers who live to renew them"
            logger.warning(words, wait_s, extra={"flow": scripts.keys.flow_uuid})
            told = True
        Event().wait(min(wait_s, lease_s * _ASK_AT, _ASK_S))
        if needless():
            return 0


def _known_since(client: Client, lease_s: float) -> float:
    """Tell since when a client knows that the server of a flow answers.

    That of a cluster has asked others, and may not have asked this one; and what one
    misses who did not ask for a while has to be too short to end a lease.
    """
    if client.config.kind == "cluster" or lease_s * STEADY_AFTER < SILENT_S:
        return math.inf
    return client.steady_since


def _lease_of(scripts: FlowScripts) -> float:
    key = scripts.keys.flow
    (lease_ms,) = run_many(scripts.client, [("HGET", key, "lease_ms")])
    if lease_ms is None:
        return _LEASE_S
    try:
        return int(lease_ms) / 1000
    except ValueError:
        raise CorruptKey(f"key {key}: lease_ms is no number", key=key) from None
