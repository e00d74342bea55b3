"""Putting atoms back to their beginning, and giving them results by hand."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from taskflow import states
from taskflow.types.failure import Failure

from redisflow.engine.plans import carry_on_plan
from redisflow.errors import InvalidState, NotFound
from redisflow.operations.subject import Subject
from redisflow.persistence.nodes import nodes_of, reached_from
from redisflow.persistence.records import AtomRecord
from redisflow.persistence.sweeping import sweep_lapsed

_DONE = (states.SUCCESS, states.IGNORE)


def reset_atom(
    subject: Subject, name: str, *, alone: bool = False, reason: str = ""
) -> int:
    """Put an atom, and all that comes after it, back to PENDING, without results.

    Args:
        subject: the flow.
        name: of the atom.
        alone: leave what comes after it as it is.
        reason: why, for the journal.

    Returns:
        How many atoms of the flow are PENDING now.

    Raises:
        NotFound: the flow has no such atom.
        InvalidState: workers are at work, or the atom is no part of the structure.
    """
    atom = subject.storage.mirror.atom(name)
    would_reset(subject, name, alone=alone)
    who, since = subject.request()
    while True:
        reply = subject.scripts.call(
            "atom_restart",
            of=atom.uuid,
            atom=atom.uuid,
            alone=int(alone),
            who=who,
            since=since,
            act=f"reset {name}",
            reason=reason,
        )
        if reply.status == "OK":
            break
        _make_way(subject, name, reply.status)
    if reply.fields[0]:
        carry_on_plan(subject.storage, subject.scripts, who=subject.who)
    subject.storage.mirror.suspect()
    subject.look()
    known = subject.storage.mirror.atoms.values()
    return sum(each.detail.state == states.PENDING for each in known)


def would_reset(subject: Subject, name: str, *, alone: bool = False) -> list[str]:
    """Name the atoms that a reset would put back; refuses as `reset_atom` does.

    Those that are PENDING already are not named.
    """
    atom = subject.storage.mirror.atom(name)
    if subject.live:
        raise at_work(subject)
    atoms = subject.storage.mirror.atoms.values()
    reached = {atom.uuid}
    if not alone:
        keys = subject.scripts.keys
        starter, graph = subject.storage.backend.client.execute_many(
            [("HGET", keys.flow, "starter"), ("HGETALL", keys.graph)]
        )
        nodes = nodes_of(graph, key=keys.graph, loading=bool(starter))
        if atom.node not in nodes:
            raise _loose(name)
        reached |= {nodes[number].atom for number in reached_from(nodes, atom.node)}
    _refuse_half_a_revert(subject, reached)
    begun = [each for each in atoms if each.detail.state != states.PENDING]
    begun.sort(key=lambda each: (each.node, each.place))
    return [each.name for each in begun if each.uuid in reached]


def _refuse_half_a_revert(subject: Subject, reached: Collection[str]) -> None:
    """Look whether anything but what is put back is still to be reverted.

    What would then be executed would stay, while all before it went.

    Raises:
        InvalidState: something is.
    """
    left = [
        atom.name
        for atom in subject.storage.mirror.atoms.values()
        if atom.uuid not in reached
        and atom.detail.intention in (states.REVERT, states.RETRY)
        and atom.detail.state not in (states.REVERTED, states.PENDING)
    ]
    if left:
        raise InvalidState(
            f"the run is being reverted, and {left[0]!r} is still to be: let it end,"
            " and run it again with --rerun; or reset its first atom"
        )


def _loose(name: str) -> InvalidState:
    return InvalidState(f"atom {name!r} is no part of the structure: --only resets it")


def _make_way(subject: Subject, name: str, status: str) -> None:
    """Do what has to be done first, if anybody may do it."""
    if status == "PLAN":
        carry_on_plan(subject.storage, subject.scripts, who=subject.who)
    elif status == "HELD":
        if not sweep_lapsed(subject.scripts):
            raise InvalidState("items are held by workers whose leases are not over")
    elif status == "LIVE":
        subject.look()
        raise at_work(subject)
    elif status == "LOOSE":
        raise _loose(name)
    else:
        raise NotFound(f"Unknown atom name '{name}'")


def check_set_result(subject: Subject, name: str, *, fails: bool) -> str:
    """Look whether a task can be given a result; returns its state.

    Args:
        subject: the flow.
        name: of the task.
        fails: whether it is to be a failure.

    Raises:
        NotFound: the flow has no such atom.
        InvalidState: `set_result` would be refused.
    """
    atom = subject.storage.mirror.atom(name)
    if atom.type != "task":
        raise InvalidState(f"atom {name!r} is a retry: its results are a history")
    if atom.owner:
        raise InvalidState(f"atom {name!r} is held by worker {atom.owner}")
    if fails and subject.live:
        raise at_work(subject)
    lacking = _giver_to_come(subject, atom)
    if lacking is not None:
        raise InvalidState(
            f"atom {name!r} could not be reverted without what {lacking!r} gives, which"
            " is not done"
        )
    return str(atom.detail.state)


def _giver_to_come(subject: Subject, atom: AtomRecord) -> str | None:
    """Name an atom before another that gives it a value, and has none; None if none."""
    wanted = set(atom.requires)
    if not wanted:
        return None
    key = subject.scripts.keys.graph
    graph = subject.storage.backend.client.execute("HGETALL", key)
    nodes = nodes_of(graph, key=key)
    by_uuid = {each.uuid: each for each in subject.storage.mirror.atoms.values()}
    for number in sorted(reached_from(nodes, atom.node, back=True)):
        giver = by_uuid.get(nodes[number].atom)
        if giver is None or giver.detail.state in _DONE:
            continue
        if wanted & giver.provides.keys():
            return giver.name
    return None


def set_result(
    subject: Subject, name: str, result: Any, *, reason: str = ""
) -> tuple[str, str]:
    """Give a task a result, or a `Failure`; what it had is kept aside.

    What waits for it becomes ready. A failure is decided upon in the next run.

    Returns:
        The states before and after.

    Raises:
        NotFound: the flow has no such task.
        InvalidState: a worker holds it; or it is to fail, and workers are at work.
        ValueRefused: the result cannot be stored; nothing was written.
    """
    failed = isinstance(result, Failure)
    check_set_result(subject, name, fails=failed)
    atom = subject.storage.mirror.atom(name)
    codec = subject.storage.backend.codec
    payload = (
        codec.encode_failure(result) if failed else codec.encode(result, name=name)
    )
    state = states.FAILURE if failed else states.SUCCESS
    who, since = subject.request()
    while True:
        reply = subject.scripts.call(
            "atom_override",
            of=atom.uuid,
            atom=atom.uuid,
            state=state,
            payload=payload,
            who=who,
            since=since,
            act=f"set-result {name}",
            reason=reason,
        )
        if reply.status != "PLAN":
            break
        carry_on_plan(subject.storage, subject.scripts, who=subject.who)
    if reply.status == "RESOLVING":
        raise InvalidState(f"what the failure of {name!r} means is being decided")
    if reply.status == "REVERTS":
        raise InvalidState(
            f"{name!r} is reverted, or its run is: a result given now would go with"
            " that. Run it again with --rerun, and give it then"
        )
    if reply.status == "HELD":
        owner = reply.fields[0].decode()
        raise InvalidState(f"atom {name!r} is held by worker {owner}")
    if reply.status == "LIVE":
        raise at_work(subject)
    if reply.status == "UNKNOWN":
        raise NotFound(f"Unknown atom name '{name}'")
    old = reply.fields[0]
    carry_on_plan(subject.storage, subject.scripts, who=subject.who)
    return old.decode() or states.PENDING, state


def at_work(subject: Subject) -> InvalidState:
    """Make the error of acting on a flow that workers are at."""
    return InvalidState(
        f"{subject.live or 'some'} worker(s) are at work on flow"
        f" {subject.storage.flow_name!r}: suspend it first"
    )
