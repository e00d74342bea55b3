"""Flows drawn by lot: patterns in patterns, arguments, deciders, retries, failures.

What a flow does follows from its arguments alone: whether a task fails or a decider
says no is told by a digest of what it is given. So each process that makes the flow
makes the same one, and what comes of an atom can be computed again by anybody who knows
what it was given. A task that takes what a retry controller provides does something
else in each attempt.
"""

from __future__ import annotations

import itertools
import random
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskflow import exceptions, retry, task
from taskflow.engines import helpers
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

Notes = list[tuple[str, str]]

_PATTERNS: Mapping[str, Any] = {
    "linear": linear_flow.Flow,
    "unordered": unordered_flow.Flow,
    "graph": graph_flow.Flow,
}
_DEPTHS = ("ALL", "FLOW", "NEIGHBORS", "ATOM")
_LONGEST_VALUE = 160


class Broken(Exception):
    """What executions raise."""


class Undoable(Exception):
    """What reverts raise."""


def digest(*parts: object) -> int:
    """Make a number of values: the same for the same ones, in each process."""
    return zlib.crc32(repr(parts).encode())


@dataclass(frozen=True, slots=True)
class Plan:
    """A task as the dice made it.

    Attributes:
        name: its name.
        provides: names of its results.
        requires: names of its arguments.
        priority: its priority.
        fails: of how many in 100 different arguments it fails.
        revert_fails: whether its revert fails.
        takes_ms: how long it lasts.
    """

    name: str
    provides: tuple[str, ...]
    requires: tuple[str, ...]
    priority: int
    fails: int
    revert_fails: bool
    takes_ms: int = 0


