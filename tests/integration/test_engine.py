"""`SharedEngine` through ``taskflow.engines.load``, in one process.

Several processes on one flow are the subject of tests/concurrency.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent import futures
from pathlib import Path

import pytest
from taskflow import engines, exceptions, states, task
from taskflow.engines.action_engine import compiler
from taskflow.listeners import capturing
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend, SharedEngine
from redisflow.engine.structure import compile_flow
from redisflow.errors import (
    ConfigError,
    InvalidState,
    StructureMismatch,
    ValueRefused,
)
from tests.support.eventually import eventually
from tests.support.installed import announce_plugins

ROOT = Path(__file__).parents[2]


class Note(task.Task):
    """Writes down what is done with it."""

    def __init__(self, name, notes, **options):
        super().__init__(name, **options)
        self.notes = notes

    def execute(self, **arguments):
        """Write it down, and return the name with what was given."""
        self.notes.append(self.name)
        return self.name if not arguments else (self.name, arguments)

    def revert(self, **_arguments):
        """Write it down."""
        self.notes.append(f"-{self.name}")


class Fail(Note):
    """Raises."""

    def execute(self, **_arguments):
        """Write it down, and raise."""
        self.notes.append(self.name)
        raise OSError(self.name)


class Stuck(Note):
    """Cannot be reverted."""

    def revert(self, **_arguments):
        """Write it down, and raise."""
        self.notes.append(f"-{self.name}")
        raise RuntimeError(self.name)


class Call(task.Task):
    """Calls what it was given."""

    def __init__(self, name, function, **options):
        super().__init__(name, **options)
        self.function = function

    def execute(self):
        """Call it."""
        return self.function()


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the backend and the engine."""
    announce_plugins()


@pytest.fixture
def notes():
    """Collect what tasks write down."""
    return []


@pytest.fixture
def backend(url):
    """Open a backend on the test's server."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        yield backend


@pytest.fixture
def load(backend):
    """Load engines as a user of TaskFlow does."""

    def load(flow, **options):
        return engines.load(flow, backend=backend, engine="redisflow", **options)

    return load


@pytest.fixture
def open_run(url):
    """Load engines by a run id; their backends are closed in the end."""
    with contextlib.ExitStack() as stack:

        def open_run(flow, run_id="nightly", **options):
            engine = redisflow.load(flow, run_id=run_id, url=url, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield open_run


def line(*tasks, name="line"):
    """Make a linear flow."""
    return linear_flow.Flow(name).add(*tasks)


def states_of(engine):
    """Return the states of all atoms."""
    storage = engine.storage
    storage.get_flow_state()
    names = [name for name in storage.mirror.atoms if not name.startswith("_")]
    return {name: state for name, (state, _) in storage.get_atoms_states(names).items()}


def contents(admin):
    """Dump all keys of the test's server."""
    return {key: admin.dump(key) for key in admin.scan_iter()}


@contextlib.contextmanager
def running(engine):
    """Run an engine in a thread; give a future of what comes of it."""
    with futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(engine.run)


# A run


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
        except Exception as error:  # noqa: BLE001 - it is compared
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


# Executors


def test_threads_run_tasks_at_the_same_time(load):
    """Tasks that wait for each other come to an end."""
    barrier = threading.Barrier(4)
    flow = unordered_flow.Flow("f")
    flow.add(*[Call(f"t{n}", lambda: barrier.wait(20) >= 0) for n in range(4)])
    load(flow, executor="threads", max_workers=4).run()


def test_max_workers_is_the_most(load):
    """No more tasks run at a time than were asked for."""
    lock, now, most = threading.Lock(), set(), []
    pair = threading.Barrier(2)

    def work():
        with lock:
            now.add(threading.get_ident())
            most.append(len(now))
        pair.wait(20)
        with lock:
            now.discard(threading.get_ident())

    flow = unordered_flow.Flow("f").add(*[Call(f"t{n}", work) for n in range(8)])
    load(flow, executor="threads", max_workers=2).run()
    assert max(most) == 2


