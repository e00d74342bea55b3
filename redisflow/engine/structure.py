"""What a flow looks like to the server: numbered nodes and links.

TaskFlow's compiler turns a flow into a graph of atoms and gates (a flow's beginning and
its end are nodes, too). Here its nodes are numbered so that every link leads to a
higher number; the numbers are only names, and whoever starts a run gives them.

Whether two processes mean the same flow is told by the fingerprint, which does not
depend on the order in which a process happened to build it: every node has a label made
of names alone, and the fingerprint is a digest of all labels with their links, together
with the options that all workers of a run must share.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx
from taskflow import flow, retry, task
from taskflow.deciders import Depth
from taskflow.engines.action_engine import compiler
from taskflow.flow import LINK_DECIDER, LINK_DECIDER_DEPTH

from redisflow.arguments import Scopes
from redisflow.codec import dumps_plain
from redisflow.errors import Duplicate

Atom = task.Task | retry.Retry

_KINDS = {
    compiler.TASK: "t",
    compiler.RETRY: "r",
    compiler.FLOW: "f",
    compiler.FLOW_END: "e",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph.

    Attributes:
        kind: ``t`` task, ``r`` retry, ``f`` beginning and ``e`` end of a flow.
        priority: of a task; higher ones are taken first.
        name: the atom's name, or "".
        after: numbers of the nodes that follow.
        before: numbers of the nodes that come before.
        asks: whether deciders are asked before it may be executed.
    """

    kind: str
    priority: int
    name: str
    after: tuple[int, ...]
    before: tuple[int, ...]
    asks: bool = False

    @property
    def record(self) -> tuple[str, int, str, str, str]:
        """The node as the script graph_save takes it, without its number."""
        after = ",".join(map(str, self.after))
        return (
            f"{self.kind}?" if self.asks else self.kind,
            self.priority,
            self.name,
            after,
            ",".join(map(str, self.before)),
        )


@dataclass(frozen=True, slots=True)
class LinkDecider:
    """A decider on a link that leads to an atom.

    Attributes:
        source: name of the atom or the flow that the link comes from.
        of_atom: whether it comes from an atom.
        ask: TaskFlow's decider: called with ``history``, results by atom.
        depth: how far a nay reaches.
    """

    source: str
    of_atom: bool
    ask: Callable[..., Any]
    depth: Depth


@dataclass(frozen=True, slots=True)
class Structure:
    """A compiled flow.

    Attributes:
        atoms: by name, in the order of their numbers.
        nodes: by number.
        deciders: of each atom that has any, in the order in which they are asked.
        fingerprint: the same for the same flow in every process.
        scopes: which atoms an atom's arguments can come from.
        defer_reverts: whether a controller's REVERT leaves it to the one around it.
        never_resolve: whether a failure ends the run instead of being resolved.
        compilation: TaskFlow's own result.
    """

    atoms: Mapping[str, Atom]
    nodes: tuple[Node, ...]
    deciders: Mapping[str, Sequence[LinkDecider]]
    fingerprint: str
    scopes: Scopes
    defer_reverts: bool
    never_resolve: bool
    compilation: compiler.Compilation

    def controller_of(self, atom: Atom) -> retry.Retry | None:
        """Find the retry controller that is asked about an atom's failure."""
        graph = self.compilation.execution_graph
        found: retry.Retry | None = graph.nodes[atom].get(compiler.RETRY)
        return found

    def reached_from(self, atom: Atom, depth: Depth) -> list[str]:
        """Name the atoms after an atom, as far as a nay of this depth reaches.

        Their order is that in which TaskFlow tells listeners of them.
        """
        graph = self.compilation.execution_graph
        through = _THROUGH[depth]
        if depth is Depth.ATOM:
            return []
        found: list[str] = []
        seen: set[Any] = set()
        stack = list(graph.successors(atom))
        if depth is Depth.NEIGHBORS:
            stack = [n for n in stack if graph.nodes[n]["kind"] == compiler.TASK]
            stack.reverse()
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            kind = graph.nodes[node]["kind"]
            if kind in compiler.ATOMS:
                found.append(node.name)
            if kind in through:
                stack.extend(graph.successors(node))
        return found


#: Kinds of nodes that a nay goes through, by its depth.
_THROUGH: Mapping[Depth, Sequence[str]] = {
    Depth.ALL: tuple(_KINDS),
    Depth.FLOW: (compiler.TASK,),
    Depth.NEIGHBORS: (),
    Depth.ATOM: (),
}


