"""The structure of a flow as Redis has it: numbered nodes, and links between them.

A flow stands there as two gates, one at its beginning and one at its end; every link
leads to a higher number. Which flow a node is in is told by its links: what comes
after a beginning is inside, what comes after an end is beside. The names of flows are
not kept, but for that of the outermost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BEGIN, END, TASK, RETRY = "f", "e", "t", "r"
GATES = (BEGIN, END)


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


def parse_nodes(graph: Mapping[bytes, bytes]) -> dict[int, Node]:
    """Read the graph of a flow, in the order of its numbers."""
    nodes: dict[int, Node] = {}
    for number in sorted(int(field) for field in graph if field.isdigit()):
        row = graph[b"%d" % number].decode().split("|")
        kind, _priority, atom, after, before = row
        nodes[number] = Node(
            number,
            kind.removesuffix("?"),
            kind.endswith("?"),
            atom,
            _links(graph, number, "after", after),
            _links(graph, number, "before", before),
        )
    return nodes


def flows_of(nodes: Mapping[int, Node]) -> dict[int, int]:
    """Tell in which flow each node is, by the number of its beginning.

    The gates of a flow are in the flow around it; -1 stands for the outermost.
    """
    return _nesting(nodes)[0]


def begins_of(nodes: Mapping[int, Node]) -> dict[int, int]:
    """Tell for the end of each flow where its beginning is."""
    return _nesting(nodes)[1]


def _nesting(nodes: Mapping[int, Node]) -> tuple[dict[int, int], dict[int, int]]:
    around: dict[int, int] = {}
    begins: dict[int, int] = {}
    for number, node in nodes.items():
        flow = -1
        if node.before:
            before = nodes[node.before[0]]
            flow = before.number if before.kind == BEGIN else around[before.number]
        if node.kind == END:
            begins[number] = flow
            flow = around.get(flow, -1)
        around[number] = flow
    return around, begins


def _links(
    graph: Mapping[bytes, bytes], number: int, way: str, text: str
) -> Sequence[int]:
    """Read links: they stand in the node itself or, if many, in fields of their own."""
    if not text.startswith("*"):
        return [int(link) for link in text.split(",") if link]
    links: list[int] = []
    field = 0
    while part := graph.get(f"{number}:{way}:{field}".encode()):
        links += map(int, part.split(b","))
        field += 1
    return links