def test_a_given_executor_is_used_and_left_running(load):
    """Tasks run in its threads; it takes work afterwards."""
    with futures.ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        name = Call("a", lambda: threading.current_thread().name, provides="name")
        engine = load(line(name), executor=pool)
        engine.run()
        assert engine.storage.fetch("name").startswith("mine")
        assert pool.submit(int).result() == 0


def test_serial_tasks_run_in_the_calling_thread(load):
    """The default executor starts no thread for them, whatever max_workers says."""
    engine = load(line(Call("a", threading.get_ident, provides="x")), max_workers=3)
    engine.run()
    assert engine.storage.fetch("x") == threading.get_ident()


@pytest.mark.parametrize(
    "options",
    [
        {"executor": "processes"},
        {"executor": 3},
        {"executor": "threads", "max_workers": 0},
        {"lease_s": 0},
        {"lease_s": "soon"},
        {"max_attempts": 0},
        {"durability": "hope"},
    ],
    ids=str,
)
def test_options_that_cannot_be_used(backend, notes, options):
    """A wrong option is one clear error."""
    with pytest.raises(ConfigError):
        SharedEngine(Note("a", notes), models.FlowDetail("f", "u"), backend, options)


def test_priorities(load, notes):
    """Of what is ready the highest priority is taken first."""
    flow = unordered_flow.Flow("f")
    for number in (3, 1, 4, 0, 5, 2):
        noted = Note(f"t{number}", notes)
        noted.priority = number
        flow.add(noted)
    load(flow).run()
    assert notes == ["t5", "t4", "t3", "t2", "t1", "t0"]


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


# Failures


