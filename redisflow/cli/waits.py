"""What atoms wait for: the nearest ones before them that hold them back.

Every link of the graph leads from a lower to a higher number, so one pass in that
order answers for all nodes. A gate (the beginning or the end of a flow) waits for what
is before it; an atom is waited for unless it passes, as the scripts have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from redisflow.persistence.records import AtomRecord

_PASSING_STATES = ("SUCCESS", "IGNORE")
_PASSING_INTENTIONS = ("EXECUTE", "IGNORE")
_GATES = ("f", "e")


def waiting_for(
    graph: Mapping[bytes, bytes], atoms: Sequence[AtomRecord], *, limit: int
) -> dict[str, list[str]]:
    """Tell what each pending atom waits for.

    Args:
        graph: node number -> kind, priority, atom's uuid, links after and before; or
            how many links, which stand in fields of their own.
        atoms: of the flow.
        limit: how many names are given for one atom.

    Returns:
        Atom's name -> names of what it waits for; none for those that wait for nothing.
    """
    by_uuid = {atom.uuid: atom for atom in atoms}
    nodes = {
        int(number): node.decode().split("|")
        for number, node in graph.items()
        if number.isdigit()
    }
    waits: dict[int, list[str]] = {}
    found: dict[str, list[str]] = {}
    for number in sorted(nodes):
        _kind, _priority, uuid, _after, before = nodes[number]
        names: dict[str, None] = {}
        for link in _links(graph, number, before):
            if len(names) >= limit:
                break
            names |= dict.fromkeys(_held_back_by(link, nodes, by_uuid, waits))
        waits[number] = list(names)[:limit]
        atom = by_uuid.get(uuid)
        if atom is not None and atom.detail.state == "PENDING" and names:
            found[atom.name] = waits[number]
    return found


def _links(graph: Mapping[bytes, bytes], number: int, before: str) -> Iterator[int]:
    """Give the numbers of the nodes that come before one."""
    if not before.startswith("*"):
        yield from map(int, filter(None, before.split(",")))
        return
    field = 0
    while part := graph.get(f"{number}:before:{field}".encode()):
        yield from map(int, part.split(b","))
        field += 1


def _held_back_by(
    number: int,
    nodes: Mapping[int, Sequence[str]],
    by_uuid: Mapping[str, AtomRecord],
    waits: Mapping[int, list[str]],
) -> list[str]:
    kind, _priority, uuid, *_links = nodes[number]
    if kind in _GATES:
        return waits[number]
    atom = by_uuid.get(uuid)
    if atom is None or (
        atom.detail.state in _PASSING_STATES
        and atom.detail.intention in _PASSING_INTENTIONS
    ):
        return []
    return [atom.name]
