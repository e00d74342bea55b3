"""Why a run goes on no faster: what is held, what is ready, and what waits for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskflow import states

from redisflow.looking.clock import iso_time
from redisflow.looking.reasons import Reason, holder_text, is_over, reasons_of_flow
from redisflow.looking.situation import Claim, Situation, node_of
from redisflow.looking.texts import duration, worker_text
from redisflow.looking.waits import Waits, reverts_in, waits_in

_NAMES = 5
_LINES = 10
_LIMIT = 50
_DOING = {
    "execute": "is being executed",
    "revert": "is being reverted",
    "retry": "is being put back, to be tried again",
    "decide": "waits for the answer of the deciders before it, which are being asked",
    "resolve": "has failed, and what that means is being resolved",
}
TODO = {
    "execute": "is ready to be executed",
    "revert": "is ready to be reverted",
    "retry": "is ready to be tried again",
    "decide": "waits for the deciders before it to be asked",
    "resolve": "has failed, and what that means has to be resolved",
}


def reasons_of_run(situation: Situation) -> Iterator[Reason]:
    """Say what a run waits for."""
    yield from reasons_of_flow(situation)
    if is_over(situation):
        if situation.view.record.state == states.SUSPENDED:
            yield from _held_back(situation)
        return
    yield from _held(situation)
    if situation.view.record.state != states.SUSPENDING:  # nothing is handed out then
        yield from _ready(situation)
    yield from _held_back(situation)


def _held(situation: Situation) -> Iterator[Reason]:
    for number, claim in enumerate(situation.claims):
        if number == _LINES:
            more = len(situation.claims) - _LINES
            yield Reason("held", f"and {more:,} more items are held", {"more": more})
            return
        yield held_by(situation, claim)


def held_by(situation: Situation, claim: Claim) -> Reason:
    """Tell who holds an item."""
    atom = situation.atoms.get(claim.node)
    about = {
        "item": claim.item,
        "worker": claim.worker,
        "lease_left_s": round(claim.lease_s, 3),
    }
    if atom is None:
        text = f"the end of the run is being decided by {holder_text(claim)}"
        return Reason("held", text, about)
    since = ""
    if atom.started_at:
        age_s = (situation.view.now_ms - atom.started_at) / 1000
        since = f", begun {duration(max(0.0, age_s))} ago"
    doing = _DOING.get(claim.kind, claim.kind)
    text = f"{atom.name} {doing} by {holder_text(claim)}{since}"
    if atom.attempt:
        text += f"; {atom.attempt} worker(s) died on it"
    about |= {"atom": atom.name, "since": iso_time(atom.started_at)}
    return Reason("held", text, about)


def _ready(situation: Situation) -> Iterator[Reason]:
    """Say what could be taken now, and by whom not."""
    free = [item for item in situation.ready if item not in situation.declined]
    for item in situation.ready:
        if item in situation.declined:
            yield declined_by(situation, item)
    if free:
        names = [_item_name(situation, item) for item in free]
        count = situation.ready_count - (len(situation.ready) - len(free))
        what = "item waits" if count == 1 else "items wait"
        text = f"{count:,} {what} for a worker: {_listed(names, count)}"
        yield Reason("ready", text, {"items": free[:_LIMIT], "count": count})


def declined_by(situation: Situation, item: str) -> Reason:
    """Tell who has given an item back, and for want of what."""
    workers = situation.declined[item]
    failure = situation.lacks.get(item)
    lack = "" if failure is None else f": {failure.exception_str}"
    alive = [w for w in situation.view.workers if w not in workers]
    others = f"{len(alive)} other worker(s) may have it"
    if not alive:
        others = "no other worker is alive"
    name = _item_name(situation, item)
    text = f"{name} was declined by {_listed(list(map(worker_text, workers)))},"
    text += f" which lacked a value that is only in other processes; {others}{lack}"
    return Reason("declined", text, {"item": item, "workers": list(workers)})


def _item_name(situation: Situation, item: str) -> str:
    kind = item.rpartition(":")[2]
    atom = situation.atoms.get(node_of(item))
    if atom is None:
        return "the end of the run"
    return atom.name if kind == "execute" else f"{atom.name} ({kind})"


def _held_back(situation: Situation) -> Iterator[Reason]:
    """Say what the atoms that are nearest to being ready wait for."""
    for waits, verb in (
        (waits_in(situation.nodes, situation.view.atoms, limit=_NAMES + 1), "wait"),
        (
            reverts_in(situation.nodes, situation.view.atoms, limit=_NAMES + 1),
            "wait to be reverted",
        ),
    ):
        yield from _frontier(waits, verb)


def _frontier(waits: Waits, verb: str) -> Iterator[Reason]:
    """Gather those that wait for the same, but not those that wait for these."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, others in waits.items():
        if not all(other in waits for other in others):
            groups.setdefault(tuple(others), []).append(name)
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    for causes, names in ordered[:_LINES]:
        verb_text = verb if len(names) > 1 else verb.replace("wait", "waits", 1)
        yield Reason(
            "waits",
            f"{_listed(names)} {verb_text} for {_some(causes)}",
            {"atoms": names[:_LIMIT], "count": len(names), "waits_for": [*causes]},
        )
    further = len(waits) - sum(len(names) for names in groups.values())
    if further:
        text = f"{further:,} more atoms come after these"
        if further == 1:
            text = "1 more atom comes after these"
        yield Reason("further", text, {"count": further})


def _some(names: Sequence[str]) -> str:
    """List names of which only the first were looked for."""
    more = " and others" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _listed(names: Sequence[str], count: int | None = None) -> str:
    count = len(names) if count is None else count
    more = f" and {count - _NAMES:,} more" if count > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
