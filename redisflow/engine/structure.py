"""What a flow looks like to the server: numbered nodes and links.

The graph that `compiling` makes of a flow has a node for each atom and two gates for
each flow. Here its nodes are numbered so that every link leads to a higher number; the
numbers are only names, and whoever starts a run gives them. Whether two processes mean
the same flow is told by the fingerprint, see `fingerprint`.

All of it takes time in proportion to nodes plus links (and a sort of them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from taskflow import flow, retry, task
from taskflow.deciders import Depth
from taskflow.engines.action_engine import compiler
from taskflow.flow import LINK_DECIDER, LINK_DECIDER_DEPTH

from redisflow.arguments import Scopes
from redisflow.engine.compilation import as_taskflow
from redisflow.engine.compiling import (
    ATOMS,
    FLOW,
    FLOW_END,
    RETRY,
    TASK,
    Atom,
    Graph,
    Item,
    compile_graph,
)
from redisflow.engine.fingerprint import fingerprint_of
from redisflow.errors import Duplicate

#: Links of a node in one field of the graph; as many as in
#: scripts/lua/includes/link_fields.lua. A node with more has them in several fields.
LINKS_IN_FIELD = 64

#: What graph_save takes: number or field, kind, priority, name, links after and before.
Record = tuple[str, str, int, str, str, str]


class Node(NamedTuple):
    """One node of the graph; a tuple, so that garbage collections need not visit it.

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

    def records(self, number: int) -> Iterator[Record]:
        """Give the node, and after it its many links, as graph_save takes them."""
        yield (
            str(number),
            f"{self.kind}?" if self.asks else self.kind,
            self.priority,
            self.name,
            _listed(self.after),
            _listed(self.before),
        )
        for way, links in (("after", self.after), ("before", self.before)):
            if len(links) > LINKS_IN_FIELD:
                for field, first in enumerate(range(0, len(links), LINKS_IN_FIELD)):
                    part = _listed(links[first : first + LINKS_IN_FIELD])
                    yield f"{number}:{way}:{field}", "+", 0, "", part, ""


def _listed(links: Sequence[int]) -> str:
    if len(links) > LINKS_IN_FIELD:
        return f"*{len(links)}"
    return ",".join(map(str, links))


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
        graph: what it was made from.
    """

    atoms: Mapping[str, Atom]
    nodes: tuple[Node, ...]
    deciders: Mapping[str, Sequence[LinkDecider]]
    fingerprint: str
    scopes: Scopes
    defer_reverts: bool
    never_resolve: bool
    graph: Graph

    def compilation(self) -> compiler.Compilation:
        """Make TaskFlow's form of it."""
        return as_taskflow(self.graph)

    def controller_of(self, atom: Atom) -> retry.Retry | None:
        """Find the retry controller that is asked about an atom's failure."""
        return self.graph.controllers[self.graph.positions[atom]]

    def reached_from(self, atom: Atom, depth: Depth) -> list[str]:
        """Name the atoms after an atom, as far as a nay of this depth reaches.

        Their order is that in which TaskFlow tells listeners of them.
        """
        if depth is Depth.ATOM:
            return []
        graph, through = self.graph, _THROUGH[depth]
        found: list[str] = []
        seen: set[int] = set()
        stack = list(graph.after[graph.positions[atom]])
        if depth is Depth.NEIGHBORS:
            stack = [at for at in stack if graph.kinds[at] == TASK]
            stack.reverse()
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            kind = graph.kinds[at]
            if kind in ATOMS:
                found.append(graph.items[at].name)
            if kind in through:
                stack.extend(graph.after[at])
        return found


#: Kinds of nodes that a nay goes through, by its depth.
_THROUGH: Mapping[Depth, Sequence[str]] = {
    Depth.ALL: (TASK, RETRY, FLOW, FLOW_END),
    Depth.FLOW: (TASK,),
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
        TypeError: it, or something in it, is neither a flow nor a task.
        ValueError: something is in it twice.
        CompilationFailure: its links go in a circle.
    """
    graph = compile_graph(item)
    _check(graph)
    ordered = graph.in_order()
    atoms = [at for at in ordered if graph.kinds[at] in ATOMS]
    asked = _deciders(graph)
    deciders = {graph.items[at].name: asked[at] for at in atoms if at in asked}
    return Structure(
        atoms={graph.items[at].name: cast("Atom", graph.items[at]) for at in atoms},
        nodes=_nodes(graph, ordered, asked),
        deciders=deciders,
        fingerprint=fingerprint_of(graph, options),
        scopes=Scopes(item),
        defer_reverts=options["defer_reverts"],
        never_resolve=options["never_resolve"],
        graph=graph,
    )


def _check(graph: Graph) -> None:
    names = Counter(graph.items[at].name for at in graph.atoms())
    if twice := sorted(name for name, count in names.items() if count > 1):
        of = graph.items[0].name
        raise Duplicate(f"Atoms with duplicate names found: {twice} in flow {of!r}")


def _deciders(graph: Graph) -> Mapping[int, Sequence[LinkDecider]]:
    """Collect, by position, the deciders of each node that has any.

    Those on links to a flow are asked for each atom that the flow begins with. What a
    flow begins with comes directly after its gate and after nothing else.
    """
    found: dict[int, Sequence[LinkDecider]] = {}
    for at, before in enumerate(graph.before):
        around = graph.flows[at]
        if before == [around]:
            asked = found.get(around, ())
        else:
            asked = tuple(
                _decider(graph, source, graph.after[source][at])
                for source in before
                if LINK_DECIDER in graph.after[source][at]
            )
        if asked:
            found[at] = asked
    return found


def _decider(graph: Graph, source: int, link: Mapping[str, Any]) -> LinkDecider:
    return LinkDecider(
        source=graph.items[source].name,
        of_atom=graph.kinds[source] in ATOMS,
        ask=link[LINK_DECIDER],
        depth=link.get(LINK_DECIDER_DEPTH) or Depth.ALL,
    )


def _nodes(
    graph: Graph, ordered: Sequence[int], asked: Collection[int]
) -> tuple[Node, ...]:
    numbers = [0] * len(ordered)
    for number, at in enumerate(ordered):
        numbers[at] = number
    numbered = numbers.__getitem__
    return tuple(
        Node(
            kind=graph.kinds[at],
            priority=_priority_of(graph.items[at]),
            name=graph.items[at].name if graph.kinds[at] in ATOMS else "",
            after=tuple(sorted(map(numbered, graph.after[at]))),
            before=tuple(sorted(map(numbered, graph.before[at]))),
            asks=graph.kinds[at] in ATOMS and at in asked,
        )
        for at in ordered
    )


def _priority_of(item: Item) -> int:
    return int(item.priority) if isinstance(item, task.Task) else 0