def compile_flow(item: flow.Flow | task.Task, options: Mapping[str, bool]) -> Structure:
    """Compile a flow.

    Args:
        item: a flow or a single task.
        options: ``defer_reverts`` and ``never_resolve``.

    Raises:
        Duplicate: two atoms have one name.
        TypeError: it is no flow.
        CompilationFailure: TaskFlow cannot compile it.
    """
    compilation = compiler.PatternCompiler(item).compile()
    graph = compilation.execution_graph
    _check(graph)
    insertion = {node: number for number, node in enumerate(graph.nodes)}
    ordered = list(
        networkx.lexicographical_topological_sort(graph, key=insertion.__getitem__)
    )
    numbers = {node: number for number, node in enumerate(ordered)}
    atoms = {
        node.name: node
        for node in ordered
        if graph.nodes[node]["kind"] in compiler.ATOMS
    }
    asked = _deciders(graph, atoms.values())
    nodes = tuple(_node(graph, node, numbers, asked) for node in ordered)
    labels = _labels(compilation.hierarchy)
    return Structure(
        atoms=atoms,
        nodes=nodes,
        deciders=asked,
        fingerprint=_fingerprint(graph, labels, options),
        scopes=Scopes.of_compilation(compilation),
        defer_reverts=options["defer_reverts"],
        never_resolve=options["never_resolve"],
        compilation=compilation,
    )


def _check(graph: Any) -> None:
    kinds = graph.nodes(data="kind")
    names = Counter(node.name for node, kind in kinds if kind in compiler.ATOMS)
    if twice := sorted(name for name, count in names.items() if count > 1):
        raise Duplicate(
            f"Atoms with duplicate names found: {twice} in flow {graph.name!r}"
        )


def _deciders(graph: Any, atoms: Iterable[Atom]) -> dict[str, Sequence[LinkDecider]]:
    """Collect the deciders of each atom that has any.

    Those on links to a flow are asked for each atom that the flow begins with.
    """
    if not any(LINK_DECIDER in data for _, _, data in graph.edges(data=True)):
        return {}
    found = {atom.name: tuple(_links_with_deciders(graph, atom)) for atom in atoms}
    return {name: links for name, links in found.items() if links}


def _links_with_deciders(graph: Any, atom: Atom) -> Iterator[LinkDecider]:
    links = deque((before, atom) for before in graph.predecessors(atom))
    seen: set[Any] = set()
    while links:
        source, target = links.popleft()
        kind, data = graph.nodes[source]["kind"], graph.adj[source][target]
        if LINK_DECIDER in data:
            depth = data.get(LINK_DECIDER_DEPTH) or Depth.ALL
            of_atom = kind in compiler.ATOMS
            yield LinkDecider(source.name, of_atom, data[LINK_DECIDER], depth)
        if kind == compiler.FLOW and source not in seen:
            seen.add(source)
            links.extend((before, source) for before in graph.predecessors(source))


def _node(
    graph: Any, node: Any, numbers: Mapping[Any, int], asked: Collection[str]
) -> Node:
    kind = graph.nodes[node]["kind"]
    return Node(
        kind=_KINDS[kind],
        priority=int(getattr(node, "priority", 0)) if kind == compiler.TASK else 0,
        name=node.name if kind in compiler.ATOMS else "",
        after=tuple(sorted(numbers[other] for other in graph.successors(node))),
        before=tuple(sorted(numbers[other] for other in graph.predecessors(node))),
        asks=kind in compiler.ATOMS and node.name in asked,
    )


def _labels(hierarchy: Any) -> Mapping[Any, str]:
    """Name every node by names alone: an atom's own, a flow's by all that is in it."""
    labels: dict[Any, str] = {}
    for tree_node in _children_first(hierarchy):
        item = tree_node.item
        if isinstance(item, (task.Task, retry.Retry)):
            labels[item] = f"atom {item.name}"
            continue
        inside = sorted(labels[child.item] for child in tree_node)
        digest = hashlib.sha256(dumps_plain([item.name, inside])).hexdigest()[:16]
        labels[item] = f"flow {item.name} {digest}"
    return labels


def _children_first(root: Any) -> Iterator[Any]:
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node)
    yield from reversed(order)


def _fingerprint(
    graph: Any, labels: Mapping[Any, str], options: Mapping[str, bool]
) -> str:
    def label(node: Any) -> str:
        ending = isinstance(node, compiler.Terminator)
        return f"{labels[node.flow]} end" if ending else labels[node]

    def depth(node: Any, other: Any) -> str:
        data = graph.adj[node][other]
        if LINK_DECIDER not in data:
            return ""
        reach = data.get(LINK_DECIDER_DEPTH) or Depth.ALL
        return f" if, {reach.name}"

    rows = sorted(
        [
            label(node),
            str(int(getattr(node, "priority", 0) or 0)),
            *sorted(
                label(other) + depth(node, other) for other in graph.successors(node)
            ),
        ]
        for node in graph.nodes
    )
    content = dumps_plain([rows, sorted(options.items())])
    return hashlib.sha256(content).hexdigest()[:32]
