"""Suspending a run, letting it go on, and having it reverted.

What begins with ``check`` refuses as the act itself would, and changes nothing.
"""

from __future__ import annotations

from threading import Event

from taskflow import states

from redisflow.engine.plans import cancel_run
from redisflow.engine.settling import settle_run
from redisflow.engine.submissions import Submission, Submissions
from redisflow.engine.submitting import place
from redisflow.errors import InvalidState
from redisflow.operations.subject import Subject

#: How often a run is looked at that somebody waits for, in seconds.
_LOOK_S = 0.5

_CANCELLABLE = (states.RUNNING, states.SUSPENDING, states.SUSPENDED)


def check_suspend(subject: Subject) -> str:
    """Look whether a flow can be suspended; returns its state.

    Raises:
        InvalidState: it cannot, in the state that it is in.
    """
    state = subject.look().state or states.PENDING
    if state in (states.SUSPENDING, states.SUSPENDED):
        return str(state)
    if not states.check_flow_transition(state, states.SUSPENDING):
        raise InvalidState(f"the flow is {state}: it cannot be suspended")
    return str(state)


def suspend_run(subject: Subject, *, reason: str = "") -> str:
    """Tell all workers of a flow to stop after their current task; returns its state.

    Raises:
        InvalidState: it cannot be suspended in the state that it is in.
    """
    storage = subject.storage
    state = check_suspend(subject)
    if state == states.SUSPENDED:
        return state
    if state != states.SUSPENDING:
        who, since = subject.request()
        reply = subject.scripts.call(
            "flow_transition",
            to=states.SUSPENDING,
            forced=0,
            who=who,
            since=since,
            act="suspend",
            reason=reason,
        )
        storage.mirror.suspect()
        old = reply.fields[0].decode()
        if reply.status != "MOVED" and old != states.SUSPENDING:
            raise InvalidState(f"the flow is {old}: it cannot be suspended")
    if not subject.live:
        settle_run(storage, subject.look().run)
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


def check_resume(subject: Subject) -> Submission:
    """Look whether a run can be left to workers again; returns how it was.

    Raises:
        InvalidState: it is not suspended, or it was never submitted.
    """
    state = subject.look().state or states.PENDING
    if state != states.SUSPENDED:
        raise InvalidState(f"the flow is {state}: only what is SUSPENDED is resumed")
    given = Submissions(subject.storage.backend).last(subject.storage.flow_uuid)
    if given is None:
        raise InvalidState(
            "the flow was not submitted to workers: run it again with the same run id,"
            " and it goes on"
        )
    return given


def resume_run(subject: Subject, *, reason: str = "") -> int:
    """Let a suspended run go on, by the workers that it was left to.

    Returns:
        How many workers serve submitted flows now.

    Raises:
        InvalidState: it is not suspended, or it was never submitted.
    """
    given, backend = check_resume(subject), subject.storage.backend
    placed = place(
        backend,
        given.call,
        run_id=given.run_id,
        options=given.options,
        act="resume",
        reason=reason,
    )
    return placed.servers


def check_cancel(subject: Subject) -> str:
    """Look whether a run can be reverted; returns the flow's state.

    Raises:
        InvalidState: it has not begun, or it is over.
    """
    state = subject.look().state or states.PENDING
    if state not in _CANCELLABLE:
        raise InvalidState(f"the flow is {state}: there is nothing to cancel")
    return str(state)


def cancel(subject: Subject, *, reason: str = "") -> None:
    """Have all be reverted that a run has done, by its workers or by its next run.

    Raises:
        InvalidState: it has not begun, or it is over.
    """
    check_cancel(subject)
    run = subject.look().run
    cancel_run(subject.storage, run, reason=reason, who=subject.who)
    subject.look()
