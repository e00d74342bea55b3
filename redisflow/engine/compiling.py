"""Compiling a flow: from nested patterns to one graph of atoms and gates.

A flow becomes a gate at its beginning, its retry, what is in it and a gate at its end::

    f ──► retry ──► what nothing else leads to ──► … ──► what leads nowhere else ──► e

and a link between two of its children becomes one link, from the end of the one to the
beginning of the other. That is what TaskFlow's own compiler makes, which takes time in
proportion to the square of the flow; this one takes nodes plus links, through the
public interface of flows. Whatever of TaskFlow's order can be seen is kept:

* nodes stand in the order in which TaskFlow's graph has them: a flow, its children as
  it iterates over them, its retry, its end;
* links from a node stand in the order in which they were made;
* so do links to a child of the outermost flow, while those to any other node stand in
  the order of the nodes that they come from. (TaskFlow copies the graph of an inner
  flow into that of the one around it, node by node.) Deciders are asked in this order.

It does not descend into itself, so nesting may go as deep as there is memory.

The same is refused as by TaskFlow's compiler, with the same exceptions; two things are
refused here that would never run there: links in a circle, and one retry controller of
two flows of which one is inside the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from taskflow import exceptions, flow, retry, task
from taskflow.flow import LINK_INVARIANT, LINK_RETRY

Atom = task.Task | retry.Retry
Item = Atom | flow.Flow
Link = Mapping[str, Any]

TASK, RETRY, FLOW, FLOW_END = "t", "r", "f", "e"
ATOMS = (TASK, RETRY)

_INVARIANT: Link = {LINK_INVARIANT: True}
_FROM_RETRY: Link = {LINK_INVARIANT: True, LINK_RETRY: True}


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph of a flow. Its nodes are named by their positions, from 0.

    Attributes:
        items: the atom or the flow that a node is, or that it is the end of.
        kinds: ``t`` task, ``r`` retry, ``f`` beginning and ``e`` end of a flow.
        after: of each node those that it leads to, each with what is said of the link.
        before: of each node those that lead to it.
        flows: of each node the flow that it is directly in, -1 of the outermost.
        controllers: of each node the retry controller that answers for it.
        retries: of each flow that has a retry its position.
        positions: of each atom and each flow.
    """

    items: list[Item] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    after: list[dict[int, Link]] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)
    flows: list[int] = field(default_factory=list)
    controllers: list[retry.Retry | None] = field(default_factory=list)
    retries: dict[int, int] = field(default_factory=dict)
    positions: dict[Item, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def atoms(self) -> Iterator[int]:
        """Yield the positions of all atoms."""
        return (at for at, kind in enumerate(self.kinds) if kind in ATOMS)

    def in_order(self) -> Sequence[int]:
        """List all positions so that every link leads onwards, else as they stand.

        Raises:
            CompilationFailure: links go in a circle.
        """
        left = [len(links) for links in self.before]
        free = [at for at, count in enumerate(left) if not count]
        heapify(free)
        ordered: list[int] = []
        while free:
            at = heappop(free)
            ordered.append(at)
            for other in self.after[at]:
                left[other] -= 1
                if not left[other]:
                    heappush(free, other)
        if len(ordered) < len(self):
            raise exceptions.CompilationFailure(
                f"the links in flow {self.items[0].name!r} go in a circle"
            )
        return ordered


@dataclass(slots=True)
class _Open:
    """A flow whose children are being compiled.

    Attributes:
        flow: the flow.
        position: of its beginning.
        controller: answers for its children.
        left: its children that are still to come.
        spans: positions of the first and the last node of each child that is done.
    """

    flow: flow.Flow
    position: int
    controller: retry.Retry | None
    left: Iterator[Any]
    spans: dict[Item, tuple[int, int]]


def compile_graph(root: flow.Flow | task.Task) -> Graph:
    """Make the graph of a flow, or of a single task.

    Raises:
        TypeError: it, or something in it, is neither a flow nor a task.
        ValueError: something is in it twice.
    """
    graph = Graph()
    path: list[_Open] = []
    _enter(graph, path, root)
    while path:
        current = path[-1]
        for child in current.left:
            if _enter(graph, path, child):
                break
        else:
            end = _close(graph, current)
            path.pop()
            if path:
                path[-1].spans[current.flow] = current.position, end
                _sort_links(graph, current)
    return graph


def _enter(graph: Graph, path: list[_Open], item: Any) -> bool:
    """Add a child of the flow that is last on the path; returns if it is one, too."""
    if not isinstance(item, (flow.Flow, task.Task)):
        raise TypeError(f"Unknown object '{item}' ({type(item)}) requested to compile")
    outer = path[-1] if path else None
    around, controller = -1, None
    if outer is not None:
        around, controller = outer.position, outer.controller
    if isinstance(item, flow.Flow):
        position = _add(graph, item, FLOW, around, controller)
        own = controller if item.retry is None else item.retry
        path.append(_Open(item, position, own, iter(item), {}))
        return True
    position = _add(graph, item, TASK, around, controller)
    if outer is not None:
        outer.spans[item] = position, position
    return False


def _add(
    graph: Graph, item: Item, kind: str, around: int, controller: retry.Retry | None
) -> int:
    position = len(graph)
    if kind != FLOW_END and graph.positions.setdefault(item, position) != position:
        raise ValueError(f"'{item}' ({type(item)}) is in the flow twice")
    graph.items.append(item)
    graph.kinds.append(kind)
    graph.after.append({})
    graph.before.append([])
    graph.flows.append(around)
    graph.controllers.append(controller)
    return position


def _close(graph: Graph, done: _Open) -> int:
    """Link the children of a flow, and both gates with them; returns the end gate."""
    start, around = done.position, graph.controllers[done.position]
    for source, target, data in done.flow.iter_links():
        _link(graph, done.spans[source][1], done.spans[target][0], data)
    first, said = start, _INVARIANT
    if done.flow.retry is not None:
        first, said = _add(graph, done.flow.retry, RETRY, start, around), _FROM_RETRY
        graph.retries[start] = first
        _link(graph, start, first, _INVARIANT)
    for position, _ in done.spans.values():
        if not graph.before[position]:
            _link(graph, first, position, said)
    last = [at for _, at in done.spans.values() if not graph.after[at]]
    if not graph.after[first]:
        last.append(first)
    end = _add(graph, done.flow, FLOW_END, start, around)
    for position in last:
        _link(graph, position, end, _INVARIANT)
    return end


def _link(graph: Graph, source: int, target: int, data: Link | None) -> None:
    """Link two nodes; what is said of a link twice is merged."""
    links = graph.after[source]
    known = links.get(target)
    if known is None:
        graph.before[target].append(source)
        links[target] = data or {}
    elif data:
        links[target] = {**known, **data}


def _sort_links(graph: Graph, done: _Open) -> None:
    """Put links to the children of an inner flow in the order of their sources."""
    for position, _ in done.spans.values():
        graph.before[position].sort()
