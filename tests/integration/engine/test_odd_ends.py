"""Code of users, and their tools, that end in odd ways: the run ends, or goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from taskflow import retry, states, task
from taskflow.exceptions import MissingDependencies, WrappedFailure
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.persistence import models

import redisflow
from redisflow import observing
from redisflow.engine.children import Child, Children, End
from redisflow.engine.executors import PoolExecutor
from redisflow.engine.worker import Worker
from redisflow.errors import ConfigError, FlowCancelled, Unavailable, WorkersFailed
from redisflow.scripts import catalogue
from tests.support.eventually import eventually
from tests.support.noting import Note, line, running
from tests.support.proxy import Proxy

pytestmark = pytest.mark.one_server


class Act(task.Task):
    """Does what it is told to."""

    def __init__(self, name, act):
        super().__init__(name)
        self.act = act

    def execute(self):
        """Do it."""
        return self.act()


class Boom(Exception):
    """What a task raises here."""


def boom():
    """Raise it."""
    raise Boom


def test_executor_that_takes_nothing_more_is_its_own_process_trouble(open_run, notes):
    """What it raises comes out of run(), as in TaskFlow; others go on with the flow."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    engine = open_run(line(Note("a", notes)), executor=pool)

    with pytest.raises(RuntimeError, match="after shutdown"):
        engine.run()
    assert engine.storage.get_flow_state() == states.RUNNING
    open_run(line(Note("a", notes))).run()
    assert notes == ["a"]


@pytest.fixture
def waits():
    """Make a task that waits; gives it, what it tells, and what it waits for."""
    begun, gate = threading.Event(), threading.Event()

    def wait():
        begun.set()
        return gate.wait(20)

    yield (lambda: Act("waits", wait)), begun, gate
    gate.set()


def test_executor_that_is_shut_down_amid_a_run_loses_nothing(open_run, notes, waits):
    """What it has cancelled goes back, what it had done is recorded."""
    make, begun, gate = waits
    pool = ThreadPoolExecutor(1)

    def flow():
        return unordered_flow.Flow("f").add(make(), Note("b", notes))

    engine = open_run(flow(), executor=pool, max_workers=2)
    with running(engine) as run:
        begun.wait(20)
        pool.shutdown(wait=False, cancel_futures=True)
        gate.set()
        with pytest.raises((CancelledError, RuntimeError)):
            run.result(20)
    other = open_run(flow())
    other.run()
    assert (notes, other.statistics["completed"]) == (["b"], 1)


def test_drained_engine_begins_nothing_that_it_has_claimed(open_run, notes, waits):
    """It finishes what it is at; the rest goes back."""
    make, begun, gate = waits

    def flow():
        many = [Note(f"n{number}", notes) for number in range(10)]
        return unordered_flow.Flow("f").add(make(), *many)

    engine = open_run(flow(), claim_all=True)
    with running(engine) as run:
        begun.wait(20)
        done = len(notes)
        engine.drain()
        gate.set()
        run.result(20)
    assert len(notes) == done
    open_run(flow()).run()
    assert len(notes) == 10


def test_drained_engine_ends_a_run_in_which_nothing_is_left(open_run, waits):
    """Nobody else would before the next worker comes."""
    make, begun, gate = waits
    engine = open_run(line(make()))
    with running(engine) as run:
        begun.wait(20)
        engine.drain()
        gate.set()
        run.result(20)
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_what_ends_after_an_exception_is_not_done_again(
    open_run, notes, waits, monkeypatch
):
    """What other threads were amid is waited for, and recorded."""
    make, _begun, gate = waits
    complete, cut = Worker.complete, []

    def fail_once(*arguments):
        if cut:
            return complete(*arguments)
        gate.set()
        cut.append("the server is away")
        raise Unavailable(*cut)

    monkeypatch.setattr(Worker, "complete", fail_once)
    flow = unordered_flow.Flow("f").add(make(), Note("b", notes))
    engine = open_run(flow, executor="threads", max_workers=2)
    with pytest.raises(Unavailable, match="away"):
        engine.run()
    assert engine.storage.get_atom_state("waits") == states.SUCCESS


def test_pool_of_processes_is_refused(load, notes):
    """A task has a storage, and locks, that do not go there."""
    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(ConfigError, match="pool of processes"),
    ):
        load(line(Note("a", notes)), executor=pool)


def test_task_that_exits_costs_a_worker(open_run):
    """It may end every process that comes: at ``max_attempts`` it fails instead."""
    attempts = []

    def exit_now():
        attempts.append(redisflow.current().attempt)
        sys.exit("gone")

    for _ in range(2):
        with pytest.raises(SystemExit):
            open_run(line(Act("a", exit_now)), max_attempts=2).run()
    with pytest.raises(WrappedFailure, match="WorkerLost"):
        open_run(line(Act("a", exit_now)), max_attempts=2).run()

    assert attempts == [0, 1]


