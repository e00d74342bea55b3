"""How runs end: which one an engine belongs to, and what it raises at its end."""

from __future__ import annotations

from taskflow import exceptions, states
from taskflow.types.failure import Failure

from redisflow.codec import failure_from
from redisflow.errors import FlowCancelled
from redisflow.persistence import FlowRecord
from redisflow.storage import Storage

_QUIET_OUTCOMES = (states.SUCCESS, states.SUSPENDED)


def current_run(storage: Storage, *, rerun: bool) -> int:
    """Tell which run an engine that is made now belongs to.

    Args:
        storage: the flow; its mirror is up to date.
        rerun: whether it starts a run that has ended once more.
    """
    flow = _flow_of(storage)
    over = flow.ended == flow.run
    if over and (rerun or flow.state == states.SUSPENDED):
        return flow.run + 1
    return flow.run


def outcome_of(storage: Storage, run: int) -> str | None:
    """Tell how a run ended, as far as the mirror knows; None if it has not."""
    flow = _flow_of(storage)
    if run > flow.ended:
        return None
    return flow.fields.get(f"outcome:{run}") or flow.state


def raise_failures(storage: Storage, outcome: str) -> None:
    """Raise what made a run end so.

    Raises:
        Exception: what a task raised; a ``WrappedFailure`` if it was more than one or
            raised elsewhere.
        FlowCancelled: somebody had the flow reverted.
    """
    if outcome in _QUIET_OUTCOMES:
        return
    failures = storage.get_halt_failures() if outcome == states.FAILURE else []
    if not failures:
        failures = [
            *storage.get_execute_failures().values(),
            *storage.get_revert_failures().values(),
        ]
    cancelled = _cancellation(storage)
    if cancelled is not None:
        failures.insert(0, failure_from(cancelled))
    Failure.reraise_if_any(failures)
    raise exceptions.ExecutionFailure(
        f"flow {storage.flow_name!r} ended in {outcome}, and its failures are gone"
    )


def _cancellation(storage: Storage) -> FlowCancelled | None:
    """Return why the flow was reverted, if somebody asked for it."""
    asked = _flow_of(storage).fields.get("cancelled")
    if asked is None:
        return None
    who, _, reason = asked.partition(" ")
    message = f"flow {storage.flow_name!r} was cancelled by {who}"
    return FlowCancelled(f"{message}: {reason}" if reason else message)


def _flow_of(storage: Storage) -> FlowRecord:
    flow = storage.mirror.flow
    assert flow is not None  # noqa: S101  # it was read before
    return flow
