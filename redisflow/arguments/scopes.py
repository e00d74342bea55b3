"""Which atoms are visible to an atom, and how near.

The question is asked backwards: not "list all that is visible", which is nearly
the whole flow, but "which of these few are, and in which order".

Atoms are numbered as they stand in the flow, a flow's retry first. X is visible
to Y if X has the smaller number and, in the innermost flow that encloses both,
the child that holds X leads to the child that holds Y; an atom is such a child
itself or sits in a nested flow. A retry leads to everything in its flow. Walking
down the numbers from Y, the innermost common flow can only move outwards: so the
descending numbers *are* the order of visibility, and a new scope begins where
that flow changes.

"Leads to" is asked between children of one flow, which are a graph of their own.
Each child gets a number when a depth-first walk leaves it, and two spans:

* ``inside``: numbers that the walk gave below it. What lies there is reached.
* ``reach``: down to the smallest number of anything reached. What lies elsewhere
  is not reached.

Lines, unordered flows and trees need nothing else. What is left, joins behind
forks, is searched backwards through children that pass the second test, and
remembered. Building takes time and memory in proportion to children and links.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from taskflow.atom import Atom
from taskflow.flow import Flow

if TYPE_CHECKING:
    from taskflow.engines.action_engine.compiler import Compilation

Levels = Iterable[Iterable[str]] | None
"""Visible atom names, nearest scope first: a `Scope`, or what a user gave."""

Ranking = list[tuple[int, str]]
"""Atom names by number: sorted once, searched by any number of lookups."""

Item = Atom | Flow
Family = tuple[list[Item], list[set[int]]]
"""Children of a flow in order, and for each the positions that link to it."""

_SCOPE: Callable[[tuple[int, str]], int] = itemgetter(0)
_NAME: Callable[[tuple[int, str]], str] = itemgetter(1)


class Scopes:
    """Visibility between the atoms of one flow, for any number of lookups.

    An instance can be the ``scope_fetcher`` of a storage.
    """

    def __init__(self, root: Item, family: Callable[[Item], Family | None]) -> None:
        """Number everything below ``root``; ``family`` is ``None`` for an atom."""
        self._places: dict[str, _Place] = {}
        top = _Siblings(None, 0, 0, [set()])
        stack: list[tuple[Item, _Siblings, int]] = [(root, top, 0)]
        while stack:
            item, siblings, position = stack.pop()
            found = family(item)
            if found is None:
                self._places[item.name] = _Place(len(self._places), siblings, position)
                continue
            children, before = found
            inner = _Siblings(siblings, position, len(self._places), before)
            backwards = reversed(list(enumerate(children)))
            stack.extend((child, inner, index) for index, child in backwards)

    @classmethod
    def of_compilation(cls, compilation: Compilation) -> Scopes:
        """Build from what TaskFlow's compiler made of a flow."""
        graph = compilation.execution_graph
        root = compilation.hierarchy
        nodes = {node.item: node for node in root.dfs_iter(include_self=True)}

        def left_through(node: Any) -> Item:
            # A flow is left through a node of its own, which stands for its end.
            ends_flow = graph.nodes[node]["kind"] == compilation.FLOW_END
            return cast("Item", node.flow if ends_flow else node)

        def family(item: Item) -> Family | None:
            if nodes[item].metadata["kind"] != compilation.FLOW:
                return None
            children = [node.item for node in nodes[item]]
            ends = {child: index for index, child in enumerate(children)}
            before: list[set[int]] = []
            for child in children:
                sources = map(left_through, graph.predecessors(child))
                before.append({ends[node] for node in sources if node in ends})
            return children, before

        return cls(root.item, family)

    @classmethod
    def of_flow(cls, flow: Item) -> Scopes:
        """Build from a flow, or from a single task."""
        return cls(flow, _family_of_flow)

    def __call__(self, atom_name: str) -> Scope | None:
        """Give what is visible to an atom, or ``None`` if the flow has no such."""
        return Scope(self, atom_name) if atom_name in self._places else None

    def names(self) -> Collection[str]:
        """Give the names of all atoms, as they stand in the flow."""
        return self._places.keys()

    def rank(self, candidates: Iterable[str]) -> Ranking:
        """Sort candidates for `walk`; names unknown to the flow are left out."""
        places = self._places
        return sorted((places[n].number, n) for n in candidates if n in places)

    def order(self, atom_name: str, candidates: Iterable[str]) -> list[list[str]]:
        """List the candidates visible to an atom, nearest scope first.

        Scopes without any are left out.
        """
        levels = Scope(self, atom_name).among(self.rank(candidates))
        return [list(level) for level in levels]

    def walk(self, atom_name: str, ranking: Ranking) -> Iterator[tuple[int, str]]:
        """Yield what is visible to an atom, nearest first, and in which scope.

        Scopes are counted outwards from 0. Nothing is done ahead of what is taken.
        """
        here = self._places.get(atom_name)
        if here is None:
            return
        flow, position, scope = here.siblings, here.position, 0
        for index in range(bisect_left(ranking, (here.number, "")) - 1, -1, -1):
            number, name = ranking[index]
            while flow.outer is not None and number < flow.first:
                flow, position, scope = flow.outer, flow.position, scope + 1
            if flow.leads(self._places[name].child_in(flow), position):
                yield scope, name


