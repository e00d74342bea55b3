"""Reasons that concern all of a run: what keeps anything from being handed out.

What the scripts look at before they hand out work is looked at here in the same order:
is the run on, is it being started, is it halted, is a change of many records in
progress, is a failure being resolved, and is anybody there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskflow import states
from taskflow.types.failure import Failure

from redisflow.looking.clock import iso_time
from redisflow.looking.failures import describe_failure, failure_line
from redisflow.looking.flows import cancelled_by, is_submitted
from redisflow.looking.situation import Claim, Situation, node_of
from redisflow.looking.texts import duration, worker_text
from redisflow.rwlock import LockOwner

#: Failures that are told of.
_FAILURES = 10
_ENDED = (states.SUCCESS, states.FAILURE, states.REVERTED, states.SUSPENDED)
_PHASES = {
    "reset": "putting atoms back to PENDING",
    "mark": "marking atoms to be reverted",
    "forward": "counting what each atom waits for",
    "backward": "counting what each revert waits for",
}
_WALKS = {
    "revert": "marking what is to be reverted",
    "again": "putting back what is to be tried again",
    "ignore": "leaving out what a decider said no to",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        kind: a word for programs.
        text: a sentence for people.
        about: names and figures that it is about.
    """

    kind: str
    text: str
    about: Mapping[str, Any] = field(default_factory=dict)


def is_over(situation: Situation) -> bool:
    """Tell whether the run has ended."""
    record = situation.view.record
    if record.run <= record.ended:
        return True
    return record.state in _ENDED and not situation.view.workers


def reasons_of_flow(situation: Situation) -> Iterator[Reason]:
    """Say what keeps all of a flow from going on."""
    fields, record = situation.fields, situation.view.record
    if (cancelled := cancelled_by(fields)) is not None:
        reason = f": {cancelled['reason']}" if cancelled["reason"] else ""
        text = f"cancelled by {worker_text(cancelled['who'])}{reason}"
        yield Reason("cancelled", text, cancelled)
    if is_over(situation):
        yield from _end(situation)
        return
    yield from _phase(situation)
    yield from _lock(situation)
    if fields.get("reverting") == "1":
        yield from _reverted_for(situation)
    yield from _halts(situation.halts, "the run is being ended for a failure")
    if situation.plan:
        what = _planned(situation.plan)
        text = f"a change of many records is in progress ({what}); until it is done"
        yield Reason("plan", f"{text} nothing is handed out", {"plan": what})
    if resolving := fields.get("resolving"):
        yield _resolving(situation, resolving)
    idle = record.state in (None, states.PENDING, states.SUSPENDING)
    if not situation.view.workers and not idle:
        text = "no worker is alive: nothing goes on until one comes"
        yield Reason("no_worker", text)


def _phase(situation: Situation) -> Iterator[Reason]:
    """Say where between two runs a flow is."""
    state = situation.view.record.state or states.PENDING
    if state == states.PENDING and not situation.fields.get("starter"):
        yield _not_begun(situation)
    elif state == states.SUSPENDING:
        yield _suspending(situation)
    if starter := situation.fields.get("starter"):
        yield _starting(situation, starter)


def _suspending(situation: Situation) -> Reason:
    held, live = len(situation.claims), len(situation.view.workers)
    text = f"it is being suspended{_asked(situation)}: {held} item(s) are still held"
    if not live:
        text = f"it was to be suspended{_asked(situation)}, and its workers are gone:"
        text += " its next run, or 'redisflow suspend', makes an end of it"
    return Reason("suspending", text, {"held": held, **_asked_by(situation)})


def _asked(situation: Situation) -> str:
    """Say who has asked for a suspend, and why, if the journal tells."""
    if situation.suspended is None:
        return ""
    who, reason = situation.suspended
    return f" (by {worker_text(who)}{': ' if reason else ''}{reason})"


def _asked_by(situation: Situation) -> dict[str, str]:
    who, reason = situation.suspended or ("", "")
    return {"who": who, "reason": reason} if who else {}


def _reverted_for(situation: Situation) -> Iterator[Reason]:
    """Tell for which failures a run is being reverted."""
    for name, failures in list(situation.view.failures.items())[:_FAILURES]:
        if (failure := failures.get("failure")) is not None:
            told = describe_failure(failure)
            text = f"it is reverted, since {name} has failed: {failure_line(told)}"
            yield Reason("reverting", text, {"failure": {"atom": name, **told}})


