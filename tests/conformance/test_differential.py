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
import itertools
import random
import threading
from collections import Counter
from dataclasses import dataclass, field, replace

import networkx
import pytest
from taskflow import engines, exceptions, states, task
from taskflow.engines.action_engine import compiler
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow import RedisBackend, SharedEngine

pytestmark = pytest.mark.one_server

BATCHES = 4
FLOWS_PER_BATCH = 15  # on each server others
MOST_ATOMS = 9


class Broken(Exception):
    """What tasks raise."""


class Undoable(Exception):
    """What reverts raise."""


class Step(task.Task):
    """Notes what is done with it, and fails if it was told to."""

    def __init__(self, plan, notes):
        super().__init__(
            plan.name, provides=plan.provides or None, requires=plan.requires
        )
        self.plan, self.notes = plan, notes
        self.priority = plan.priority

    def execute(self, **arguments):
        """Return all that was given, so that results tell where values came from."""
        self.notes.append(("execute", self.name))
        if self.plan.fails:
            raise Broken(self.name)
        given = [arguments[name] for name in sorted(arguments)]
        if len(self.plan.provides) > 1:
            return tuple((self.name, name, given) for name in self.plan.provides)
        return self.name, given

    def revert(self, **_arguments):
        """Undo nothing."""
        self.notes.append(("revert", self.name))
        if self.plan.revert_fails:
            raise Undoable(self.name)
        return f"undone {self.name}"


@dataclass(frozen=True)
class Plan:
    """A task as the dice made it."""

    name: str
    provides: tuple[str, ...]
    requires: tuple[str, ...]
    priority: int
    fails: bool
    revert_fails: bool


@dataclass
class Outcome:
    """What came of a flow."""

    flow: str
    atoms: dict[str, tuple[str, str]]
    results: dict[str, object]
    failures: dict[str, str]
    found: dict[str, object]
    error: tuple[str, ...]
    notes: list[tuple[str, str]]

    def executed(self):
        """Name what was run."""
        return {name for what, name in self.notes if what == "execute"}

    def reverted(self):
        """Name what was reverted, or was tried to be."""
        return {name for what, name in self.notes if what == "revert"}


@dataclass
class Shape:
    """A flow that can be made again and again, and what its structure says."""

    tree: object
    plans: dict[str, Plan] = field(default_factory=dict)

    def make(self, notes):
        """Make the flow."""
        return _made(self.tree, self.plans, notes)

    def order(self):
        """Return which atom comes before which, as TaskFlow's compiler sees it."""
        graph = compiler.PatternCompiler(self.make([])).compile().execution_graph
        order = networkx.transitive_closure_dag(networkx.DiGraph(graph.edges))
        atoms = {
            node for node, data in graph.nodes(data=True) if data["kind"] == "task"
        }
        found = networkx.DiGraph()
        found.add_nodes_from(atom.name for atom in atoms)
        found.add_edges_from(
            (one.name, two.name) for one, two in order.edges if {one, two} <= atoms
        )
        return found


def _drawn(dice):
    """Draw a flow: its tree of patterns, and what each of its tasks does."""
    shape = Shape(None)
    numbers = itertools.count()
    trouble = dice.choice(["none", "none", "one", "one", "some"])
    revert_trouble = dice.random() < 0.25

    def atom(before):
        name = f"t{next(numbers)}"
        names = [f"{name}.x", f"{name}.y"][: dice.choice([0, 1, 1, 2])]
        if names and dice.random() < 0.2:
            names[0] = dice.choice(["shared.x", "shared.y"])
        count = min(len(before), dice.choice([0, 0, 1, 2]))
        shape.plans[name] = Plan(
            name,
            tuple(names),
            tuple(dice.sample(sorted(before), count)),
            dice.choice([0, 0, 1, 5]),
            trouble == "some" and dice.random() < 0.25,
            revert_trouble and dice.random() < 0.2,
        )
        return name, set(names)

    def flow(depth, before):
        kind = dice.choice(["linear", "linear", "unordered", "graph"])
        children, provided = [], set()
        for _ in range(dice.choice([0, 1, 2, 3, 3, 4])):
            if len(shape.plans) >= MOST_ATOMS:
                break
            seen = before | provided if kind != "unordered" else before
            inner = depth and dice.random() < 0.4
            child, names = flow(depth - 1, seen) if inner else atom(seen)
            children.append(child)
            provided |= names
        links = [
            pair
            for pair in itertools.combinations(range(len(children)), 2)
            if kind == "graph" and dice.random() < 0.4
        ]
        return (kind, f"f{next(numbers)}", children, links), provided

    shape.tree, _ = flow(3, set())
    if trouble == "one" and shape.plans:
        name = dice.choice(sorted(shape.plans))
        plan = shape.plans[name]
        shape.plans[name] = Plan(**{**vars(plan), "fails": True})
    return shape