@dataclass(frozen=True, slots=True)
class Control:
    """A retry controller as the dice made it.

    Attributes:
        name: its name; what it provides is ``<name>.v``.
        kind: "times", "each", "revert" or "revert_all".
        attempts: how many it allows, where it counts.
        revert_all: what it says when they are used up.
        fails: whether it raises when it runs in an attempt after the first one.
        revert_fails: whether its revert fails.
    """

    name: str
    kind: str
    attempts: int
    revert_all: bool
    fails: bool
    revert_fails: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two children of a graph flow.

    Attributes:
        source: number of the child that it comes from.
        target: number of the child that it leads to.
        nays: to how many in 100 different histories a decider on it says no.
        depth: how far a nay reaches; "" if there is no decider.
    """

    source: int
    target: int
    nays: int = 0
    depth: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """A flow as the dice made it.

    Attributes:
        kind: linear, unordered or graph.
        name: its name.
        children: flows, and names of tasks.
        links: between the children.
        control: name of its retry controller, or "".
    """

    kind: str
    name: str
    children: tuple[Branch | str, ...]
    links: tuple[Link, ...]
    control: str = ""


class Step(task.Task):
    """A task that notes what is done with it, and does as its plan says."""

    def __init__(self, plan: Plan, notes: Notes) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            plan.name, provides=plan.provides or None, requires=plan.requires
        )
        self.plan, self.notes = plan, notes
        self.priority = plan.priority

    def execute(self, **arguments: Any) -> Any:
        """Return all that was given, so that results tell where values came from."""
        self.notes.append(("execute", self.name))
        if self.plan.takes_ms:
            threading.Event().wait(self.plan.takes_ms / 1000)
        given = [arguments[name] for name in sorted(arguments)]
        if digest(self.name, given) % 100 < self.plan.fails:
            raise Broken(f"{self.name} with {_short(given)}")
        if len(self.plan.provides) > 1:
            return tuple((self.name, n, _short(given)) for n in self.plan.provides)
        return self.name, _short(given)

    def revert(self, **_arguments: Any) -> str:
        """Undo nothing."""
        self.notes.append(("revert", self.name))
        if self.plan.revert_fails:
            raise Undoable(self.name)
        return f"undone {self.name}"


def _short(given: object) -> object:
    """Leave a value as it is, unless it grows from task to task."""
    text = repr(given)
    return given if len(text) < _LONGEST_VALUE else f"#{zlib.crc32(text.encode()):08x}"


class _Planned:
    """What all controllers do: note it, and fail as the plan says."""

    name: str
    plan: Control
    notes: Notes

    def execute(self, history: Any, **kwargs: Any) -> Any:
        """Begin an attempt."""
        self.notes.append(("execute", self.name))
        if self.plan.fails and len(history):
            raise Broken(self.name)
        pattern: Any = super()
        return pattern.execute(history=history, **kwargs)

    def revert(self, history: Any, *_args: Any, **_kwargs: Any) -> str:
        """Give up."""
        self.notes.append(("revert", self.name))
        if self.plan.revert_fails:
            raise Undoable(self.name)
        return f"undone {self.name} after {len(history)}"


class _Times(_Planned, retry.Times):
    """So many attempts."""


class _Each(_Planned, retry.ForEach):
    """An attempt for each of some values."""


class _Revert(_Planned, retry.AlwaysRevert):
    """One attempt."""


class _RevertAll(_Planned, retry.AlwaysRevertAll):  # type: ignore[misc]  # TaskFlow is untyped
    """One attempt, for all."""


_CONTROLLERS = {
    "times": _Times,
    "each": _Each,
    "revert": _Revert,
    "revert_all": _RevertAll,
}


def _controller(plan: Control, notes: Notes) -> retry.Retry:
    options: dict[str, Any] = {"name": plan.name, "provides": f"{plan.name}.v"}
    kind: Any = _CONTROLLERS[plan.kind]
    if plan.kind == "times":
        made = kind(plan.attempts, revert_all=plan.revert_all, **options)
    elif plan.kind == "each":
        values = [f"{plan.name}#{number}" for number in range(plan.attempts)]
        made = kind(values, revert_all=plan.revert_all, **options)
    else:
        made = kind(**options)
    made.plan, made.notes = plan, notes
    return made  # type: ignore[no-any-return]  # TaskFlow is untyped


@dataclass(frozen=True, slots=True)
class Decider:
    """Says no to some histories.

    Attributes:
        name: tells it from others.
        nays: how many in 100.
    """

    name: str
    nays: int

    def __call__(self, history: Mapping[str, Any]) -> bool:
        return digest(self.name, sorted(history.items())) % 100 >= self.nays


@dataclass
class Shape:
    """A flow that can be made again and again.

    Attributes:
        tree: how its patterns stand in each other.
        plans: its tasks, by name.
        controls: its retry controllers, by name.
    """

    tree: Branch
    plans: dict[str, Plan] = field(default_factory=dict)
    controls: dict[str, Control] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Name all atoms."""
        return [*self.plans, *self.controls]

    def make(self, notes: Notes) -> Any:
        """Make the flow; its atoms note what is done with them."""
        return self._flow(self.tree, notes)

    def _flow(self, tree: Branch, notes: Notes) -> Any:
        control = self.controls.get(tree.control)
        made = _PATTERNS[tree.kind](
            tree.name, None if control is None else _controller(control, notes)
        )
        children = [
            Step(self.plans[child], notes)
            if isinstance(child, str)
            else self._flow(child, notes)
            for child in tree.children
        ]
        made.add(*children)
        for link in tree.links:
            decider = None
            if link.depth:
                name = f"{tree.name}:{link.source}:{link.target}"
                decider = Decider(name, link.nays)
            made.link(
                children[link.source],
                children[link.target],
                decider=decider,
                decider_depth=link.depth or None,
            )
        return made