def test_a_failure_reverts_all_in_reverse_order(load, notes):
    """The failing task is reverted, then what came before it, nothing else."""
    flow = line(Note("a", notes), Note("b", notes), Fail("c", notes), Note("d", notes))
    engine = load(flow)
    with pytest.raises(OSError, match="c"):
        engine.run()
    assert notes == ["a", "b", "c", "-c", "-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    reverted = dict.fromkeys("abc", states.REVERTED)
    assert states_of(engine) == {**reverted, "d": states.PENDING}
    assert list(engine.storage.get_failures()) == ["c"]


def test_a_graph_is_reverted_in_the_order_of_its_links(load, notes):
    """A task is reverted once all that came after it has been."""
    a, b, c = (Note(name, notes, provides=name.upper()) for name in "abc")
    last = Fail("d", notes, requires=["B", "C"])
    b.rebind, c.rebind = {"A": "A"}, {"A": "A"}
    flow = graph_flow.Flow("g").add(last, c, b, a)
    flow.link(a, b)
    flow.link(a, c)
    with pytest.raises(OSError, match="d"):
        load(flow, executor="threads", max_workers=3).run()
    assert (notes[0], notes[3], notes[4], notes[7]) == ("a", "d", "-d", "-a")
    assert (set(notes[1:3]), set(notes[5:7])) == ({"b", "c"}, {"-b", "-c"})


def test_revert_is_given_result_and_failures(load):
    """The result of the task, and all failures of the flow, by name."""
    seen = {}

    class Undo(task.Task):
        def execute(self):
            return "mine"

        def revert(self, result, flow_failures):
            seen.update(result=result, failures=flow_failures)

    with pytest.raises(OSError, match="b"):
        load(line(Undo("a"), Fail("b", []))).run()
    assert seen["result"] == "mine"
    assert {name: str(f.exception) for name, f in seen["failures"].items()} == {
        "b": "b"
    }


def test_a_revert_that_fails_ends_the_run(load, notes):
    """The flow is in FAILURE, what came before is left alone, its error is raised."""
    flow = line(Note("a", notes), Stuck("b", notes), Fail("c", notes))
    engine = load(flow)
    with pytest.raises(RuntimeError, match="b"):
        engine.run()
    assert notes == ["a", "b", "c", "-c", "-b"]
    assert engine.storage.get_flow_state() == states.FAILURE
    assert states_of(engine) == {
        "a": states.SUCCESS,
        "b": states.REVERT_FAILURE,
        "c": states.REVERTED,
    }


def test_several_failures_are_raised_together(load, notes):
    """Two tasks that fail at the same time are one WrappedFailure."""
    barrier = threading.Barrier(2)

    class Both(Fail):
        def execute(self):
            barrier.wait(20)
            return super().execute()

    flow = unordered_flow.Flow("f").add(Both("a", notes), Both("b", notes))
    engine = load(flow, executor="threads", max_workers=2)
    with pytest.raises(exceptions.WrappedFailure) as caught:
        engine.run()
    assert sorted(failure.exception_str for failure in caught.value) == ["a", "b"]
    assert states_of(engine) == dict.fromkeys("ab", states.REVERTED)


def test_never_resolve(load, notes):
    """Nothing is reverted; the run ends in FAILURE with what was raised."""
    engine = load(line(Note("a", notes), Fail("b", notes)), never_resolve=True)
    with pytest.raises(OSError, match="b"):
        engine.run()
    assert notes == ["a", "b"]
    assert engine.storage.get_flow_state() == states.FAILURE
    assert states_of(engine) == {"a": states.SUCCESS, "b": states.FAILURE}


def test_a_result_that_cannot_be_stored_fails_its_task(load, notes):
    """The error names the path, and the flow is reverted."""
    flow = line(Note("a", notes), Call("b", lambda: {"x": [object()]}))
    engine = load(flow)
    with pytest.raises(ValueRefused, match=r"\$\['x'\]\[0\]"):
        engine.run()
    assert notes == ["a", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED


def test_what_post_execute_raises_ends_the_run(load, notes):
    """As in TaskFlow it is not the task's failure: the run ends in FAILURE."""

    class After(Note):
        def post_execute(self):
            raise LookupError("after")

    flow = line(Note("a", notes), After("b", notes))
    engine = load(flow)
    with pytest.raises(LookupError, match="after"):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert notes == ["a", "b"]


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


def test_a_wide_flow_that_fails(load, notes):
    """Hundreds of tasks are reverted, each once, after the one that failed."""
    wide = unordered_flow.Flow("w").add(*[Note(f"t{n}", notes) for n in range(300)])
    engine = load(line(Note("first", notes), wide, Fail("last", notes)))
    with pytest.raises(OSError, match="last"):
        engine.run()
    assert (notes[302], notes[-1]) == ("-last", "-first")
    assert len(notes) == len(set(notes)) == 2 * 302


def test_two_atoms_of_one_name(load, notes):
    """They are refused, and nothing is run."""
    with pytest.raises(exceptions.Duplicate):
        load(line(Note("a", notes), Note("a", notes))).run()
    assert notes == []


# Once more


def test_a_run_after_success_runs_nothing_again(load, notes):
    """The next run finds all done and ends in SUCCESS."""
    engine = load(line(Note("a", notes)))
    engine.run()
    engine.run()
    assert notes == ["a"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_a_run_after_reverted_starts_from_the_beginning(load, notes):
    """All atoms are reset; what failed may go well now."""
    fail = Fail("b", notes)
    engine = load(line(Note("a", notes), fail, Note("c", notes)))
    with pytest.raises(OSError, match="b"):
        engine.run()
    notes.clear()
    fail.execute = lambda: "well"
    engine.run()
    assert notes == ["a", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert not engine.storage.has_failures()
    assert engine.storage.get("b") == "well"


def test_a_run_after_failure_goes_on(load, notes):
    """What was ended by an error around a task is taken up where it was."""
    seen = []

    class After(Note):
        def post_execute(self):
            if not seen:
                seen.append(1)
                raise LookupError("after")

    engine = load(line(Note("a", notes), After("b", notes), Note("c", notes)))
    with pytest.raises(LookupError):
        engine.run()
    engine.run()
    assert notes == ["a", "b", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_a_run_while_it_runs_is_refused(load):
    """One engine runs once at a time."""
    begun, go = threading.Event(), threading.Event()
    engine = load(line(Call("a", lambda: begun.set() or go.wait(20))))
    with running(engine) as outcome:
        assert begun.wait(20)
        with pytest.raises(exceptions.ExecutionFailure, match="locked"):
            engine.run()
        go.set()
        outcome.result(20)


# Suspending


def test_a_listener_suspends_and_a_new_engine_goes_on(load, notes):
    """Nothing is begun after the suspend; the flow is taken up where it was."""
    flow = line(*[Note(name, notes) for name in "abc"])
    engine = load(flow)

    def suspend(_state, details):
        if details["task_name"] == "b":
            engine.suspend()

    engine.atom_notifier.register(states.SUCCESS, suspend)
    engine.run()
    assert (notes, engine.storage.get_flow_state()) == (["a", "b"], states.SUSPENDED)
    detail = models.FlowDetail("line", engine.storage.flow_uuid)
    load(flow, flow_detail=detail).run()
    assert notes == ["a", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_another_thread_suspends_a_run_of_threads(load, notes):
    """Tasks at hand are finished, nothing more is begun, and the flow can go on."""
    begun, go = threading.Event(), threading.Event()
    first = Call("first", lambda: begun.set() or go.wait(20))
    engine = load(line(first, Note("b", notes)), executor="threads")
    with running(engine) as outcome:
        assert begun.wait(20)
        engine.suspend()
        go.set()
        outcome.result(20)
    assert (notes, engine.storage.get_flow_state()) == ([], states.SUSPENDED)
    engine.run()
    assert (notes, engine.storage.get_flow_state()) == (["b"], states.SUCCESS)


def test_a_revert_can_be_suspended(load, notes):
    """What is left to revert is reverted by the next run."""
    engine = load(line(Note("a", notes), Note("b", notes), Fail("c", notes)))

    def suspend(_state, details):
        if details["task_name"] == "b":
            engine.suspend()

    engine.atom_notifier.register(states.REVERTED, suspend)
    engine.run()
    assert notes == ["a", "b", "c", "-c", "-b"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    with pytest.raises(OSError, match="c"):
        engine.run()
    assert notes[5:] == ["-a"]
    assert engine.storage.get_flow_state() == states.REVERTED


# Several engines


def test_engines_in_two_threads_share_a_flow(open_run):
    """Each task runs once, both engines take part and return."""
    notes, meet = [], threading.Barrier(2)

    def flow():
        both = unordered_flow.Flow("both")
        both.add(*[Call(f"t{n}", lambda: meet.wait(20) >= 0) for n in range(2)])
        return line(both, *[Note(f"n{number}", notes) for number in range(20)])

    one, two = open_run(flow()), open_run(flow())
    with running(one) as first, running(two) as second:
        first.result(30)
        second.result(30)
    assert notes == [f"n{number}" for number in range(20)]
    done = [engine.statistics["completed"] for engine in (one, two)]
    assert sum(done) == 22
    assert min(done) > 0


def test_all_engines_raise_what_made_the_flow_fail(open_run):
    """The one where the task ran raises its exception, the other describes it."""
    meet = threading.Barrier(2)

    def fail():
        meet.wait(20)
        raise OSError("both")

    def flow():
        return unordered_flow.Flow("f").add(Call("a", fail), Call("b", meet.wait))

    one, two = open_run(flow()), open_run(flow())
    with running(one) as first, running(two) as second:
        errors = [outcome.exception(30) for outcome in (first, second)]
    kinds = {type(error) for error in errors}
    assert kinds == {OSError, exceptions.WrappedFailure}
    (wrapped,) = [e for e in errors if isinstance(e, exceptions.WrappedFailure)]
    assert [failure.exception_str for failure in wrapped] == ["both"]


def test_a_failure_is_not_lost_when_others_change_the_flow(load, url):
    """A change by another storage just before and during a task hides nothing of it."""

    def fail():
        engine.storage.get_flow_state()
        raise OSError("b")

    engine = load(line(Note("a", []), Call("b", fail)))
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        detail = models.FlowDetail("line", engine.storage.flow_uuid)
        other = redisflow.Storage(detail, backend)
        engine.atom_notifier.register(
            states.SUCCESS, lambda *_: other.update_flow_metadata({"x": 1})
        )
        with pytest.raises(OSError, match="b"):
            engine.run()
        for storage in (engine.storage, other):
            assert list(storage.get_failures()) == ["b"]
            assert storage.has_failures()


def test_joining_with_another_structure_is_refused(open_run, notes, admin):
    """While workers live, another flow or other options are refused without a trace."""
    begun, go = threading.Event(), threading.Event()

    def flow(*more):
        return line(Call("a", lambda: begun.set() or go.wait(20)), *more)

    engine = open_run(flow())
    others = [
        open_run(flow(Note("more", notes))),
        open_run(flow(), never_resolve=True),
        open_run(flow(), defer_reverts=True),
    ]
    with running(engine) as outcome:
        assert begun.wait(20)
        eventually(lambda: engine.storage.get_atom_state("a") == states.RUNNING)
        watched = [key for key in admin.scan_iter() if not key.endswith(":workers")]
        before = {key: admin.dump(key) for key in watched}
        for other in others:
            with pytest.raises(StructureMismatch, match="being run by 1 worker"):
                other.run()
        assert {key: admin.dump(key) for key in watched} == before
        go.set()
        outcome.result(20)
    assert notes == []


def test_a_structure_may_change_while_nobody_runs(open_run, notes):
    """Atoms that were added are run, those that were removed are not."""
    engine = open_run(line(*[Note(name, notes) for name in "abc"]))
    told = engine.storage

    def suspend(_state, details):
        if details["task_name"] == "a":
            engine.suspend()

    engine.atom_notifier.register(states.SUCCESS, suspend)
    engine.run()
    changed = line(*[Note(name, notes) for name in ("a", "new", "c")])
    open_run(changed).run()
    assert notes == ["a", "new", "c"]
    assert told.get_flow_state() == states.SUCCESS
    assert told.get_atom_state("b") == states.PENDING


_CRASHING = """
import os, signal, sys
from taskflow import task
from taskflow.patterns import linear_flow
import redisflow

class Word(task.Task):
    def execute(self):
        return self.name

class Crash(task.Task):
    def execute(self):
        os.kill(os.getpid(), signal.SIGKILL)

flow = linear_flow.Flow("line").add(Word("a", provides="x"), Crash("b"), Word("c"))
redisflow.load(flow, run_id="nightly", url=sys.argv[1], lease_s=0.5).run()
"""


@pytest.fixture
def crashed(url):
    """Let a process die of SIGKILL in the second task of a flow."""
    done = subprocess.run(
        [sys.executable, "-c", _CRASHING, url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=50,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("crashed")
def test_another_engine_goes_on_after_a_crash(open_run, notes):
    """What was finished is kept, what was begun is run again, as another attempt."""
    seen = []
    flow = line(
        Note("a", notes, provides="x"),
        Call("b", lambda: seen.append(redisflow.current())),
        Note("c", notes),
    )
    engine = open_run(flow, lease_s=0.5)
    assert states_of(engine) == {
        "a": states.SUCCESS,
        "b": states.RUNNING,
        "c": "PENDING",
    }
    engine.run()
    assert notes == ["c"]
    (current,) = seen
    assert (current.round, current.attempt) == (1, 1)
    assert engine.storage.fetch("x") == "a"
    assert engine.storage.get_flow_state() == states.SUCCESS


@pytest.mark.usefixtures("crashed")
def test_the_structure_may_have_changed_after_a_crash(open_run, notes):
    """Once the dead worker's lease is over another structure can be brought."""
    changed = line(*[Note(name, notes) for name in ("a", "new", "c")])

    def run():
        try:
            open_run(changed, lease_s=0.5).run()
        except StructureMismatch:
            return False
        return True

    eventually(run)
    assert notes == ["new", "c"]


def test_drain(open_run, notes):
    """A drained engine finishes what it holds and returns; the flow goes on."""
    begun, go = threading.Event(), threading.Event()

    def flow():
        waits = Call("a", lambda: begun.set() or go.wait(20))
        return line(waits, Note("b", notes))

    engine = open_run(flow())
    with running(engine) as outcome:
        assert begun.wait(20)
        engine.drain()
        go.set()
        outcome.result(20)
    assert notes == []
    assert engine.storage.get_flow_state() == states.RUNNING
    assert states_of(engine) == {"a": states.SUCCESS, "b": states.PENDING}
    open_run(flow()).run()
    assert notes == ["b"]


# By run id


def test_load_gets_or_creates(open_run, notes, backend):
    """All who load a run id have one flow, in one logbook."""
    flow = line(Note("a", notes))
    one, two = open_run(flow), open_run(flow)
    assert one.storage.flow_uuid == two.storage.flow_uuid
    assert one.storage.flow_meta["run_id"] == "nightly"
    assert open_run(flow, run_id="other").storage.flow_uuid != one.storage.flow_uuid
    assert open_run(flow, run_id=None).storage.flow_meta["run_id"]
    assert len(list(backend.get_connection().get_logbooks())) == 3


def test_a_new_flow_is_compiled_once(open_run, notes):
    """What loading has compiled, to see whether it is sound, is what is run."""
    asked = []

    class Watched(linear_flow.Flow):
        def iter_links(self):
            asked.append(self.name)
            return super().iter_links()

    flow = Watched("w").add(Note("a", notes), Note("b", notes))
    compile_flow(flow, {"defer_reverts": False, "never_resolve": False})
    once = asked.copy()
    open_run(flow).run()
    assert asked == 2 * once


@pytest.mark.parametrize("run_id", ["", "x" * 201, "a\nb"])
def test_run_ids_that_cannot_be_used(open_run, notes, run_id):
    """They are refused before anything is asked of the server."""
    with pytest.raises(ConfigError):
        open_run(line(Note("a", notes)), run_id=run_id)


def test_an_ended_run_is_not_started_again(open_run, notes, admin):
    """Loading it writes nothing and gives its outcome, unless it is to be rerun."""
    flow = line(Note("a", notes), Fail("b", notes))
    with pytest.raises(OSError, match="b"):
        open_run(flow).run()
    notes.clear()
    before = contents(admin)
    engine = open_run(flow, store={"x": 1})
    with pytest.raises(exceptions.WrappedFailure):
        engine.run()
    assert (notes, contents(admin)) == ([], before)
    with pytest.raises(OSError, match="b"):
        open_run(flow, rerun=True).run()
    assert notes == ["a", "b", "-b", "-a"]


def test_a_late_engine_gets_the_outcome_of_its_run(open_run, notes):
    """An engine that was loaded before the end does not start the saga again."""
    flow = line(Note("a", notes), Fail("b", notes))
    early, late = open_run(flow), open_run(flow)
    with pytest.raises(OSError, match="b"):
        early.run()
    notes.clear()
    with pytest.raises(exceptions.WrappedFailure):
        late.run()
    assert notes == []


def test_store_on_joining(open_run, notes):
    """The same values are welcome; others are refused while workers live."""
    begun, go = threading.Event(), threading.Event()
    flow = line(Call("a", lambda: begun.set() or go.wait(20)))
    engine = open_run(flow, store={"x": 1})
    with running(engine) as outcome:
        assert begun.wait(20)
        open_run(flow, store={"x": 1})
        open_run(flow, store={"y": 2})
        with pytest.raises(InvalidState, match="another value for 'x'"):
            open_run(flow, store={"x": 2, "z": 3})
        assert engine.storage.fetch_all() == {"x": 1, "y": 2}
        go.set()
        outcome.result(20)


def test_store_of_an_idle_flow_is_replaced(open_run, notes):
    """While nobody runs it, values can be changed."""
    flow = line(Note("a", notes, requires="x"))
    open_run(flow, store={"x": 1})
    engine = open_run(flow, store={"x": 2})
    engine.run()
    assert engine.storage.get("a") == ("a", {"x": 2})


def test_a_flow_without_an_engine_of_taskflow(url, notes):
    """A flow detail that was never stored is stored by the engine that gets it."""
    detail = models.FlowDetail("line", str(uuid.uuid4()))
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        engine = SharedEngine(line(Note("a", notes)), detail, backend, {})
        engine.run()
        assert detail.state == states.SUCCESS
        assert {atom.name: atom.state for atom in detail} == {"a": states.SUCCESS}
