"""Ending a run that was told to suspend, when no worker is left to do so."""

from __future__ import annotations

from taskflow import states

from redisflow.engine.membership import Membership
from redisflow.engine.plans import carry_on_plan
from redisflow.engine.worker import Worker
from redisflow.persistence.sweeping import NEVER
from redisflow.storage import Storage

_LEASE_S = 15.0


def settle_run(storage: Storage, run: int, *, max_attempts: int = NEVER) -> None:
    """Take back what dead workers held, and end the run if it can end now.

    A failure that nobody has decided upon is left to the next run.

    Args:
        storage: the flow.
        run: the run to end.
        max_attempts: how many workers an atom may cost before it fails.
    """
    membership = Membership(
        storage, run=run, lease_s=_LEASE_S, max_attempts=max_attempts, tag=None
    )
    if _has_lapsed(storage):
        membership.sweep()
    worker = Worker(storage, membership, run=run)
    if storage.get_flow_state() == states.SUSPENDING:
        scripts = storage.backend.scripts_of(storage.flow_uuid)
        carry_on_plan(storage, scripts, who=membership.id)
    try:
        for item in worker.take(1, (), settles=True).items:
            worker.finish(item)
    finally:
        membership.leave()  # others need not wait for its lease


def _has_lapsed(storage: Storage) -> bool:
    """Tell whether there are workers whose lease is over."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    storage.mirror.sync()
    there = storage.backend.client.execute("ZCARD", keys.workers)
    return int(there) - 1 > storage.mirror.live  # one is a sentinel
