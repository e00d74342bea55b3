"""``redisflow suspend`` and ``redisflow cancel``, as an operator uses them."""

from __future__ import annotations

import contextlib
import getpass
import os
import threading

import pytest
from taskflow import states, task
from taskflow.patterns import linear_flow

import redisflow
from redisflow import lease
from redisflow.cli.app import invoke
from redisflow.errors import FlowCancelled
from redisflow.keys import FlowKeys
from tests.support.gates import Gate

pytestmark = pytest.mark.one_server


class Running:
    """A flow of two tasks that one engine runs; the first one waits."""

    def __init__(self, url):
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.url = url
        self.engine = self.load()
        self.raised = None
        self.thread = threading.Thread(target=self._run)

    def load(self):
        """Load an engine on the flow."""
        flow = linear_flow.Flow("f").add(
            Gate("a", self.go_on, begun=self.begun),
            Gate("b", self.go_on, begun=self.begun),
        )
        return redisflow.load(flow, run_id="nightly", url=self.url, lease_s=3)

    def _run(self):
        try:
            self.engine.run()
        except Exception as error:  # noqa: BLE001  the tests look at it
            self.raised = error

    def end(self):
        """Let all tasks go on, and wait for the end."""
        self.go_on.set()
        self.thread.join(20)

    @property
    def state(self):
        """The flow's state."""
        return self.engine.storage.get_flow_state()


@pytest.fixture
def running(url):
    """Start a flow, and end it with the test."""
    run = Running(url)
    with contextlib.closing(run.engine.storage.backend):
        run.thread.start()
        assert run.begun.wait(20)
        yield run
        run.end()


@pytest.fixture
def program(url, capsys):
    """Call the program in this process; gives its status and what it said."""

    def call(*arguments):
        status = invoke([*arguments, "--url", url])
        printed = capsys.readouterr()
        return status, printed.err + printed.out

    return call


def test_suspend_stops_all_workers(running, program):
    """The worker ends with the task at hand; asked again it is the same."""
    for _ in range(2):
        status, said = program("suspend", "nightly")
        assert (status, "1 worker(s) will stop" in said) == (0, True)
    running.end()

    assert running.state == states.SUSPENDED
    assert running.engine.storage.get_atom_state("b") == states.PENDING
    status, said = program("suspend", "nightly")
    assert (status, "is SUSPENDED" in said) == (0, True)


def test_suspend_can_wait_for_the_workers(running, program):
    """It returns once the task at hand has ended, and nobody is at work."""
    threading.Timer(1, running.go_on.set).start()

    status, said = program("suspend", "nightly", "--wait")

    assert (status, "is SUSPENDED" in said) == (0, True)
    assert running.state == states.SUSPENDED
    running.end()


def test_suspend_where_no_worker_is_alive(url, program, running):
    """What a dead worker left is taken back, once it had time to renew its lease."""
    keys = running.engine.storage.backend.keys.of_flow(running.engine.storage.flow_uuid)
    client = running.engine.storage.backend.client
    lease.drop(running.engine._course._membership._lease)
    for worker in client.execute("ZRANGE", keys.workers, 0, 0):
        client.execute("ZADD", keys.workers, 1, worker)

    status, said = program("suspend", "nightly")

    assert (status, "is SUSPENDED" in said) == (0, True)
    assert running.state == states.SUSPENDED


def test_cancel_reverts_and_says_why(running, program):
    """All that was done is undone, and run() raises the operator's reason."""
    status, said = program("cancel", "nightly", "--reason", "wrong input")
    assert (status, "by 1 worker(s)" in said) == (0, True)
    running.end()

    assert isinstance(running.raised, FlowCancelled)
    assert "wrong input" in str(running.raised)
    assert running.state == states.REVERTED
    status, said = program("cancel", "nightly")
    assert (status, "nothing to cancel" in said) == (5, True)
    status, said = program("show", "nightly")
    who = f"{getpass.getuser()} ({os.getpid()})"
    assert (status, f"cancelled by {who}: wrong input" in said) == (0, True)
    status, said = program("tail", "nightly")
    (line,) = [each for each in said.splitlines() if "reason: " in each]
    assert line.endswith(f"  by {who}  act: cancel  reason: wrong input")


def test_a_flow_that_does_not_exist(program):
    """It is told, with the status of a mistake in the command."""
    for command in ("suspend", "cancel"):
        status, said = program(command, "no-such-run")
        assert (status, "no flow with run id" in said) == (2, True)


def test_suspend_gives_no_atom_up(url, backend, namespace, program):
    """How many workers it may cost is a matter of its engines, not of an operator."""
    flow = linear_flow.Flow("f").add(task.FunctorTask(lambda: 7, name="a"))
    engine = redisflow.load(flow, run_id="nightly", url=url, max_attempts=10)
    phases = engine.run_iter()
    next(phases)
    next(phases)
    keys = FlowKeys(namespace, engine.storage.flow_uuid)
    uuid = engine.storage.get_atom_uuid("a")
    backend.client.execute("HSET", keys.atom(uuid), "attempt", 7)
    (worker,) = (
        name
        for name in backend.client.execute("ZRANGE", keys.workers, 0, -1)
        if name != b"-"
    )
    phases.close()
    backend.client.execute("ZADD", keys.workers, 1, worker)
    program("suspend", "nightly")
    assert engine.storage.get_execute_failures() == {}
    engine.storage.backend.close()
