"""What is drawn for a storm: its flows, its workers, and the blows that fall.

All of it follows from the seed of the run and the number of the storm, and from nothing
else, so that the same two numbers give the same flows and the same blows.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.random_flows import Branch, Link, Plan, Shape, draw_shape
from tests.support.servers import KINDS

#: How long the lease of a worker is, in seconds.
LEASE_S = 2.0

#: For how long blows fall, in seconds.
STORMY_S = 7.0

#: How likely a part that may fail stays in the flow for which it was drawn.
_TROUBLED = 0.5

Kind = str

#: How often each kind of blow is drawn.
_WEIGHTS: Mapping[Kind, int] = {
    "kill": 6,
    "massacre": 1,
    "pause": 4,
    "lose": 4,
    "late": 2,
    "hole": 2,
    "cut": 3,
    "refuse": 2,
    "swizzle": 1,
    "freeze": 1,
    "crash": 2,
    "flush": 2,
    "disconnect": 2,
    "busy": 1,
    "full": 1,
    "suspend": 2,
    "cancel": 1,
}

#: For how long each lasts, at least and at most, in seconds.
_LASTS: Mapping[Kind, tuple[float, float]] = {
    "kill": (0.0, 1.0),  # until another worker comes in its place
    "massacre": (0.0, 1.5 * LEASE_S),
    "pause": (0.2, 2.0 * LEASE_S),
    "lose": (0.5, 2.0),
    "late": (0.5, 2.0),
    "hole": (0.3, 1.5 * LEASE_S),
    "refuse": (0.3, 1.5 * LEASE_S),
    "swizzle": (0.5, 2.0),
    "freeze": (0.1, 1.5),
    "crash": (0.0, 0.5),
    "flush": (0.1, 1.0),
    "busy": (0.1, 0.6),
    "full": (0.2, 1.5),
}


@dataclass(frozen=True, slots=True)
class Blow:
    """Something that goes wrong, or that somebody does from outside.

    Attributes:
        at_s: when, from the beginning of the storm.
        kind: what.
        target: number of the worker that it meets, or of the flow.
        lasts_s: for how long.
        order: in which order workers come back, where it meets all of them.
    """

    at_s: float
    kind: Kind
    target: int
    lasts_s: float
    order: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StormyFlow:
    """A flow of a storm.

    Attributes:
        run_id: names it.
        shape: what it is made of.
        shared: options that all engines share.
        deadly: atoms whose revert costs so many workers before it comes to its end.
    """

    run_id: str
    shape: Shape
    shared: Mapping[str, Any]
    deadly: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Storm:
    """All that is drawn for one storm.

    Attributes:
        seed: of the run.
        number: of the storm.
        server: its kind.
        flows: what is run.
        routes: for each worker in which order it comes to the flows.
        threads: for each worker how many tasks it runs at a time.
        blows: in the order in which they fall.
    """

    seed: int
    number: int
    server: str
    flows: list[StormyFlow]
    routes: list[list[int]]
    threads: list[int]
    blows: list[Blow]


def draw_storm(seed: int, number: int) -> Storm:
    """Draw a storm."""
    dice = random.Random(f"{seed}/{number}")
    flows = [_flow(dice, f"flow-{index}") for index in range(dice.randint(3, 5))]
    workers = dice.randint(4, 8)
    routes = []
    for _ in range(workers):
        route = list(range(len(flows)))
        dice.shuffle(route)
        routes.append(route)
    return Storm(
        seed,
        number,
        dice.choice(KINDS),
        flows,
        routes,
        [dice.choice([1, 1, 3]) for _ in range(workers)],
        _blows(dice, workers, len(flows)),
    )


def _flow(dice: random.Random, run_id: str) -> StormyFlow:
    shape = patchwork(dice, dice.choice([20, 30, 40, 60, 100, 200]))
    shared = {"defer_reverts": True} if dice.random() < 0.2 else {}
    deadly = {
        name: dice.choice([1, 1, 2]) for name in shape.plans if dice.random() < 0.03
    }
    return StormyFlow(run_id, shape, shared, deadly)


def _blows(dice: random.Random, workers: int, flows: int) -> list[Blow]:
    kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    blows = []
    for kind in dice.choices(kinds, weights, k=dice.randint(8, 18)):
        target = dice.randrange(flows if kind in {"suspend", "cancel"} else workers)
        order = list(range(workers))
        dice.shuffle(order)
        blows.append(
            Blow(
                round(dice.uniform(0.2, STORMY_S), 3),
                kind,
                target,
                round(dice.uniform(*_LASTS.get(kind, (0.0, 0.0))), 3),
                tuple(order) if kind == "swizzle" else (),
            )
        )
    return sorted(blows, key=lambda blow: blow.at_s)


def patchwork(dice: random.Random, atoms: int) -> Shape:
    """Draw a flow of about so many atoms: wild parts, and lines and layers."""
    parts: list[Shape] = []
    left = atoms
    while left > 0:
        part = _renamed(_part(dice, left), f"p{len(parts)}.")
        # Most are to get further than to the first thing that ends the whole run. What
        # TaskFlow makes of a part is no measure: where several fail, it is luck.
        if _may_fail(part) and dice.random() >= _TROUBLED:
            continue
        parts.append(part)
        left -= len(part.names)
    kind = dice.choice(["linear", "unordered", "graph"])
    links = [
        Link(source, target)
        for target in range(1, len(parts))
        for source in range(target)
        if kind == "graph" and dice.random() < 2 / len(parts)
    ]
    whole = Shape(
        Branch(kind, "whole", tuple(part.tree for part in parts), tuple(links))
    )
    # Most are to be reverted to their beginning, if they are.
    undoable = dice.choice([0.0, 0.0, 0.02, 0.1])
    for part in parts:
        whole.controls.update(part.controls)
        for plan in part.plans.values():
            whole.plans[plan.name] = dataclasses.replace(
                plan,
                takes_ms=dice.choice([0, 5, 20, 80, 250]),
                revert_fails=plan.revert_fails or dice.random() < undoable,
            )
    return whole


def _may_fail(part: Shape) -> bool:
    fail = [bool(plan.fails) for plan in part.plans.values()]
    return any([*fail, *(control.fails for control in part.controls.values())])


def _part(dice: random.Random, most: int) -> Shape:
    """Draw one part; half of them have retries and deciders."""
    if dice.random() < 0.5:
        # One failure that nobody answers for reverts everything: half have none.
        trouble = dice.choice([["none"], ["one"]])
        return draw_shape(dice, min(most, 14), wild=True, trouble=trouble)
    kind = dice.choice(["linear", "unordered"])
    names = [f"s{number}" for number in range(dice.randint(1, min(most, 30)))]
    plans = {name: Plan(name, (), (), 0, 0, revert_fails=False) for name in names}
    return Shape(Branch(kind, "plain", tuple(names), ()), plans)


def _renamed(shape: Shape, prefix: str) -> Shape:
    """Give all names of a part a prefix, so that several go into one flow."""

    def branch(tree: Branch) -> Branch:
        children = tuple(
            f"{prefix}{child}" if isinstance(child, str) else branch(child)
            for child in tree.children
        )
        control = tree.control and f"{prefix}{tree.control}"
        name = f"{prefix}{tree.name}"
        return Branch(tree.kind, name, children, tree.links, control)

    plans = [
        dataclasses.replace(
            plan,
            name=f"{prefix}{plan.name}",
            provides=tuple(f"{prefix}{name}" for name in plan.provides),
            requires=tuple(f"{prefix}{name}" for name in plan.requires),
        )
        for plan in shape.plans.values()
    ]
    controls = [
        dataclasses.replace(control, name=f"{prefix}{control.name}")
        for control in shape.controls.values()
    ]
    return Shape(
        branch(shape.tree),
        {plan.name: plan for plan in plans},
        {control.name: control for control in controls},
    )
