"""Flows made up at random from a seed: every pattern, nested, with all that links say.

They are only compiled, never run.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, cast

from taskflow import flow, retry, task
from taskflow.deciders import Depth
from taskflow.flow import LINK_DECIDER, LINK_DECIDER_DEPTH, LINK_MANUAL
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

Item = flow.Flow | task.Task


class Work(task.Task):
    """A task that is never run."""

    def execute(self, **kwargs: Any) -> None:
        """Do nothing."""


class Again(retry.Retry):
    """A retry that is never run."""

    def execute(self, history: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def on_failure(self, history: Any, **kwargs: Any) -> Any:
        """Give up."""
        return retry.REVERT


class Given(flow.Flow):
    """A pattern of a user's own: children and links exactly as they are given."""

    def __init__(self, name: str, controller: retry.Retry | None = None) -> None:
        super().__init__(name, controller)  # type: ignore[no-untyped-call]  # TaskFlow's
        self._children: list[Any] = []
        self.links: list[tuple[Any, Any, dict[str, Any]]] = []

    def add(self, *items: Any) -> Given:
        """Append children."""
        self._children.extend(items)
        return self

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._children)

    def iter_links(self) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
        """Iterate over the links, in the order in which they were appended."""
        return iter(self.links)

    def iter_nodes(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Iterate over the children."""
        return ((child, {}) for child in self._children)

    @property
    def requires(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()


def random_flow(seed: int, *, most: int = 60) -> Item:
    """Make a flow of up to ``most`` atoms, and now and then a single task."""
    return _Maker(random.Random(seed), most).root()


class _Maker:
    def __init__(self, chance: random.Random, most: int) -> None:
        self._chance = chance
        self._left = chance.randint(0, most)
        self._numbers = itertools.count()

    def root(self) -> Item:
        return self._task() if self._chance.random() < 0.02 else self._flow(0)

    def _task(self) -> task.Task:
        self._left -= 1
        name = f"t{next(self._numbers)}"
        provides = name if self._chance.random() < 0.5 else None
        made: task.Task = _WORK(name, provides=provides)
        made.priority = self._chance.choice((0, 0, 0, 1, -1, 7))
        return made

    def _flow(self, depth: int) -> flow.Flow:
        controller = None
        if self._left > 0 and self._chance.random() < 0.35:
            self._left -= 1
            controller = _AGAIN(f"r{next(self._numbers)}")
        children = self._children(depth)
        pattern = self._chance.choice(_PATTERNS)
        made = pattern(self._chance.choice("fgh"), controller)
        self._fill(made, children)
        return cast("flow.Flow", made)

    def _fill(self, made: Any, children: Sequence[Item]) -> None:
        if isinstance(made, graph_flow.Flow):
            self._fill_graph(made, children)
        else:
            made.add(*children)
        if isinstance(made, Given):
            made.links += self._links(children)

    def _children(self, depth: int) -> list[Item]:
        count = self._chance.choice((0, 1, 2, 3, 5, 8, 13, 21))
        nested = self._chance.choice((0.0, 0.1, 0.2, 0.4))
        children: list[Item] = []
        for _ in range(count if depth else count + self._chance.choice((3, 8, 30))):
            if depth < 6 and self._chance.random() < nested:
                children.append(self._flow(depth + 1))
            elif self._left > 0:
                children.append(self._task())
        return children

    def _fill_graph(self, made: Any, children: Sequence[Item]) -> None:
        order = list(children)
        self._chance.shuffle(order)
        cut = self._chance.randint(0, len(order))
        for some in (order[:cut], order[cut:]):
            made.add(*some, resolve_requires=self._chance.random() < 0.5)
        for source, target, said in self._links(children):
            made.link(
                source,
                target,
                decider=said.get(LINK_DECIDER),
                decider_depth=said.get(LINK_DECIDER_DEPTH),
            )
        if isinstance(made, graph_flow.TargetedFlow) and children:
            made.set_target(self._chance.choice(children))

    def _links(self, children: Sequence[Item]) -> list[tuple[Any, Any, dict[str, Any]]]:
        """Make links onwards in a shuffled order, some of them twice."""
        density = self._chance.choice((0.0, 0.1, 0.3, 0.8))
        pairs = [
            pair
            for pair in itertools.combinations(children, 2)
            if self._chance.random() < density
        ]
        again = [pair for pair in pairs if self._chance.random() < 0.1]
        pairs += again
        self._chance.shuffle(pairs)
        return [(source, target, self._said()) for source, target in pairs]

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if self._chance.random() < 0.5:
            said[LINK_MANUAL] = True
        if self._chance.random() < 0.4:
            said[LINK_DECIDER] = lambda history: len(history) > 0
            if self._chance.random() < 0.8:
                said[LINK_DECIDER_DEPTH] = self._chance.choice(list(Depth))
        return said


# Their constructors are TaskFlow's, without types.
_WORK: Any = Work
_AGAIN: Any = Again

_PATTERNS: Sequence[Any] = (
    linear_flow.Flow,
    unordered_flow.Flow,
    graph_flow.Flow,
    graph_flow.TargetedFlow,
    Given,
)
