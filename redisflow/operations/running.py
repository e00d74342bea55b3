"""Suspending a run, and letting it go on."""

from __future__ import annotations

from threading import Event

from taskflow import states

from redisflow.engine.settling import settle_run
from redisflow.engine.submissions import Submissions
from redisflow.engine.submitting import place
from redisflow.errors import InvalidState
from redisflow.operations.subject import Subject

#: How often a run is looked at that somebody waits for, in seconds.
_LOOK_S = 0.5


def suspend_run(subject: Subject, *, reason: str = "") -> str:
    """Tell all workers of a flow to stop after their current task; returns its state.

    Raises:
        InvalidState: it cannot be suspended in the state that it is in.
    """
    flow, storage = subject.look(), subject.storage
    state = flow.state or states.PENDING
    if state != states.SUSPENDING:
        if not states.check_flow_transition(state, states.SUSPENDING):
            raise InvalidState(f"the flow is {state}: it cannot be suspended")
        subject.note("suspend", reason)
        moved, old = storage.change_flow_state(states.SUSPENDING)
        if not moved and old != states.SUSPENDING:
            raise InvalidState(f"the flow is {old}: it cannot be suspended")
    if not subject.live:
        settle_run(storage, flow.run)
    return str(storage.get_flow_state())


def wait_until_suspended(subject: Subject) -> str:
    """Wait until no worker is at work in a run that was told to suspend.

    Returns:
        The flow's state: SUSPENDED, or another in which it ended meanwhile.
    """
    while (flow := subject.look()).state == states.SUSPENDING:
        if not subject.live:
            settle_run(subject.storage, flow.run)
        Event().wait(_LOOK_S)
    return flow.state or str(states.PENDING)


def resume_run(subject: Subject, *, reason: str = "") -> int:
    """Let a suspended run go on, by the workers that it was left to.

    Returns:
        How many workers serve submitted flows now.

    Raises:
        InvalidState: it is not suspended, or it was never submitted.
    """
    flow = subject.look()
    state = flow.state or states.PENDING
    if state != states.SUSPENDED:
        raise InvalidState(f"the flow is {state}: only what is SUSPENDED is resumed")
    backend = subject.storage.backend
    given = Submissions(backend).last(subject.storage.flow_uuid)
    if given is None:
        raise InvalidState(
            "the flow was not submitted to workers: run it again with the same run id,"
            " and it goes on"
        )
    subject.note("resume", reason)
    placed = place(backend, given.call, run_id=given.run_id, options=given.options)
    return placed.servers
