"""Why an atom is not further than it is, or why it waits for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from taskflow import states

from redisflow.looking.atoms import state_of
from redisflow.looking.reasons import Reason, failures_of, is_over, reasons_of_flow
from redisflow.looking.situation import Situation, node_of
from redisflow.looking.texts import worker_text
from redisflow.looking.waits import reverts_in, waits_in
from redisflow.looking.work_reasons import TODO, declined_by, held_by
from redisflow.persistence.records import AtomRecord

_LINES = 10
_LIMIT = 50


def reasons_of_atom(situation: Situation, atom: AtomRecord) -> Iterator[Reason]:
    """Say what an atom waits for, or why it waits for nothing."""
    yield from _of_atom(situation, atom)
    if state_of(atom) not in _settled(atom):
        yield from reasons_of_flow(situation)


def _settled(atom: AtomRecord) -> Iterable[str]:
    """Give the states in which an atom waits for nothing."""
    intention = str(atom.detail.intention)
    found = {states.IGNORE, states.REVERTED, states.REVERT_FAILURE}
    if intention not in ("REVERT", "RETRY"):
        found.add(states.SUCCESS)
    return found


def _of_atom(situation: Situation, atom: AtomRecord) -> Iterator[Reason]:
    yield from failures_of(
        atom.name, situation.view.failures.get(atom.name, {}), named=False
    )
    if atom.node < 0 or atom.node not in situation.nodes:
        if situation.nodes:
            yield Reason("no_node", "it is no part of the structure that is run now")
        else:
            yield Reason("no_node", "the flow's structure is not in Redis yet")
        return
    claims = [claim for claim in situation.claims if claim.node == atom.node]
    items = [item for item in situation.ready if node_of(item) == atom.node]
    for claim in claims:
        yield held_by(situation, claim)
    for item in items:
        if item in situation.declined:
            yield declined_by(situation, item)
        else:
            yield _todo(situation, atom, item)
    if not claims and not items:
        yield from _of_state(situation, atom)


def _todo(situation: Situation, atom: AtomRecord, item: str) -> Reason:
    kind = item.rpartition(":")[2]
    text = f"it {TODO.get(kind, kind)}"
    if atom.attempt and state_of(atom) != states.PENDING:
        text += f"; {atom.attempt} worker(s) died on it"
    place = situation.ready.index(item)
    if place:
        text += f"; {place:,} item(s) come before it"
    return Reason("ready", text, {"item": item, "place": place})


def _of_state(situation: Situation, atom: AtomRecord) -> Iterator[Reason]:
    """Say what an atom waits for that nobody holds and that is not ready."""
    state, intention = state_of(atom), str(atom.detail.intention)
    limit = _LIMIT
    if state == states.PENDING:
        if intention != "EXECUTE":
            yield Reason("left_out", f"its intention is {intention}: it will not run")
            return
        waits = waits_in(situation.nodes, situation.view.atoms, limit=limit)
        names = waits.get(atom.name, [])
        yield from _predecessors(situation, names, "it waits for", atom)
        if atom.name not in waits:
            yield _nothing_before(situation, atom)
    elif intention in ("REVERT", "RETRY") and state in (states.SUCCESS, states.FAILURE):
        waits = reverts_in(situation.nodes, situation.view.atoms, limit=limit)
        word = "reverted" if intention == "REVERT" else "tried again"
        yield Reason("to_undo", f"it is to be {word}")
        yield from _predecessors(
            situation, waits.get(atom.name, []), "first comes what is after it:"
        )
    else:
        yield Reason("state", _of_rest(situation, atom))


def _of_rest(situation: Situation, atom: AtomRecord) -> str:
    """Say what the state of an atom means that waits for nothing."""
    state = state_of(atom)
    if atom.type == "retry" and state == states.SUCCESS:
        tries = "once" if atom.entries == 1 else f"{atom.entries:,} times"
        return f"it has let what comes after it begin {tries}"
    text = _STATES.get(state, f"it is {state}")
    if state in (states.RUNNING, states.REVERTING):
        if is_over(situation):
            text = "its worker is gone: the next run takes it up again"
        if atom.attempt:
            text += f"; {atom.attempt} worker(s) died on it"
    return text


_STATES = {
    states.SUCCESS: "it is done",
    states.IGNORE: "a decider said no: it was left out",
    states.REVERTED: "it was reverted",
    states.REVERT_FAILURE: "its revert has failed: the run ends for it",
    states.FAILURE: "it has failed",
    states.RUNNING: "nobody holds it, and it is not ready to be taken up again",
    states.REVERTING: "nobody holds it, and it is not ready to be taken up again",
    states.RETRYING: "what comes after it is being put back, to be tried again",
}


def _predecessors(
    situation: Situation,
    names: Sequence[str],
    text: str,
    waiting: AtomRecord | None = None,
) -> Iterator[Reason]:
    """Name atoms that come first, and what they provide of what is waited for."""
    by_name = {atom.name: atom for atom in situation.view.atoms}
    wanted = set() if waiting is None else {*waiting.requires}
    for number, name in enumerate(names):
        if number == _LINES:
            yield Reason("waits", f"{text} {len(names) - number} more atoms or more")
            return
        atom = by_name[name]
        intention = str(atom.detail.intention)
        to = "" if intention == "EXECUTE" else f", to {intention.lower()}"
        owner = f", by {worker_text(atom.owner)}" if atom.owner else ""
        values = sorted(wanted & atom.provides.keys())
        gives = f", which provides its argument {', '.join(values)}" if values else ""
        yield Reason(
            "waits",
            f"{text} {name} ({state_of(atom)}{to}{owner}){gives}",
            {
                "atom": name,
                "state": state_of(atom),
                "intention": intention,
                "provides": values,
            },
        )


def _nothing_before(situation: Situation, atom: AtomRecord) -> Reason:
    if situation.view.record.state in (None, states.PENDING):
        return Reason("not_begun", "nothing is before it: it is among the first")
    left = situation.missing.get(str(atom.node), 0)
    if left:
        text = f"nothing before it holds it back, but {left} are counted as if"
        return Reason("counter", f"{text}: see 'redisflow doctor'", {"missing": left})
    text = "nothing before it holds it back"
    calm = not (situation.plan or situation.halts or situation.fields.get("resolving"))
    if situation.view.record.state == states.RUNNING and calm:
        text += ", and it is not offered: see 'redisflow doctor'"
    return Reason("nothing", text)
