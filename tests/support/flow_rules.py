"""What holds for a flow's keys after every script, and when an atom's turn has come.

The doctor knows which rules the keys keep; it computes everything anew, from outside,
and shares no code with the scripts. When an atom's turn has come is computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from redisflow.codec import Codec
from redisflow.doctor import Severity
from redisflow.doctor.flows import judge
from redisflow.doctor.snapshot import take_snapshot
from tests.support.flows import Item, ScriptedFlow

_PASSING = ("SUCCESS", "IGNORE")
_CLEAR = ("PENDING", "REVERTED", "IGNORE")
_BUSY = ("RUNNING", "REVERTING", "RETRYING")


def broken_rules(flow: ScriptedFlow) -> list[str]:
    """Name every rule that the keys of a flow break; an empty list if none.

    What the scripts take for values here are words of the tests, no values.
    """
    snapshot = take_snapshot(flow.client, flow.keys)
    assert snapshot is not None
    return [
        str(finding)
        for finding in judge(snapshot, Codec())
        if finding.severity is Severity.ERROR
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
