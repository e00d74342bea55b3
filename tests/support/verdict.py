"""What must hold when a flow has ended, whatever happened on the way.

`broken_promises` reads the keys and the notes of the tasks, computes everything anew
and shares no code with the scripts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tests.support.records import Entry, Flow
from tests.support.workloads import Note

_PASSING = frozenset({"SUCCESS", "IGNORE"})
_CLEAR = frozenset({"PENDING", "REVERTED", "IGNORE"})
_SENTINEL = "-"
_ENDS = frozenset({"SUCCESS", "FAILURE", "REVERTED", "SUSPENDED"})
_COLLECTIONS = (
    *("flow", "atoms", "graph", "missing", "ready", "claims", "workers"),
    *("idle", "plan", "reached", "changes", "events"),
    *("lock", "lock_readers", "lock_queue", "lock_owners"),
)


def broken_promises(
    flow: Flow, notes: Iterable[Note] = (), hits: Mapping[str, int] | None = None
) -> list[str]:
    """Name all that must hold for a flow that has ended and does not.

    Args:
        flow: its keys.
        notes: what its tasks have noted.
        hits: how many times each atom's worker was killed while it held the atom;
            None if that is not known.
    """
    noted = list(notes)
    return [
        *broken_records(flow),
        *broken_order(flow),
        *_results(flow),
        *broken_executions(flow, noted),
        *(_too_often(noted, hits) if hits is not None else ()),
    ]


def broken_after_loss(flow: Flow, notes: Iterable[Note]) -> list[str]:
    """Name every promise that was not kept although a server forgot what it had said.

    Executions of which the journal knows nothing are those that were forgotten. Their
    tokens are nobody else's, and nothing that they made is mixed with what there is.
    """
    holders: dict[str, set[tuple[str, str, int]]] = {}
    for note in notes:
        holders.setdefault(note.token, set()).add((note.atom, note.kind, note.pid))
    return [
        *broken_records(flow),
        *broken_order(flow),
        *_results(flow),
        *(f"{token} was {who}" for token, who in holders.items() if len(who) > 1),
    ]


def forgotten(flow: Flow, notes: Iterable[Note]) -> list[Note]:
    """Return the executions of which the journal knows nothing."""
    claims = flow.claims
    known = {(name, claim.token) for name in claims for claim in claims[name]}
    return [
        note
        for note in notes
        if note.phase == "begin" and (note.atom, note.token) not in known
    ]


def broken_records(flow: Flow) -> list[str]:
    """Name what must hold for the records of any flow that has ended and does not.

    The journal alone makes the states and intentions in the hashes, no atom was held by
    two workers at a time, what halts a run is how it ended, and nothing is left of it.
    """
    assert flow.claims is not None  # reading them finds the jumps
    broken = [
        *_left_over(flow),
        *_keys(flow),
        *broken_journal(flow),
        *broken_halts(flow),
    ]
    return [*broken, *flow.jumps]


def _left_over(flow: Flow) -> Iterator[str]:
    """Look for what a run must not leave behind."""
    for name in ("workers", "ready", "idle"):
        members = flow.admin.zrange(getattr(flow.keys, name), 0, -1)
        if members != [_SENTINEL]:
            yield f"{name} holds {members}"
    for name in ("claims", "missing", "plan"):
        row = flow.admin.hgetall(getattr(flow.keys, name))
        if list(row) != [_SENTINEL]:
            yield f"{name} holds {row}"
    if (reached := flow.admin.get(flow.keys.reached)) != "":
        yield f"reached is {reached!r}, not an empty string"
    yield from _fields_left(flow)
    for name, atom in flow.atoms.items():
        if atom["owner"]:
            yield f"{name} has the owner {atom['owner']}"


def _fields_left(flow: Flow) -> Iterator[str]:
    """Look at the fields of the flow that mean something only during a run."""
    unfinished = sum(state not in _PASSING for state in flow.states.values())
    expected = {
        "unfinished": str(unfinished),
        "resolving": "",
        "planned": "0",
        "ended": flow.fields["run"],
        f"outcome:{flow.fields['run']}": flow.fields["state"],
        "starter": None,
    }
    for name, value in expected.items():
        if flow.fields.get(name) != value:
            yield f"{name} of the flow is {flow.fields.get(name)!r}, not {value!r}"


def _keys(flow: Flow) -> Iterator[str]:
    """Look for keys that a flow does not have."""
    kinds = {getattr(flow.keys, name) for name in _COLLECTIONS}
    uuids = flow.uuids.values()
    known = kinds | {
        of(uuid) for of in (flow.keys.atom, flow.keys.result) for uuid in uuids
    }
    found = set(flow.admin.scan_iter(f"{flow.keys.flow.removesuffix('flow')}*"))
    hints = {key for key in found if key.startswith(flow.keys.wake(""))}
    if strangers := found - known - hints:
        yield f"keys that no flow has: {sorted(strangers)}"


def broken_journal(flow: Flow) -> Iterator[str]:
    """Fold the journal, and compare what it says with the hashes."""
    revs = [entry.rev for entry in flow.journal]
    if revs != sorted(set(revs)) or revs[-1] > int(flow.fields["rev"]):
        yield "the journal's revisions do not grow"
    last: dict[str, Entry] = {}
    for entry in flow.journal:
        before = last[entry.atom].new if entry.atom in last else ""
        if entry.old != before:
            yield f"the journal jumps from {before!r}: {entry}"
        last[entry.atom] = entry
    if last[""].new != flow.fields["state"]:
        yield f"the flow is {flow.fields['state']}, the journal ends with {last['']}"
    changes = dict(flow.admin.zrange(flow.keys.changes, 0, -1, withscores=True))
    for name, atom in flow.atoms.items():
        entry = last[name]
        folded = (entry.new, entry.intention, str(entry.attempt))
        stored = (atom["state"], atom["intention"], atom.get("attempt", "0"))
        if folded != stored:
            yield f"{name} is {stored}, the journal ends with {entry}"
        noted = changes.get(flow.uuids[name])
        if noted != float(atom["rev"]):
            yield f"changes have {noted} for {name}, not its rev"


def broken_halts(flow: Flow) -> Iterator[str]:
    """Look whether each run that was halted, as by a failed revert, is a FAILURE."""
    failed: list[str] = []
    for entry in flow.journal:
        if entry.atom and entry.new == "REVERT_FAILURE" != entry.old:
            failed.append(entry.atom)
        elif not entry.atom and entry.new in _ENDS and entry.old != "RESUMING":
            if failed and entry.new != "FAILURE":
                yield f"the reverts of {failed} have failed, and then {entry}"
            failed = []
    halts, state = int(flow.fields.get("halt", 0)), flow.fields["state"]
    if halts and state != "FAILURE":
        yield f"the run was halted by {halts}, and the flow is {state}"


def broken_order(flow: Flow) -> Iterator[str]:
    """Look whether each atom was begun, and reverted, when its turn had come."""
    after: dict[str, set[str]] = {name: set() for name in flow.atoms}
    for name, others in flow.before.items():
        for other in others:
            after[other].add(name)
    state = dict.fromkeys(flow.atoms, "PENDING")
    for entry in flow.journal:
        if not entry.atom:
            continue
        if entry.new == "RUNNING":
            early = [
                n for n in flow.before.get(entry.atom, ()) if state[n] not in _PASSING
            ]
        elif entry.new == "REVERTING" and entry.old in ("SUCCESS", "FAILURE"):
            early = [n for n in after[entry.atom] if state[n] not in _CLEAR]
        else:
            early = []
        if early:
            yield f"{entry} came before {early} were done"
        state[entry.atom] = entry.new


def _results(flow: Flow) -> Iterator[str]:
    """Look whether every result is that of the one claim that was accepted."""
    for name, atom in flow.atoms.items():
        claims = flow.claims[name]
        if claims and atom["token"] != claims[-1].token:
            yield f"{name} has the token {atom['token']}, not of {claims[-1]}"
        accepted = [claim for claim in claims if claim.end]
        rounds = Counter(claim.kind for claim in accepted)
        if max(rounds.values(), default=0) > 1 and flow.fields["run"] == "1":
            yield f"{name} was finished more than once: {accepted}"
        if atom["state"] != "SUCCESS":
            continue
        result = json.loads(flow.results[name]["results"])
        if result["token"] != accepted[-1].token:
            yield f"{name} has the result {result} from another than {accepted[-1]}"
        saw = {other: flow.atoms[other]["token"] for other in result["saw"]}
        if result["saw"] != saw:
            yield f"{name} saw {result['saw']}, accepted are {saw}"


def broken_executions(flow: Flow, notes: Iterable[Note]) -> Iterator[str]:
    """Look whether all that ran had a claim, and ran once for it."""
    ran = Counter(
        (note.atom, note.kind, note.token, note.pid)
        for note in notes
        if note.phase == "begin"
    )
    granted = {
        (name, claim.kind, claim.token, claim.pid): claim
        for name, claims in flow.claims.items()
        for claim in claims
    }
    for each, count in ran.items():
        if count > 1:
            yield f"{each} ran {count} times for one claim"
        if each not in granted:
            yield f"{each} ran without a claim"


def _too_often(notes: Iterable[Note], hits: Mapping[str, int]) -> Iterator[str]:
    ran = Counter((note.atom, note.kind) for note in notes if note.phase == "begin")
    for (atom, kind), count in ran.items():
        if count > 1 + hits.get(atom, 0):
            yield f"{kind} {atom} ran {count} times, hit {hits.get(atom, 0)} times"
