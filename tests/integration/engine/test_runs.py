"""A run from `load` to its end: phases, listeners, arguments, shapes of flows."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from taskflow import engines, exceptions, states, task
from taskflow.engines.action_engine import compiler
from taskflow.listeners import capturing
from taskflow.patterns import graph_flow, unordered_flow
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend, SharedEngine
from tests.support.noting import Call, Fail, Note, Stuck, contents, line, states_of


def test_a_run(load, notes):
    """Tasks run in order, and their results are there by name."""
    flow = line(Note("a", notes, provides="x"), Note("b", notes, requires=["x", "y"]))
    engine = load(flow, store={"y": (1,)})
    assert isinstance(engine, SharedEngine)
    engine.run()
    assert notes == ["a", "b"]
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert engine.storage.fetch_all() == {"x": "a", "y": (1,)}
    assert engine.storage.get("b") == ("b", {"x": "a", "y": (1,)})
    assert engine.statistics["completed"] == 2


def test_the_phases_before_a_run(load, notes):
    """Compile, prepare and validate can be called one by one, in that order only."""
    engine = load(line(Note("a", notes)))
    for phase in (engine.prepare, engine.validate, engine.suspend):
        with pytest.raises(exceptions.InvalidState):
            phase()
    engine.compile()
    with pytest.raises(exceptions.InvalidState):
        engine.validate()
    engine.prepare()
    engine.validate()
    assert states_of(engine) == {"a": states.PENDING}
    engine.run()
    assert notes == ["a"]


def test_the_compilation_is_that_of_taskflow(load, notes):
    """Whoever asks a compiled engine gets TaskFlow's own form of its flow."""
    a, b = Note("a", notes), Note("b", notes)
    engine = load(line(a, b))
    assert engine.compilation is None
    engine.compile()
    made = engine.compilation
    assert isinstance(made, compiler.Compilation)
    assert made is engine.compilation
    assert list(made.execution_graph.successors(a)) == [b]
    assert [child.item for child in made.hierarchy] == [a, b]


