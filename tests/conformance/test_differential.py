"""Random flows, run by TaskFlow's serial engine and by ours: the same comes of them.

What has to be the same depends on the flow.

* Where no task fails: everything. States and intentions of all atoms, all results, the
  state of the flow, and each task is run once.
* Where the order of all tasks is given: everything as well, failures and their
  exceptions included, and the order of executions and reverts.
* Otherwise, when a task fails, what stands beside it may have been run by then or not:
  TaskFlow's engine starts all that is ready at once, ours takes what it has room for,
  and with several workers nobody can tell. With two tasks that fail beside each other
  either may be first, or both may. So there both engines are held to the same law,
  which follows from the structure alone (`broken_laws`), and are compared in what the
  law does not leave open: the state of the flow where no revert fails, the kind of
  exception where one task alone can fail, the states of what had to be run before it
  and of what could not be run after it.

TaskFlow's engine reverts a task that it has never run if that became ready together
with a failure beside it. Ours never does; where TaskFlow's does not either, it is
held to the law, too, so that the law is not ours alone.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from dataclasses import replace

import networkx
import pytest
from taskflow import states
from taskflow.engines.action_engine import compiler
from taskflow.persistence import models

from redisflow import RedisBackend, SharedEngine
from tests.support.outcomes import by_taskflow, error_of, kinds_of, outcome_of
from tests.support.random_flows import shapes

pytestmark = pytest.mark.one_server

BATCHES = 4
FLOWS_PER_BATCH = 15  # on each server others
MOST_ATOMS = 9


def order_of(shape):
    """Return which atom comes before which, as TaskFlow's compiler sees it."""
    graph = compiler.PatternCompiler(shape.make([])).compile().execution_graph
    order = networkx.transitive_closure_dag(networkx.DiGraph(graph.edges))
    atoms = {node for node, data in graph.nodes(data=True) if data["kind"] == "task"}
    found = networkx.DiGraph()
    found.add_nodes_from(atom.name for atom in atoms)
    found.add_edges_from(
        (one.name, two.name) for one, two in order.edges if {one, two} <= atoms
    )
    return found


