"""Which flow of a structure each of its nodes is in."""

from __future__ import annotations

from collections.abc import Mapping

from redisflow.persistence.nodes import BEGIN, END, Node


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