@dataclass(frozen=True, slots=True)
class Scope:
    """What is visible to one atom: iterate for all of it, or ask for a few."""

    scopes: Scopes
    atom_name: str

    def __iter__(self) -> Iterator[Iterator[str]]:
        return self.among(self.scopes.rank(self.scopes.names()))

    def among(self, ranking: Ranking) -> Iterator[Iterator[str]]:
        """Yield the visible ones of a ranking scope by scope, each while current."""
        pairs = self.scopes.walk(self.atom_name, ranking)
        return (map(_NAME, group) for _, group in groupby(pairs, _SCOPE))


class _Place(NamedTuple):
    """Where an atom stands: its number, and its position in its flow."""

    number: int
    siblings: _Siblings
    position: int

    def child_in(self, flow: _Siblings) -> int:
        """Find the position of the child of ``flow`` that holds this atom."""
        siblings, position = self.siblings, self.position
        while siblings is not flow and siblings.outer is not None:
            siblings, position = siblings.outer, siblings.position
        return position


class _Siblings:
    """The children of one flow and the links between them.

    Attributes:
        outer: the children among which this flow itself is one.
        position: where among them.
        first: the number of the first atom in this flow, at any depth.
    """

    __slots__ = (
        "_before",
        "_inside",
        "_known",
        "_left",
        "_reach",
        "first",
        "outer",
        "position",
    )

    def __init__(
        self,
        outer: _Siblings | None,
        position: int,
        first: int,
        before: list[set[int]],
    ) -> None:
        self.outer = outer
        self.position = position
        self.first = first
        self._before = before
        self._known: dict[tuple[int, int], bool] = {}
        self._number_children()

    def _number_children(self) -> None:
        """Walk along the links, depth first, and number children on leaving."""
        size = len(self._before)
        after: list[list[int]] = [[] for _ in range(size)]
        for child, links in enumerate(self._before):
            for source in links:
                after[source].append(child)
        self._left, self._inside, self._reach = [0] * size, [-1] * size, [0] * size
        ahead = [iter(children) for children in after]
        clock = 0
        for root in range(size):
            path = [root] if self._inside[root] < 0 else []
            self._inside[root] = clock if path else self._inside[root]
            while path:
                child = path[-1]
                step = next(ahead[child], None)
                if step is None:
                    path.pop()
                    reached = (self._reach[other] for other in after[child])
                    self._reach[child] = min(self._inside[child], *reached, clock)
                    self._left[child] = clock
                    clock += 1
                elif self._inside[step] < 0:
                    self._inside[step] = clock
                    path.append(step)

    def leads(self, start: int, end: int) -> bool:
        """Tell whether links lead from one child to another."""
        known = self._tell(start, end)
        if known is None:
            known = self._known[start, end] = self._search(start, end)
        return known

    def _tell(self, start: int, end: int) -> bool | None:
        """Answer without a search, or give ``None``."""
        left = self._left[end]
        if not self._reach[start] <= left < self._left[start]:
            return False
        if self._inside[start] <= left or start in self._before[end]:
            return True
        return self._known.get((start, end))

    def _search(self, start: int, end: int) -> bool:
        """Go backwards from ``end`` through whatever ``start`` may lead to."""
        seen = {end}
        stack = [end]
        while stack:
            for child in self._before[stack.pop()]:
                if child in seen:
                    continue
                seen.add(child)
                known = self._tell(start, child)
                if known:
                    return True
                if known is None:
                    stack.append(child)
        return False


def _family_of_flow(item: Item) -> Family | None:
    """Read a flow's children and links through its public interface."""
    if not isinstance(item, Flow):
        return None
    flow: Any = item  # its methods are untyped
    children = list(flow)
    if flow.retry is not None:
        children.insert(0, flow.retry)
    positions = {child: index for index, child in enumerate(children)}
    before: list[set[int]] = [set() for _ in children]
    for source, target, _ in flow.iter_links():
        before[positions[target]].add(positions[source])
    if flow.retry is not None:
        for links in before[1:]:
            if not links:
                links.add(0)
    return children, before
