"""TaskFlow's own form of a compiled flow, for whoever asks an engine for it.

The engine itself does not use it. It is made from our graph, in TaskFlow's order, and
frozen, like what TaskFlow's compiler makes; only when it is asked for, as it takes more
time and memory than all the rest of compiling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskflow.engines.action_engine import compiler
from taskflow.types import graph as graph_type
from taskflow.types import tree

from redisflow.engine.compiling import ATOMS, FLOW, FLOW_END, RETRY, TASK, Graph

_KINDS = {
    TASK: compiler.TASK,
    RETRY: compiler.RETRY,
    FLOW: compiler.FLOW,
    FLOW_END: compiler.FLOW_END,
}


def as_taskflow(graph: Graph) -> compiler.Compilation:
    """Make a TaskFlow ``Compilation`` of a graph."""
    return compiler.Compilation(_execution_graph(graph), _hierarchy(graph))


def _execution_graph(graph: Graph) -> Any:
    made = graph_type.DiGraph(name=graph.items[0].name)
    nodes: list[Any] = [
        compiler.Terminator(item) if kind == FLOW_END else item
        for item, kind in zip(graph.items, graph.kinds, strict=True)
    ]
    for position, node in enumerate(nodes):
        said = _said_of(graph.kinds[position])
        controller = graph.controllers[position]
        if controller is not None:
            said[compiler.RETRY] = controller
        made.add_node(node, **said)
    for source, target in _links_as_made(graph):
        made.add_edge(nodes[source], nodes[target], **graph.after[source][target])
    return made.freeze()


def _said_of(kind: str) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": _KINDS[kind]}
    return said if kind in ATOMS else {**said, "noop": True}


def _links_as_made(graph: Graph) -> Iterator[tuple[int, int]]:
    """Yield all links so that those of either node come in that node's order."""
    after = [list(reversed(targets)) for targets in graph.after]
    before = [list(reversed(sources)) for sources in graph.before]
    waiting = list(range(len(graph)))
    while waiting:
        source = waiting.pop()
        while after[source] and before[after[source][-1]][-1] == source:
            target = after[source].pop()
            before[target].pop()
            yield source, target
            if before[target]:
                waiting.append(before[target][-1])


def _hierarchy(graph: Graph) -> Any:
    """Make the tree of what is in what; a flow's retry is its first child."""
    made: dict[int, Any] = {}
    for position, kind in enumerate(graph.kinds):
        if kind not in {TASK, FLOW}:
            continue
        node = made[position] = tree.Node(graph.items[position], **_said_of(kind))
        if position:
            made[graph.flows[position]].add(node)
        if position in graph.retries:
            controller = graph.items[graph.retries[position]]
            node.add(tree.Node(controller, **_said_of(RETRY)))
    for node in reversed(made.values()):
        node.freeze()  # its children are frozen: TaskFlow goes no deeper
    return made[0]