def by_us(shape, backend, workers=1, **options):
    """Run a flow with engines of ours, each in a thread; all raise the same."""
    notes = []
    book, detail = models.LogBook("b"), models.FlowDetail("f", models.LogBook("x").uuid)
    book.add(detail)
    backend.get_connection().save_logbook(book)
    made = [
        SharedEngine(
            shape.make(notes),
            models.FlowDetail("f", detail.uuid),
            backend,
            options,
        )
        for _ in range(workers)
    ]
    errors = [None] * workers

    def run(number):
        errors[number] = error_of(made[number].run)

    others = [threading.Thread(target=run, args=(n,)) for n in range(1, workers)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    kinds = {kinds_of(error) for error in errors}
    assert len(kinds) == 1, f"the engines do not agree: {errors}"
    return outcome_of(made[0].storage, list(shape.plans), errors[0], notes)


def broken_laws(shape, order, outcome):
    """Name what in an outcome no schedule of this flow can explain."""
    executed, reverted = outcome.executed(), outcome.reverted()
    failing = {name for name in executed if shape.plans[name].fails}
    undoable = {name for name in reverted if shape.plans[name].revert_fails}
    return [
        *_of_order(order, outcome, failing, undoable),
        *_of_states(outcome, failing, undoable),
        *_of_completeness(shape, outcome, failing, undoable),
    ]


def _of_order(order, outcome, failing, undoable):
    """Nothing is done twice, or before what it follows, or undone before it."""
    executed, reverted = outcome.executed(), outcome.reverted()
    places = {note: place for place, note in enumerate(outcome.notes)}
    if len(places) != len(outcome.notes):
        yield f"something was done twice: {outcome.notes}"
    ran = [(one, two) for one, two in order.edges if two in executed]
    for one, two in ran:
        if one not in executed - failing:
            yield f"{two} was run without {one}"
        elif places["execute", one] > places["execute", two]:
            yield f"{two} was run before {one}"
    for one, two in (pair for pair in ran if pair[0] in reverted):
        if two not in reverted - undoable:
            yield f"{one} was reverted, and {two} was not"
        elif places["revert", one] < places["revert", two]:
            yield f"{one} was reverted before {two}"


def _of_states(outcome, failing, undoable):
    """The states of atoms and flow tell what was done."""
    expected = dict.fromkeys(outcome.atoms, states.PENDING)
    expected |= dict.fromkeys(outcome.executed(), states.SUCCESS)
    expected |= dict.fromkeys(failing, states.FAILURE)
    expected |= dict.fromkeys(outcome.reverted(), states.REVERTED)
    expected |= dict.fromkeys(undoable, states.REVERT_FAILURE)
    for name, (state, _) in outcome.atoms.items():
        if state != expected[name]:
            yield f"{name} is {state}, not {expected[name]}"
    wanted = states.SUCCESS
    if failing:
        wanted = states.FAILURE if undoable else states.REVERTED
    if outcome.flow != wanted:
        yield f"the flow is {outcome.flow}, not {wanted}"


def _of_completeness(shape, outcome, failing, undoable):
    """All is run, or all that was run is reverted; what is raised has happened."""
    executed, reverted = outcome.executed(), outcome.reverted()
    if failing and not undoable and executed - reverted:
        yield f"not reverted: {executed - reverted}"
    if not failing and executed != set(shape.plans):
        yield f"not run: {set(shape.plans) - executed}"
    allowed = Counter(Broken=len(failing), Undoable=len(undoable))
    if bool(outcome.error) != bool(failing) or Counter(outcome.error) - allowed:
        yield f"raised {outcome.error}, while {failing} and {undoable} failed"


def compare(shape, theirs, ours):
    """Hold outcomes to the law, and to each other where it leaves no choice."""
    order = order_of(shape)
    assert broken_laws(shape, order, ours) == []
    assert ours.reverted() <= ours.executed()
    if theirs.reverted() <= theirs.executed():
        assert broken_laws(shape, order, theirs) == [], "TaskFlow breaks the law"
    fails = {name for name, plan in shape.plans.items() if plan.fails}
    first = {name for name in fails if not fails & networkx.ancestors(order, name)}
    size = len(order)
    if not first:
        assert replace(ours, notes=sorted(ours.notes)) == replace(
            theirs, notes=sorted(theirs.notes)
        )
        return
    if order.number_of_edges() == size * (size - 1) // 2:
        assert ours == theirs
        return
    if not any(plan.revert_fails for plan in shape.plans.values()):
        assert ours.flow == theirs.flow == states.REVERTED
    after = set().union(*(networkx.descendants(order, name) for name in first))
    settled = set(after)
    if len(first) == 1:
        settled |= first | networkx.ancestors(order, *first)
        if ours.flow == theirs.flow == states.REVERTED:
            assert ours.error == theirs.error == ("Broken",)
            assert ours.failures == theirs.failures
    if ours.flow == theirs.flow == states.REVERTED:
        assert {name: ours.atoms[name] for name in settled} == {
            name: theirs.atoms[name] for name in settled
        }


WAYS = {
    "serial": {},
    "threads": {"executor": "threads", "max_workers": 3},
    "two engines": {"workers": 2},
    "two engines that claim all": {
        "workers": 2,
        "executor": "threads",
        "max_workers": 2,
        "claim_all": True,
    },
}


@pytest.mark.conformance
@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_same_comes_of_random_flows(batch, seed, server, url):
    """Flows end alike under TaskFlow's engine and ours: one, with threads, two."""
    dice = random.Random(f"{seed} {batch} {server.kind}")
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        for number, shape in enumerate(shapes(dice, FLOWS_PER_BATCH, MOST_ATOMS)):
            theirs = by_taskflow(shape)
            for way, options in WAYS.items():
                ours = by_us(shape, backend, **options)
                try:
                    compare(shape, theirs, ours)
                except AssertionError as error:
                    error.add_note(f"flow {number} of the batch, {way}: {shape}")
                    raise
