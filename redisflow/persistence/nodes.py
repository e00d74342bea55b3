"""The structure of a flow as Redis has it: numbered nodes, and links between them.

A flow stands there as two gates, one at its beginning and one at its end; every link
leads to a higher number. Which flow a node is in is told by its links: what comes
after a beginning is inside, what comes after an end is beside. The names of flows are
not kept, but for that of the outermost.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from redisflow.errors import CorruptKey

BEGIN, END, TASK, RETRY = "f", "e", "t", "r"
GATES = (BEGIN, END)

_ROW = re.compile(
    r"([fetr])(\??)\|(?:-?\d+)\|([^|]*)\|([\d,]*|\*\d+)\|([\d,]*|\*\d+)", re.DOTALL
)
_PART_OF_A_NODE = re.compile(r"\d+:(?:after|before):\d+")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the graph.

    Attributes:
        number: names it.
        kind: `TASK`, `RETRY`, `BEGIN` or `END` of a flow.
        asks: whether deciders are asked before it is executed.
        atom: uuid of its atom; empty for gates.
        after: numbers of the nodes that follow.
        before: numbers of the nodes that come before.
    """

    number: int
    kind: str
    asks: bool
    atom: str
    after: Sequence[int]
    before: Sequence[int]


def parse_nodes(graph: Mapping[str, str]) -> tuple[dict[int, Node], list[str]]:
    """Read the graph of a flow.

    Args:
        graph: its hash, without the sentinel.

    Returns:
        The nodes in the order of their numbers, and the fields that cannot be read.
    """
    nodes: dict[int, Node] = {}
    strange: list[str] = []
    for name, row in graph.items():
        if not name.isdecimal():
            if not _PART_OF_A_NODE.fullmatch(name):
                strange.append(name)
            continue
        node = _node(graph, name, row)
        if node is None:
            strange.append(name)
        else:
            nodes[node.number] = node
    return dict(sorted(nodes.items())), strange


def nodes_of(
    graph: Mapping[bytes, bytes], *, key: str, loading: bool = False
) -> dict[int, Node]:
    """Read the graph of a flow as the server gives it.

    Args:
        graph: its hash.
        key: of that, for messages.
        loading: whether somebody is writing it, as the field ``starter`` of the flow
            says: links to nodes that are not there yet are left out.

    Raises:
        CorruptKey: a node cannot be read, or a link leads nowhere.
    """
    rows = {
        name.decode(errors="replace"): row.decode(errors="replace")
        for name, row in graph.items()
        if name != b"-"
    }
    nodes, strange = parse_nodes(rows)
    if strange:
        raise CorruptKey(f"key {key}: node {strange[0]!r} cannot be read", key=key)
    if loading:
        return {number: _within(node, nodes) for number, node in nodes.items()}
    for node in nodes.values():
        links = [(node.number, other) for other in node.after]
        links += [(other, node.number) for other in node.before]
        for one, other in links:
            if one >= other or one not in nodes or other not in nodes:
                message = f"key {key}: the link {one} to {other} leads nowhere"
                raise CorruptKey(message, key=key)
    return nodes


def _within(node: Node, nodes: Mapping[int, Node]) -> Node:
    """Leave out the links of a node to what is not there."""
    return replace(
        node,
        after=[other for other in node.after if other in nodes],
        before=[other for other in node.before if other in nodes],
    )


def reached_from(
    nodes: Mapping[int, Node], start: int, *, back: bool = False
) -> Collection[int]:
    """Number the nodes that come after one, or before it, directly or not."""
    reached: set[int] = set()
    ahead = [start] if start in nodes else []
    while ahead:
        node = nodes[ahead.pop()]
        fresh = set(node.before if back else node.after) - reached
        reached |= fresh
        ahead += fresh
    return reached


def _node(graph: Mapping[str, str], name: str, row: str) -> Node | None:
    found = _ROW.fullmatch(row)
    if found is None:
        return None
    kind, asks, atom, after, before = found.groups()
    links = [
        _links(graph, f"{name}:{way}", listed)
        for way, listed in (("after", after), ("before", before))
    ]
    if links[0] is None or links[1] is None:
        return None
    return Node(int(name), kind, bool(asks), atom, links[0], links[1])


def _links(graph: Mapping[str, str], prefix: str, listed: str) -> list[int] | None:
    """Read links; many of them are counted, and stand in fields of their own."""
    if not listed.startswith("*"):
        return [int(link) for link in listed.split(",") if link]
    links: list[int] = []
    part = 0
    while (row := graph.get(f"{prefix}:{part}")) is not None:
        links += [int(link) for link in row.split(",") if link.isdecimal()]
        part += 1
    return links if len(links) == int(listed[1:]) else None
