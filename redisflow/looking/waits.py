"""What atoms wait for: the nearest ones that hold them back.

Every link of the graph leads from a lower to a higher number, so one pass in that
order answers for all nodes. A gate (the beginning or the end of a flow) waits for what
is before it; an atom is waited for unless it passes, as the scripts have it. What is to
be reverted waits the other way round, for all after it to be clear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from redisflow.persistence.nodes import GATES, Node
from redisflow.persistence.records import AtomRecord

_PASSING_STATES = ("SUCCESS", "IGNORE")
_PASSING_INTENTIONS = ("EXECUTE", "IGNORE")
_CLEAR_STATES = ("REVERTED", "IGNORE")
_UNDOING = ("REVERT", "RETRY")
_DONE_OR_FAILED = ("SUCCESS", "FAILURE")

Waits = dict[str, list[str]]


def waits_in(
    nodes: Mapping[int, Node], atoms: Sequence[AtomRecord], *, limit: int
) -> Waits:
    """Tell what each pending atom that is to be executed waits for.

    Args:
        nodes: of the flow's structure.
        atoms: of the flow.
        limit: how many names are given for one atom.

    Returns:
        Atom's name -> names of what it waits for; none for those that wait for nothing.
    """
    held_back = _held_back(
        nodes, sorted(nodes), atoms, lambda node: node.before, _passes, limit=limit
    )
    return {
        name: waits
        for atom, name, waits in held_back
        if atom.detail.state == "PENDING"
        and atom.detail.intention == "EXECUTE"  # what is to be reverted just stays
        and waits
    }


def reverts_in(
    nodes: Mapping[int, Node], atoms: Sequence[AtomRecord], *, limit: int
) -> Waits:
    """Tell what each atom that is to be undone waits for."""
    held_back = _held_back(
        nodes,
        sorted(nodes, reverse=True),
        atoms,
        lambda node: node.after,
        _is_clear,
        limit=limit,
    )
    return {
        name: waits
        for atom, name, waits in held_back
        if atom.detail.state in _DONE_OR_FAILED
        and atom.detail.intention in _UNDOING
        and waits
    }


def _held_back(
    nodes: Mapping[int, Node],
    order: Iterable[int],
    atoms: Sequence[AtomRecord],
    links: Callable[[Node], Sequence[int]],
    lets_go: Callable[[AtomRecord], bool],
    *,
    limit: int,
) -> list[tuple[AtomRecord, str, list[str]]]:
    """Collect what holds each atom back, nodes in an order that its causes lead."""
    by_uuid = {atom.uuid: atom for atom in atoms}
    waits: dict[int, list[str]] = {}
    found: list[tuple[AtomRecord, str, list[str]]] = []
    for number in order:
        names: dict[str, None] = {}
        for link in links(nodes[number]):
            if len(names) >= limit:
                break
            other = by_uuid.get(nodes[link].atom)
            if nodes[link].kind in GATES:
                names |= dict.fromkeys(waits[link])
            elif other is not None and not lets_go(other):
                names[other.name] = None
        waits[number] = list(names)[:limit]
        atom = by_uuid.get(nodes[number].atom)
        if atom is not None:
            found.append((atom, atom.name, waits[number]))
    return found


def _passes(atom: AtomRecord) -> bool:
    return (
        atom.detail.state in _PASSING_STATES
        and atom.detail.intention in _PASSING_INTENTIONS
    )


def _is_clear(atom: AtomRecord) -> bool:
    pending = atom.detail.state == "PENDING" and not atom.owner
    return pending or atom.detail.state in _CLEAR_STATES
