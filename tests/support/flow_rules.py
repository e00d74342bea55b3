"""What holds for a flow's keys after every script, and when an atom's turn has come.

`broken_rules` looks at the keys from outside and computes everything anew; it
shares no code with the scripts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

from tests.support.flow_view import HASHES, SENTINELS, uuid_of
from tests.support.flows import Item, ScriptedFlow

_PASSING = ("SUCCESS", "IGNORE")
_CLEAR = ("PENDING", "REVERTED", "IGNORE")
_BUSY = ("RUNNING", "REVERTING", "RETRYING")

#: The states of an atom while a worker holds an item of it.
_HELD_IN = {
    "execute": ("RUNNING",),
    "revert": ("REVERTING",),
    "retry": ("RETRYING", "RUNNING"),
    "decide": ("PENDING",),
}

Atoms = Mapping[str, Mapping[str, str]]


def broken_rules(flow: ScriptedFlow) -> list[str]:
    """Name every rule that the keys of a flow break; an empty list if none."""
    atoms = flow.atoms_of(flow.hash("atoms"))
    return [
        *_collections(flow),
        *_counts(flow, atoms),
        *_revisions(flow, atoms),
        *_claims(flow, atoms),
    ]


def may_start(flow: ScriptedFlow, item: Item) -> bool:
    """Tell whether TaskFlow would begin an item now, with all other atoms considered.

    As in TaskFlow, what a dead worker left half-way is taken up again at any time.
    """
    if item.old_state in _BUSY:
        return True
    if item.kind in ("revert", "retry"):
        later = flow.atoms_of(_reachable(flow, item.name, backward=False))
        return all(atom["state"] in _CLEAR for atom in later.values())
    if item.kind in ("execute", "decide"):
        return all(
            map(
                _passes,
                flow.atoms_of(_reachable(flow, item.name, backward=True)).values(),
            )
        )
    return True


def left_over(flow: ScriptedFlow) -> list[str]:
    """Name what could still be begun, or is not decided yet, when a run has ended."""
    atoms = flow.atoms_of(flow.atoms)

    def turn_has_come(name: str, rule: Callable[..., bool], *, backward: bool) -> bool:
        return all(rule(atoms[n]) for n in _reachable(flow, name, backward=backward))

    found = []
    for name, atom in atoms.items():
        doing = (atom["state"], atom["intention"])
        if doing == ("PENDING", "EXECUTE"):
            left = turn_has_come(name, _passes, backward=True)
        elif doing[0] in ("SUCCESS", "FAILURE") and doing[1] in ("REVERT", "RETRY"):
            left = turn_has_come(name, _clears, backward=False)
        else:
            left = doing[0] == "FAILURE" or doing[0] in _BUSY
        found += [f"{name}: {doing}"] if left else []
    return found


def _clears(atom: Mapping[str, str]) -> bool:
    """Tell whether an atom keeps none before it from being reverted."""
    return atom["state"] in _CLEAR


def retries_before(flow: ScriptedFlow, name: str) -> list[str]:
    """Name the retries that an atom comes after."""
    return [n for n in _reachable(flow, name, backward=True) if n.startswith("?")]


def missing_by_states(flow: ScriptedFlow) -> dict[str, str]:
    """Count from the states how many of its predecessors each node waits for."""
    atoms = flow.atoms_of(flow.atoms)
    missing: dict[int, int] = {}
    for number, node in enumerate(flow.nodes):
        missing[number] = sum(
            1
            for other in node.before
            if missing[other] or not _passes(atoms.get(flow.nodes[other].atom))
        )
    return {str(number): str(count) for number, count in missing.items() if count}


def _passes(atom: Mapping[str, str] | None) -> bool:
    """Tell whether a node with this atom, or a gate, holds no successor back."""
    if atom is None:
        return True
    return atom["state"] in _PASSING and atom["intention"] in ("EXECUTE", "IGNORE")


def _reachable(flow: ScriptedFlow, name: str, *, backward: bool) -> Collection[str]:
    """Return the atoms before an atom, or those after it."""
    start = next(n for n, node in enumerate(flow.nodes) if node.atom == name)
    seen: set[int] = set()
    stack = [start]
    while stack:
        node = flow.nodes[stack.pop()]
        for other in node.before if backward else node.after:
            if other not in seen:
                seen.add(other)
                stack.append(other)
    return [flow.nodes[number].atom for number in seen if flow.nodes[number].atom]


def _collections(flow: ScriptedFlow) -> Iterator[str]:
    """Look for collections without their sentinel."""
    reads = [
        ("HGET" if name in HASHES else "ZSCORE", getattr(flow.keys, name), sentinel)
        for name, sentinel in SENTINELS.items()
    ]
    found = flow.client.execute_many([*reads, ("EXISTS", flow.keys.events)])
    for name, reply in zip([*SENTINELS, "events"], found, strict=True):
        if reply is None or (name == "events" and not reply):
            yield f"{name} has lost its sentinel"
    reached = flow.client.execute("GET", flow.keys.reached)
    if reached is None or (reached and "walk" not in flow.hash("plan")):
        yield f"reached is {reached!r}, the plan is {flow.hash('plan')}"


def _counts(flow: ScriptedFlow, atoms: Atoms) -> Iterator[str]:
    """Compare the flow's counts with the states and the plan."""
    fields = flow.hash("flow")
    in_graph = [atom["state"] for atom in atoms.values() if atom.get("node")]
    unfinished = sum(state not in _PASSING for state in in_graph)
    if fields["unfinished"] != str(unfinished):
        yield f"unfinished is {fields['unfinished']}, states are {in_graph}"
    plan = flow.hash("plan")
    given_back = {name for name in plan if name.startswith(("declined:", "lack:"))}
    if (fields.get("planned") == "1") != bool(plan.keys() - given_back):
        yield f"planned is {fields.get('planned')}, the plan is {plan}"
    if given_back and fields["declined"] != "1":
        yield f"declined is {fields['declined']}, the plan is {plan}"


