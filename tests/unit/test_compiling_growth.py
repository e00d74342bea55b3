"""How the cost of compiling and checking grows: with the flow, and no faster."""

from __future__ import annotations

import gc
import itertools
import sys
from time import process_time

import pytest
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

from redisflow.engine.checking import check_arguments
from redisflow.engine.structure import compile_flow
from tests.support.patterns import Again, Given, Work

OPTIONS = {"defer_reverts": False, "never_resolve": False}


def linear(*items, **options):
    """Make a flow of items in line."""
    return linear_flow.Flow("line", **options).add(*items)


def line(size):
    """Make a line in which each task uses what the one before it provides."""
    return linear(*tasks(size, lambda n: [f"x{n - 1}"] if n else []))


def shadowing_line(size):
    """Make a line in which each task uses a name that all before it provide."""
    made = (
        Work(f"t{n}", provides="x", requires=["x"] if n else []) for n in range(size)
    )
    return linear(*made)


def independent(size):
    """Make a flow of tasks without any order."""
    return unordered_flow.Flow("f").add(*tasks(size, lambda _n: []))


def layered(size, width=20):
    """Make layers of tasks, each of which uses three of the layer before."""

    def requires(number):
        if number < width:
            return []
        start = (number // width - 1) * width
        return [f"x{start + (number + step) % width}" for step in range(3)]

    return graph_flow.Flow("f").add(*tasks(size, requires))


def far(size):
    """Make a ladder of tasks that all use what one of the first two provides."""
    atoms = [Work("other"), Work("t0", provides="x")]
    atoms += [Work(f"t{n}", requires=["x"]) for n in range(2, size)]
    flow = Given("f").add(*atoms)
    for n in range(2, size):
        flow.links += [(atoms[n - back], atoms[n], {}) for back in (2, 1)]
    return flow


def wide_joins(size):
    """Make flows without order, one after the other, with deciders between them."""
    flow = graph_flow.Flow("f")
    parts = [
        unordered_flow.Flow(f"p{part}").add(
            *(Work(f"p{part}t{n}") for n in range(size // 4))
        )
        for part in range(4)
    ]
    flow.add(*parts)
    for source, target in itertools.pairwise(parts):
        flow.link(source, target, decider=lambda history: not history)
    return flow


def nested(size):
    """Make lines, each in ten flows with a retry, side by side."""
    inner = [Work(f"t{n}", requires=["y"]) for n in range(size)]
    flows = [linear(*inner[start : start + 100]) for start in range(0, size, 100)]
    made = []
    for number, flow in enumerate(flows):
        for depth in range(10):
            again = Again(f"r{number}-{depth}", provides="y")
            flow = linear(flow, retry=again)  # noqa: PLW2901
        made.append(flow)
    return unordered_flow.Flow("f").add(*made)


def tasks(size, requires):
    """Make tasks that provide a name each."""
    return [Work(f"t{n}", provides=f"x{n}", requires=requires(n)) for n in range(size)]


SHAPES = [line, shadowing_line, independent, layered, far, wide_joins, nested]


def steps_of(call):
    """Count the lines of Python that a call goes through."""
    count = 0

    def trace(_frame, _event, _argument):
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def prepare(flow):
    """Compile a flow, and look for a provider of each argument."""
    structure = compile_flow(flow, OPTIONS)
    check_arguments(flow, structure, {}, {})
    return structure


@pytest.mark.parametrize("make", SHAPES)
def test_steps_grow_with_the_flow(make):
    """Four times the flow takes four times the steps, up to logarithms."""
    few, many = (make(size) for size in (200, 800))
    assert steps_of(lambda: prepare(many)) < 4.4 * steps_of(lambda: prepare(few))


@pytest.mark.slow
@pytest.mark.parametrize("make", SHAPES)
def test_time_grows_with_the_flow(make):
    """What is no step of Python's, like copying, does not grow faster, either."""
    flows = {size: make(size) for size in (1000, 8000)}
    best = dict.fromkeys(flows, float("inf"))
    gc.disable()  # it takes its time whenever it likes
    try:
        for _ in range(3):
            for size, flow in flows.items():
                begin = process_time()
                prepare(flow)
                best[size] = min(best[size], (process_time() - begin) / size)
    finally:
        gc.enable()
    assert best[8000] < 2 * best[1000]