def _end(situation: Situation) -> Iterator[Reason]:
    record = situation.view.record
    state = record.state or states.PENDING
    text = f"run {record.run} has ended: {state}"
    about: Mapping[str, Any] = {}
    if state == states.SUSPENDED:
        asked, about = _asked(situation), _asked_by(situation)
        text = f"run {record.run} is suspended{asked}: its next run goes on from here"
    yield Reason("suspended" if state == states.SUSPENDED else "ended", text, about)
    if (submitted := _submitted(situation, "it was submitted again")) is not None:
        yield submitted
    elif state == states.SUCCESS and (back := _put_back(situation)):
        text = f"{back} atom(s) were put back since: run it again with --rerun"
        yield Reason("reset", text, {"pending": back})
    if state in (states.FAILURE, states.REVERTED):
        known = [
            each
            for failures in situation.view.failures.values()
            for each in failures.values()
        ]
        halts = [
            halt
            for halt in situation.halts
            if not any(halt.matches(each) for each in known)
        ]
        yield from _halts(halts, "it was ended for a failure")
        for name, failures in list(situation.view.failures.items())[:_FAILURES]:
            yield from failures_of(name, failures)


def _put_back(situation: Situation) -> int:
    """Count what an operator has put back, after a run that has left nothing undone."""
    atoms = situation.view.atoms
    return sum(atom.detail.state == states.PENDING for atom in atoms if atom.node)


def _not_begun(situation: Situation) -> Reason:
    submitted = _submitted(situation, "it was submitted")
    not_begun = "the run has not begun: nobody has started it"
    return submitted or Reason("not_begun", not_begun)


def _submitted(situation: Situation, what: str) -> Reason | None:
    """Say who may take up a run that is left to workers; None if it is not."""
    if not is_submitted(situation.fields):
        return None
    servers = situation.servers
    text = f"{what}, and {servers} serving worker(s) may take it up, if allowed to"
    if not servers:
        text = f"{what}, and no worker serves: start 'redisflow worker'"
    return Reason("submitted", text, {"servers": servers})


def _starting(situation: Situation, starter: str) -> Reason:
    left = situation.view.workers.get(starter)
    who = worker_text(starter)
    if left is None:
        text = f"{who} was starting the run and is dead: whoever comes next starts it"
    else:
        text = f"{who} is starting the run; its lease goes on for {duration(left)}"
    left_s = None if left is None else round(left, 3)
    return Reason("starting", text, {"worker": starter, "lease_left_s": left_s})


def _lock(situation: Situation) -> Iterator[Reason]:
    for holder in situation.holders:
        lapsed = holder.lease_s <= 0
        left = f"and its lease goes on for {duration(holder.lease_s)}; others' changes"
        left += f" wait: {len(situation.waiters)} in the queue"
        if lapsed:
            left = "but its lease is over: whoever comes next is let in"
        yield Reason(
            "lock_lapsed" if lapsed else "lock",
            f"the flow's lock is held: {_who(holder)} {holder.does} in it for"
            f" {duration(holder.age_s)}, {left}",
            {
                "host": holder.host,
                "pid": holder.pid,
                "thread": holder.thread,
                "does": holder.does,
                "since": iso_time(holder.since_ms),
                "lease_left_s": round(holder.lease_s, 3),
                "waiters": len(situation.waiters),
                "fence": situation.fence,
            },
        )


def _who(owner: LockOwner) -> str:
    return f"{owner.host}:{owner.pid} ({owner.thread})"


def _halts(halts: Sequence[Failure], text: str) -> Iterator[Reason]:
    for failure in halts:
        told = describe_failure(failure)
        line = failure_line(told)
        yield Reason("halt", f"{text}: {line}", {"failure": told})


def _planned(plan: Mapping[str, str]) -> str:
    if walk := plan.get("walk"):
        return _WALKS.get(walk, walk)
    if phases := plan.get("phases"):
        phase = phases.partition(",")[0]
        return f"{_PHASES.get(phase, phase)}, at node {plan.get('cursor', '0')}"
    return "opening what comes after atoms that are done"


def _resolving(situation: Situation, item: str) -> Reason:
    claim = next((each for each in situation.claims if each.item == item), None)
    atom = situation.atoms.get(node_of(item))
    name = item if atom is None else atom.name
    who = "nobody" if claim is None else holder_text(claim)
    text = f"what the failure of {name} means is being resolved, by {who}"
    text += "; nothing else is handed out meanwhile"
    worker = None if claim is None else claim.worker
    return Reason("resolving", text, {"atom": name, "worker": worker})


def failures_of(
    name: str, failures: Mapping[str, Failure], *, named: bool = True
) -> Iterator[Reason]:
    """Tell how an atom has failed."""
    for method, key in (("execute", "failure"), ("revert", "revert_failure")):
        if (failure := failures.get(key)) is not None:
            told = {
                "atom": name if named else None,
                "method": method,
                **describe_failure(failure),
            }
            yield Reason(
                "failure", failure_line(told), {"failure": {**told, "atom": name}}
            )


def holder_text(claim: Claim) -> str:
    """Name who holds an item, and what is left of its lease."""
    who = worker_text(claim.worker)
    if claim.lease_s <= 0:
        lapsed = "whose lease is over: the next worker that looks takes it back"
        return f"{who} ({lapsed})"
    return f"{who} (lease left: {duration(claim.lease_s)})"