class _Draw:
    """One draw of a flow."""

    def __init__(
        self, dice: random.Random, most_atoms: int, *, wild: bool, trouble: str
    ) -> None:
        self._dice = dice
        self._most = most_atoms
        self._wild = wild
        self._trouble = trouble
        self._revert_trouble = dice.random() < (0.12 if wild else 0.25)
        self._numbers = itertools.count()
        self.shape = Shape(Branch("linear", "none", (), ()))

    def tree(self) -> Shape:
        """Draw it."""
        self.shape.tree, _ = self._branch(3, frozenset(), frozenset())
        if self._trouble == "one" and self.shape.plans:
            plan = self.shape.plans[self._dice.choice(sorted(self.shape.plans))]
            fails = self._dice.choice([50, 80, 100]) if self._wild else 100
            self.shape.plans[plan.name] = _failing(plan, fails)
        return self.shape

    def _branch(
        self, depth: int, before: frozenset[str], tries: frozenset[str]
    ) -> tuple[Branch, frozenset[str]]:
        dice = self._dice
        kind = dice.choice(["linear", "linear", "unordered", "graph"])
        if self._wild:
            kind = dice.choice(["linear", "unordered", "graph", "graph"])
        control = ""
        if self._wild and dice.random() < 0.4:
            control = self._control()
            tries |= {f"{control}.v"}
        children: list[Branch | str] = []
        provided: frozenset[str] = frozenset()
        for _ in range(dice.choice([0, 1, 2, 3, 3, 4])):
            if len(self.shape.names) >= self._most:
                break
            seen = before if kind == "unordered" else before | provided
            inner = depth and dice.random() < 0.4
            child: Branch | str
            if inner:
                child, names = self._branch(depth - 1, seen, tries)
            else:
                child, names = self._atom(seen, tries)
            children.append(child)
            provided |= names
        links = tuple(
            self._link(*pair)
            for pair in itertools.combinations(range(len(children)), 2)
            if kind == "graph" and dice.random() < 0.4
        )
        name = f"f{next(self._numbers)}"
        return Branch(kind, name, tuple(children), links, control), provided

    def _link(self, source: int, target: int) -> Link:
        if not self._wild or self._dice.random() < 0.4:
            return Link(source, target)
        nays = self._dice.choice([0, 30, 50, 100])
        return Link(source, target, nays, self._dice.choice(_DEPTHS))

    def _atom(
        self, before: frozenset[str], tries: frozenset[str]
    ) -> tuple[str, frozenset[str]]:
        dice = self._dice
        name = f"t{next(self._numbers)}"
        names = [f"{name}.x", f"{name}.y"][: dice.choice([0, 1, 1, 2])]
        if names and dice.random() < 0.2:
            names[0] = dice.choice(["shared.x", "shared.y"])
        count = min(len(before), dice.choice([0, 0, 1, 2]))
        requires = dice.sample(sorted(before), count)
        if tries and dice.random() < 0.7:
            requires.append(dice.choice(sorted(tries)))
        fails = 0
        if self._trouble == "some" and dice.random() < 0.25:
            fails = dice.choice([30, 60, 100]) if self._wild else 100
        self.shape.plans[name] = Plan(
            name,
            tuple(names),
            tuple(requires),
            dice.choice([0, 0, 1, 5]),
            fails,
            self._revert_trouble and dice.random() < 0.2,
            dice.choice([0, 0, 0, 1, 3]) if self._wild else 0,
        )
        return name, frozenset(names)

    def _control(self) -> str:
        dice = self._dice
        name = f"r{next(self._numbers)}"
        self.shape.controls[name] = Control(
            name,
            dice.choice(["times", "times", "each", "each", "revert", "revert_all"]),
            dice.choice([1, 2, 2, 3]),
            dice.random() < 0.3,
            self._trouble == "some" and dice.random() < 0.08,
            self._revert_trouble and dice.random() < 0.1,
        )
        return name


def _failing(plan: Plan, fails: int) -> Plan:
    values = {name: getattr(plan, name) for name in Plan.__slots__}
    return Plan(**{**values, "fails": fails})


def draw_shape(
    dice: random.Random, most_atoms: int, *, wild: bool, trouble: Sequence[str]
) -> Shape:
    """Draw a flow that TaskFlow accepts: no cycles, all arguments provided.

    Args:
        dice: the lots.
        most_atoms: how many atoms it has at most, more or less.
        wild: whether there are retries, deciders, and failures that come and go.
        trouble: how much fails; one is drawn: "none", "one" task or "some".
    """
    while True:
        draw = _Draw(dice, most_atoms, wild=wild, trouble=dice.choice(trouble))
        try:
            shape = draw.tree()
            if wild and len(shape.names) < 3 and dice.random() < 0.9:
                continue
            engine = helpers.load(shape.make([]))
            engine.compile()
            engine.prepare()
            engine.validate()
        except (exceptions.DependencyFailure, exceptions.MissingDependencies):
            continue
        return shape


def shapes(dice: random.Random, count: int, most_atoms: int) -> Iterator[Shape]:
    """Draw flows of tasks alone, that fail always or never."""
    trouble = ["none", "none", "one", "one", "some"]
    for _ in range(count):
        yield draw_shape(dice, most_atoms, wild=False, trouble=trouble)