def test_given_executor_is_waited_for():
    """What still runs in it is not left behind: its atom would be given to others."""
    gate, ended = threading.Event(), []
    with ThreadPoolExecutor(1) as pool:
        executor = PoolExecutor(1, pool)
        executor.start()
        executor.submit(lambda: gate.wait(20), ended.append)
        stopping = threading.Thread(target=executor.stop)
        stopping.start()
        stopping.join(0.2)
        assert stopping.is_alive()
        gate.set()
        stopping.join(20)
    assert len(ended) == 1


def test_controllers_have_no_hooks(load, notes):
    """TaskFlow calls those of tasks alone."""

    class Hooked:
        def pre_execute(self):
            notes.append(f"before {self.name}")

        def post_execute(self):
            notes.append(f"after {self.name}")

        def pre_revert(self):
            notes.append(f"before undoing {self.name}")

        def post_revert(self):
            notes.append(f"after undoing {self.name}")

    class Undone(Hooked, Act):
        pass

    class Never(Hooked, retry.AlwaysRevert):
        pass

    flow = linear_flow.Flow("f", retry=Never("never")).add(Undone("a", boom))
    with pytest.raises(Boom):
        load(flow).run()
    assert notes == ["before a", "after a", "before undoing a", "after undoing a"]


def test_each_try_of_a_controller_has_a_round_of_its_own(load):
    """And with it a key of its own, by which what it asks for is told apart."""
    seen = []

    class Tries(retry.Times):
        def execute(self, history, *args, **kwargs):
            current = redisflow.current()
            seen.append((current.round, current.idempotency_key))
            return super().execute(history, *args, **kwargs)

    flow = linear_flow.Flow("f", retry=Tries(3, "tries")).add(Act("a", boom))
    with pytest.raises(Boom):
        load(flow).run()

    assert [number for number, _ in seen] == [1, 2, 3]
    assert len({key for _, key in seen}) == 3


def test_nobody_is_told_of_what_is_not_left_out(load, notes):
    """A decider says no to what is to be reverted by now: it is not ignored."""
    told = []
    a, b = Note("a", notes), Note("b", notes)
    flow = graph_flow.Flow("f").add(a, b)

    def decide(history):
        engine.cancel("by the decider")
        return False

    flow.link(a, b, decider=decide)
    engine = load(flow)
    engine.atom_notifier.register(
        "*", lambda state, details: told.append((details["task_name"], state))
    )
    with pytest.raises(FlowCancelled):
        engine.run()

    assert ("b", states.IGNORE) not in told
    assert engine.storage.get_atom_state("b") == states.PENDING


@contextlib.contextmanager
def observed_by(observer):
    """Have an observer for a while."""
    observing.add(observer)
    try:
        yield
    finally:
        observing.remove(observer)


@pytest.mark.parametrize("fails", [False, True])
def test_observer_that_fails_at_the_end_changes_nothing(load, fails):
    """Nor does one that would have a task's exception forgotten."""

    class Clumsy(observing.Observer):
        @contextlib.contextmanager
        def doing(self, work):
            with contextlib.suppress(Boom):
                yield
            raise KeyError("at the end")

    engine = load(line(Act("a", boom if fails else lambda: 7)))
    with observed_by(Clumsy()):
        if fails:
            with pytest.raises(Boom):
                engine.run()
        else:
            engine.run()
            assert engine.storage.get("a") == 7


def test_failure_is_raised_as_it_was_when_an_answer_was_lost(server, namespace):
    """This process has raised it: it has the exception itself."""
    with Proxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}&deadline_s=5"
        engine = redisflow.load(line(Act("a", boom)), run_id="r1", url=url)
        script = catalogue()["work_complete"]
        engine.storage.backend.client.execute("SCRIPT", "LOAD", script.source)
        proxy.arm("drop_reply", match=script.sha.encode())
        with contextlib.closing(engine.storage.backend), pytest.raises(Boom):
            engine.run()
        assert proxy.hits == 1


@pytest.mark.parametrize(("lived_s", "gives_up"), [(0.5, True), (600.0, False)])
def test_workers_that_meet_an_outage_have_not_failed_to_start(
    lived_s, gives_up, backend
):
    """Three that do not get to work are enough; three that had been at it are not."""
    storage = redisflow.Storage(models.FlowDetail("f", "u"), backend)
    children = Children(storage, {}, max_attempts=3, output=None, environment={})
    report = {"fatal": True, "error": "Unavailable", "message": "no server"}
    ends = [End(f"w{number}", 70, lived_s, report) for number in range(3)]
    with pytest.raises(WorkersFailed) if gives_up else contextlib.nullcontext():
        for end in ends:
            children.note(end, limit=100)


def test_engine_that_cannot_be_loaded_leaves_no_connection(admin, url, notes):
    """Nobody has it, so nobody could close its backend."""
    before = len(admin.client_list())
    with pytest.raises(MissingDependencies):
        redisflow.load(line(Note("a", notes, requires=["x"])), run_id="r1", url=url)
    eventually(lambda: len(admin.client_list()) == before)


def test_report_of_a_child_whose_pipe_others_have_is_not_waited_for():
    """What a worker has forked lives on, and has its pipe."""
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        child = Child(process, "w", reader)
        try:
            assert child.read_report() == {}
        finally:
            os.close(writer)