SHAPES = {
    "success": lambda n: line(Note("a", n, provides="x"), Note("b", n, requires="x")),
    "reverted": lambda n: line(Note("a", n), Note("b", n), Fail("c", n), Note("d", n)),
    "stuck": lambda n: line(Note("a", n), Stuck("b", n), Note("c", n), Fail("d", n)),
    "empty": lambda _: line(),
    "nested": lambda n: line(
        Note("a", n), line(Note("b", n), line(name="i"), name="m"), Note("c", n)
    ),
    "one task": lambda n: Note("a", n),
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("listens", [True, False], ids=["heard", "unheard"])
def test_listeners_hear_what_taskflow_would_tell(load, make, listens):
    """The sequence of notifications, with results, is that of TaskFlow's engine."""

    def told_by(engine, notes):
        found = []

        def note(kind, state, details):
            result = details.get("result", "-")
            name = details.get("task_name", kind)
            found.append((name, details["old_state"], state, str(result)))

        if listens:
            engine.notifier.register("*", lambda *what: note("flow", *what))
            engine.atom_notifier.register("*", lambda *what: note("atom", *what))
        kinds = []
        try:
            engine.run()
        except exceptions.WrappedFailure as error:
            kinds = [str(failure) for failure in error]
        except Exception as error:  # noqa: BLE001  # it is compared
            kinds = [repr(error)]
        return found, notes, kinds, engine.storage.get_flow_state()

    theirs, ours = [], []
    assert told_by(load(make(ours)), ours) == told_by(
        engines.load(make(theirs)), theirs
    )


def test_taskflow_listeners_work(load, notes):
    """TaskFlow's own capturing listener hears an engine of ours."""
    engine = load(line(Note("a", notes)))
    with capturing.CaptureListener(engine) as capturer:
        engine.run()
    assert [state for _, state, _ in capturer.values] == [
        states.RUNNING,
        states.RUNNING,
        states.SUCCESS,
        states.SUCCESS,
    ]


def test_current(load):
    """Inside a task there is a name for what runs, outside there is none."""
    found = []
    engine = load(line(Call("a", lambda: found.append(redisflow.current()))))
    engine.run()
    (current,) = found
    assert current.flow_uuid == engine.storage.flow_uuid
    assert current.atom_uuid == engine.storage.get_atom_uuid("a")
    assert (current.kind, current.round, current.attempt) == ("execute", 1, 0)
    assert current.idempotency_key.endswith("/1/execute")
    assert redisflow.current() is None


def test_progress_is_stored(load):
    """What a task tells of its progress is read while it runs, and 1.0 after it."""
    seen = []

    class Slow(task.Task):
        def execute(self):
            self.update_progress(0.5)
            seen.append(engine.storage.get_task_progress("slow"))

    engine = load(line(Slow("slow")))
    engine.run()
    assert seen == [0.5]
    assert engine.storage.get_task_progress("slow") == 1.0


def test_a_flow_without_an_engine_of_taskflow(url, notes):
    """A flow detail that was never stored is stored by the engine that gets it."""
    detail = models.FlowDetail("line", str(uuid.uuid4()))
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        engine = SharedEngine(line(Note("a", notes)), detail, backend, {})
        engine.run()
        assert detail.state == states.SUCCESS
        assert {atom.name: atom.state for atom in detail} == {"a": states.SUCCESS}


# Arguments


def test_injected_and_optional_arguments(load):
    """What was injected into a task wins; optional ones may be absent."""

    class Optional(task.Task):
        def execute(self, x, y=5):
            return x, y

    flow = unordered_flow.Flow("f").add(
        Optional("a", provides="of_a"),
        Optional("b", provides="of_b", inject={"x": "own", "y": 0}),
    )
    engine = load(flow, store={"x": 1})
    engine.run()
    assert engine.storage.fetch("of_a") == (1, 5)
    assert engine.storage.fetch("of_b") == ("own", 0)


def test_injected_arguments_that_are_stored(load):
    """With inject_transient off they stand with the atom."""

    class Give(task.Task):
        def execute(self, x):
            return x

    engine = load(
        line(Give("a", provides="y", inject={"x": 3})), inject_transient=False
    )
    engine.run()
    assert engine.storage.fetch("y") == 3
    (atom,) = engine.storage.backend.get_connection().get_flow_details(
        engine.storage.flow_uuid
    )
    assert atom.meta["injected"] == {"x": 3}


def test_missing_arguments(load, notes, admin):
    """They are told before anything runs, and nothing is written."""
    engine = load(line(Note("a", notes), Note("b", notes, requires=["x", "y"])))
    before = contents(admin)
    with pytest.raises(exceptions.MissingDependencies, match=r"\['x', 'y'\]"):
        engine.run()
    assert (notes, contents(admin)) == ([], before)


def test_missing_arguments_of_a_new_run(open_run, notes, admin):
    """A run that cannot start is not even created."""
    with pytest.raises(exceptions.MissingDependencies):
        open_run(line(Note("a", notes, requires="x")))
    assert list(admin.scan_iter()) == []


# Shapes


@pytest.mark.parametrize(
    "flow",
    [
        line(),
        unordered_flow.Flow("u"),
        graph_flow.Flow("g"),
        line(line(name="i"), unordered_flow.Flow("u").add(graph_flow.Flow("g"))),
    ],
    ids=["linear", "unordered", "graph", "nested"],
)
def test_empty_flows(load, flow):
    """A flow without tasks is in SUCCESS at once."""
    engine = load(flow)
    engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_a_task_in_place_of_a_flow(load, notes):
    """One task is a flow of its own."""
    engine = load(Note("a", notes))
    engine.run()
    assert (notes, engine.storage.get_flow_state()) == (["a"], states.SUCCESS)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_wide_flow(load, executor):
    """A thousand tasks between two others, and the last one gets all results."""
    names = [f"x{number}" for number in range(1000)]

    class Sum(task.Task):
        def execute(self, **numbers):
            return sum(numbers.values())

    middle = unordered_flow.Flow("middle")
    middle.add(
        *[Call(f"t{n}", lambda n=n: n, provides=name) for n, name in enumerate(names)]
    )
    flow = line(Call("first", int), middle, Sum("last", requires=names, provides="sum"))
    engine = load(flow, executor=executor)
    engine.run()
    assert engine.storage.fetch("sum") == 499_500
    assert engine.statistics["completed"] == 1002


def test_two_atoms_of_one_name(load, notes):
    """They are refused, and nothing is run."""
    with pytest.raises(exceptions.Duplicate):
        load(line(Note("a", notes), Note("a", notes))).run()
    assert notes == []