def _revisions(flow: ScriptedFlow, atoms: Atoms) -> Iterator[str]:
    """Compare the journal with the revisions and states of the records."""
    journal = flow.journal()
    revs = [int(entry["rev"]) for entry in journal]
    if revs != sorted(set(revs)) or revs[-1] > flow.rev:
        yield f"the journal's revisions are {revs}, the flow's is {flow.rev}"
    changes = flow.scores("changes")
    expected = {uuid_of(name): float(atom["rev"]) for name, atom in atoms.items()}
    if changes != expected:
        yield f"changes are {changes}, atoms have {expected}"
    last: dict[str, str] = {}
    for entry in journal:
        if entry["from"] != last.get(entry["atom"], ""):
            yield f"the journal jumps: {entry} after {last.get(entry['atom'])!r}"
        last[entry["atom"]] = entry["to"]
    for name, atom in atoms.items():
        if last[uuid_of(name)] != atom["state"]:
            yield f"{name} is {atom['state']}, the journal ends with another state"
    if flow.state and last[""] != flow.state:
        yield f"the flow is {flow.state}, the journal ends with {last['']}"


def _claims(flow: ScriptedFlow, atoms: Atoms) -> Iterator[str]:
    """Compare claims with the atoms' owners."""
    rows = flow.hash("claims")
    held = {item: row.split() for item, row in rows.items() if not item.startswith("#")}
    counted = {item[1:]: int(row) for item, row in rows.items() if item.startswith("#")}
    holders = Counter(worker for worker, _ in held.values())
    if counted != dict(holders):
        yield f"claims are {held}, their counts {counted}"
    owned = {}
    for item, (worker, token) in held.items():
        number, _, kind = item.partition(":")
        if kind == "resolve" and flow.hash("flow")["resolving"] != item:
            yield f"{item} is held and not the one that is resolved"
        if kind not in _HELD_IN:
            continue
        name = flow.nodes[int(number)].atom
        owned[name] = worker
        atom = atoms[name]
        found = (atom.get("owner"), atom.get("token"), atom["state"])
        if found not in [(worker, token, state) for state in _HELD_IN[kind]]:
            yield f"{item} is held by {worker} {token}, its atom says {found}"
    owners = {name: atom["owner"] for name, atom in atoms.items() if atom.get("owner")}
    if owners != owned:
        yield f"atoms have owners {owners}, claims say {owned}"
    if twice := set(held) & set(flow.members("ready")):
        yield f"ready though held: {twice}"