def _made(tree, plans, notes):
    """Make the flow, or the task, that a tree describes."""
    if isinstance(tree, str):
        return Step(plans[tree], notes)
    kind, name, children, links = tree
    patterns = {"linear": linear_flow, "unordered": unordered_flow, "graph": graph_flow}
    flow = patterns[kind].Flow(name)
    made = [_made(child, plans, notes) for child in children]
    flow.add(*made)
    for one, two in links:
        flow.link(made[one], made[two])
    return flow


def shapes(dice, count):
    """Draw flows that TaskFlow accepts: no cycles, no arguments without a provider."""
    while count:
        shape = _drawn(dice)
        try:
            engine = engines.load(shape.make([]))
            engine.compile()
            engine.prepare()
            engine.validate()
        except (exceptions.DependencyFailure, exceptions.MissingDependencies):
            continue
        count -= 1
        yield shape


def outcome_of(storage, names, error, notes):
    """Look at all that a run has left."""
    results, failures = {}, {}
    for name in names:
        with contextlib.suppress(exceptions.NotFound):
            result = storage.get(name)
            if isinstance(result, Failure):
                failures[name] = str(result.exception_str)
            else:
                results[name] = result
        with contextlib.suppress(exceptions.NotFound):
            result = storage.get_revert_result(name)
            failed = isinstance(result, Failure)
            results[f"revert {name}"] = result.exception_str if failed else result
    return Outcome(
        storage.get_flow_state(),
        storage.get_atoms_states(names),
        results,
        failures,
        _sorted(storage.fetch_all()),
        _kinds(error),
        notes,
    )


def _sorted(found):
    """Sort the values of names that several tasks provide."""
    return {
        name: sorted(value, key=repr) if isinstance(value, list) else value
        for name, value in found.items()
    }


def _kinds(error):
    """Name what a run has raised; the parts of what is raised together."""
    if isinstance(error, exceptions.WrappedFailure):
        found = [next(iter(failure)) for failure in error]
        return tuple(sorted(name.rpartition(".")[2] for name in found))
    return () if error is None else (type(error).__name__,)


def _error_of(run):
    """Run; return what that has raised."""
    try:
        run()
    except Exception as error:  # noqa: BLE001 - it is compared
        return error
    return None


def by_taskflow(shape):
    """Run a flow with TaskFlow's serial engine on its memory backend."""
    notes = []
    engine = engines.load(shape.make(notes))
    error = _error_of(engine.run)
    return outcome_of(engine.storage, list(shape.plans), error, notes)


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
        errors[number] = _error_of(made[number].run)

    others = [threading.Thread(target=run, args=(n,)) for n in range(1, workers)]
    for thread in others:
        thread.start()
    run(0)
    for thread in others:
        thread.join()
    kinds = {_kinds(error) for error in errors}
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
    order = shape.order()
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
        for number, shape in enumerate(shapes(dice, FLOWS_PER_BATCH)):
            theirs = by_taskflow(shape)
            for way, options in WAYS.items():
                ours = by_us(shape, backend, **options)
                try:
                    compare(shape, theirs, ours)
                except AssertionError as error:
                    error.add_note(f"flow {number} of the batch, {way}: {shape}")
                    raise
