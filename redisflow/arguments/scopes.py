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
In a line it is their order, and without links it is never so. Else each child gets
a number when a depth-first walk leaves it, and two spans:

* ``inside``: numbers that the walk gave below it. What lies there is reached.
* ``reach``: down to the smallest number of anything reached. What lies elsewhere
  is not reached.

Trees need nothing else. What is left, joins behind forks, is searched backwards
through children that pass the second test, and what was found on the way is
remembered: all questions about one child together look at each link once.

Building takes time and memory in proportion to children and links; a question takes
constant time, but for such a search and for climbing out of nested flows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from taskflow.atom import Atom
from taskflow.flow import Flow

Levels = Iterable[Iterable[str]] | None
"""Visible atom names, nearest scope first: a `Scope`, or what a user gave."""

Ranking = list[tuple[int, str]]
"""Atom names by number: sorted once, searched by any number of lookups."""

Item = Atom | Flow
Family = tuple[list[Item], set[tuple[int, int]]]
"""Children of a flow in order, and the positions of those that are linked."""

_SCOPE: Callable[[tuple[int, str]], int] = itemgetter(0)
_NAME: Callable[[tuple[int, str]], str] = itemgetter(1)


class Scopes:
    """Visibility between the atoms of one flow, for any number of lookups.

    An instance can be the ``scope_fetcher`` of a storage.
    """

    def __init__(self, root: Item) -> None:
        """Number everything in a flow; a single task sees nothing."""
        self._places: dict[str, _Place] = {}
        top = _Siblings(None, 0, 0, _Apart())
        stack: list[tuple[Item, _Siblings, int]] = [(root, top, 0)]
        while stack:
            item, siblings, position = stack.pop()
            if not isinstance(item, Flow):
                self._places[item.name] = _Place(len(self._places), siblings, position)
                continue
            children, links = _family_of(item)
            paths = _paths(len(children), links)
            inner = _Siblings(siblings, position, len(self._places), paths)
            backwards = range(len(children) - 1, -1, -1)
            stack.extend((children[index], inner, index) for index in backwards)

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
        index = bisect_left(ranking, (here.number, "")) - 1
        while index >= 0:
            number, name = ranking[index]
            while flow.outer is not None and number < flow.first:
                flow, position, scope = flow.outer, flow.position, scope + 1
            if not flow.paths.lead_to(position):
                # Whatever else this flow has is skipped, however much that is.
                index = bisect_left(ranking, (flow.first, "")) - 1
                if flow.outer is None:
                    return
                continue
            if flow.paths.lead(self._places[name].child_in(flow), position):
                yield scope, name
            index -= 1


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


@dataclass(frozen=True, slots=True)
class _Siblings:
    """The children of one flow.

    Attributes:
        outer: the children among which this flow itself is one.
        position: where among them.
        first: the number of the first atom in this flow, at any depth.
        paths: which of the children lead to which.
    """

    outer: _Siblings | None
    position: int
    first: int
    paths: _Paths


class _Paths(Protocol):
    def lead(self, start: int, end: int) -> bool:
        """Tell whether links lead from one child to another."""

    def lead_to(self, end: int) -> bool:
        """Tell whether links lead to a child at all."""


class _Apart:
    """Children without links."""

    def lead(self, start: int, end: int) -> bool:
        return False

    def lead_to(self, end: int) -> bool:
        return False


class _Line:
    """Children each of which is linked to the next."""

    def lead(self, start: int, end: int) -> bool:
        return start < end

    def lead_to(self, end: int) -> bool:
        return end > 0


class _Net:
    """Children with any other links."""

    __slots__ = ("_before", "_inside", "_known", "_left", "_reach")

    def __init__(self, size: int, links: Iterable[tuple[int, int]]) -> None:
        self._before: list[set[int]] = [set() for _ in range(size)]
        after: list[list[int]] = [[] for _ in range(size)]
        for source, target in links:
            self._before[target].add(source)
            after[source].append(target)
        self._known: dict[tuple[int, int], bool] = {}
        self._number_children(after)

    def _number_children(self, after: list[list[int]]) -> None:
        """Walk along the links, depth first, and number children on leaving."""
        size = len(after)
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

    def lead_to(self, end: int) -> bool:
        return bool(self._before[end])

    def lead(self, start: int, end: int) -> bool:
        known = self._tell(start, end)
        return self._search(start, end) if known is None else known

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
        path = [(end, iter(self._before[end]))]
        while path:
            child, left = path[-1]
            for source in left:
                found = self._tell(start, source)
                if found is None:
                    path.append((source, iter(self._before[source])))
                    break
                if found:
                    self._known.update(((start, passed), True) for passed, _ in path)
                    return True
            else:
                self._known[start, child] = False
                path.pop()
        return False


def _paths(size: int, links: Collection[tuple[int, int]]) -> _Paths:
    """Pick what answers questions about these links with the least."""
    if not links:
        return _Apart()
    if len(links) == size - 1 and all(end == start + 1 for start, end in links):
        return _Line()
    return _Net(size, links)


def _family_of(flow: Any) -> Family:
    """Read a flow's children and links through its public interface."""
    children = list(flow)
    if flow.retry is not None:
        children.insert(0, flow.retry)
    positions = {child: index for index, child in enumerate(children)}
    links = {
        (positions[source], positions[target])
        for source, target, _ in flow.iter_links()
    }
    if flow.retry is not None:
        reached = {target for _, target in links}
        links.update(
            (0, index) for index in range(1, len(children)) if index not in reached
        )
    return children, links
