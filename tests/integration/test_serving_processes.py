"""``redisflow submit`` and ``redisflow worker``, as a user starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest

import redisflow
from redisflow.cli.app import invoke
from redisflow.keys import Keys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.submitted import BOXES, FLOWS

PROGRAM = (sys.executable, "-m", "redisflow.cli")
ROOT = Path(redisflow.__file__).parents[1]
SOON_S = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(100), pytest.mark.one_server]


@pytest.fixture
def environment(url):
    """Give the environment of the program, with the test's server."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "REDISFLOW_URL": url}


@pytest.fixture
def started(tmp_path, environment):
    """Start the program, with its lines in files; it ends with the test."""
    (tmp_path / "flows.py").write_text(BOXES)
    with contextlib.ExitStack() as stack:

        def start(*arguments):
            program = Program(arguments, tmp_path, environment)
            stack.callback(program.end)
            return program

        yield start


class Program:
    """The program, at work."""

    numbers = iter(range(1000))

    def __init__(self, arguments, folder, environment):
        self._err = folder / f"err-{next(self.numbers)}"
        self._out = self._err.with_suffix(".out")
        with self._err.open("wb") as err, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def err(self):
        """What it has written to standard error."""
        return self._err.read_text()

    @property
    def out(self):
        """What it has written to standard output."""
        return self._out.read_text()

    def until(self, words):
        """Wait until it has said something on standard error."""
        eventually(lambda: words in self.err, SOON_S)

    def status(self):
        """Wait for its end; returns its exit status."""
        return self.process.wait(SOON_S)

    def send(self, number):
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def worker(started):
    """Start a worker that serves the flows of the module flows."""

    def start(*more):
        program = started("worker", "--allow", "flows", *more)
        program.until("serves flows")
        return program

    return start


@pytest.fixture
def field(admin, namespace):
    """Read a field of the flow of a run id."""

    def read(name, run_id="r1"):
        keys = Keys(namespace).of_flow(flow_uuid_of(run_id, namespace))
        return admin.hget(keys.flow, name)

    return read


@pytest.fixture
def owners(admin, namespace):
    """Read which workers run atoms of r1."""

    def read():
        keys = Keys(namespace).of_flow(flow_uuid_of("r1", namespace))
        uuids = [uuid for uuid in admin.hvals(keys.atoms) if uuid]
        atoms = [admin.hmget(keys.atom(uuid), "state", "owner") for uuid in uuids]
        return [owner for state, owner in atoms if state == "RUNNING"]

    return read


def test_two_workers_serve_five_flows(worker, field, url, tmp_path):
    """Every task runs once, both take part; SIGTERM drains them, with status 0."""
    workers = [worker("--concurrency", 2) for _ in range(2)]
    for run_id in "abcde":
        redisflow.submit("flows:work", run_id=run_id, url=url, factory_args=(run_id,))
    for run_id in "abcde":
        eventually(lambda run_id=run_id: field("state", run_id) == "SUCCESS", SOON_S)

    notes = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    assert sorted(name for name, _ in notes) == [
        f"{run_id}-{number}" for run_id in "abcde" for number in range(4)
    ]
    assert {int(pid) for _, pid in notes} == {each.process.pid for each in workers}
    for each in workers:
        each.send(signal.SIGTERM)
    assert [each.status() for each in workers] == [0, 0]
    for each in workers:
        assert each.out == ""
        assert each.err.endswith("redisflow: SIGTERM: drained\n")
        assert "Traceback" not in each.err
        assert re.search("run [abcde]: SUCCESS after", each.err)


def test_killed_worker_is_survived(worker, field, owners, url, tmp_path):
    """What a worker that was killed with -9 held runs elsewhere after its lease."""
    workers = {each.process.pid: each for each in (worker("--lease", 1) for _ in "ab")}
    store = {"gate": f"{tmp_path}/open-"}
    redisflow.submit(
        "flows:gated", run_id="r1", url=url, store=store, factory_args=(1,)
    )
    (owner,) = eventually(owners, SOON_S)
    victim = workers.pop(int(owner.split(":")[1]))
    victim.send(signal.SIGKILL)
    victim.status()
    eventually(lambda: owners() not in ([], [owner]), SOON_S)
    (tmp_path / "open-0").touch()
    eventually(lambda: field("state") == "SUCCESS", SOON_S)
    (survivor,) = workers.values()
    survivor.until("run r1: SUCCESS")


def test_second_signal_ends_a_worker_at_once(worker, owners, url, tmp_path):
    """The first lets the task go on, the second does not wait for it."""
    program = worker()
    store = {"gate": f"{tmp_path}/open-"}
    redisflow.submit("flows:gated", run_id="r1", url=url, store=store)
    eventually(owners, SOON_S)
    program.send(signal.SIGTERM)
    program.until("draining; flows to leave: 1")
    assert program.process.poll() is None
    program.send(signal.SIGTERM)
    assert program.status() == 128 + signal.SIGTERM
    assert "ended at once" in program.err


@pytest.fixture
def cli(capfd, monkeypatch, url, tmp_path):
    """Run the program to its end, in this process; gives status and what it wrote."""
    monkeypatch.setenv("REDISFLOW_URL", url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        return invoke([str(argument) for argument in arguments]), *capfd.readouterr()

    return run


def test_results_that_only_workers_can_read(worker, cli):
    """They are shown as such, and it is a success all the same."""
    worker()
    status, out, err = cli("submit", "flows:boxed", "--wait", "--run-id=b")
    unreadable = "(not readable here)"
    assert status == 0, err
    assert out.splitlines()[1:] == [
        f"box = {unreadable}",
        f"left = {unreadable}",
        "total = 2",
    ]

    status, out, err = cli("submit", "flows:boxed", "--wait", "--run-id=b", "-ojson")
    assert status == 0, err
    assert json.loads(out)["results"]["box"] == {"$repr": unreadable}


def test_wait_ends_as_run_does(worker, cli, owners, url, tmp_path):
    """0 with results for success, 1 for a failure, 3 when suspended."""
    server = worker()
    status, out, err = cli("submit", "flows", "--wait", "--store", "x=2", "--run-id=a")
    assert (status, out) == (0, "a\ntotal = 3\n"), err
    assert err.startswith("redisflow: run a: waiting for its end\n")
    assert "run a: SUCCESS after" in err

    status, out, err = cli("submit", "flows:failing", "--wait")
    assert status == 1
    assert re.fullmatch(r"[0-9a-f]{12}\n", out)
    assert "break: OSError: the disk is full" in err

    assert "nothing was left to do" not in err
    again = ("submit", "flows", "--wait", "--store", "x=2", "--run-id=a", "--rerun")
    status, out, err = cli(*again)
    assert (status, out) == (0, "a\ntotal = 3\n"), err
    assert "nothing was left to do: all atoms are done" in err

    store = f"gate={tmp_path}/open-"
    order = ("submit", "flows:gated", "--wait", "--store", store, "--run-id", "r1")
    with _meanwhile(lambda: _suspend(url, owners, tmp_path)):
        status, out, err = cli(*order)
    assert (status, out) == (3, "r1\n"), err
    assert "submitting it again resumes it" in err
    (tmp_path / "open-1").touch()
    assert cli(*order)[0] == 0
    server.send(signal.SIGINT)
    assert server.status() == 0


@contextlib.contextmanager
def _meanwhile(work):
    """Do something in another thread while the block runs."""
    with futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield
        future.result(SOON_S)


def _suspend(url, owners, folder):
    """Suspend r1 once an atom runs, and let that atom end."""
    eventually(owners, SOON_S)
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        uuid = flow_uuid_of("r1", backend.keys.namespace)
        detail = backend.get_connection().get_flow_details(uuid)
        redisflow.Storage(detail, backend).change_flow_state("SUSPENDING")
    (folder / "open-0").touch()


def test_json_is_one_document(started, cli, tmp_path):
    """Without --wait what was submitted, with it what came of it."""
    order = ("submit", "flows", "--run-id", "r1", "-o", "json")
    (tmp_path / "flows.py").write_text(FLOWS)
    status, out, _ = cli(*order, "--store", "x=2")
    document = json.loads(out)
    assert (status, document["run_id"], document["run"]) == (0, "r1", 1)
    assert document["outcome"] is None
    assert started("worker", "--allow", "flows.py", "--once").status() == 0
    refused = cli(*order, "--arg", "y=1")
    assert refused[0] == 5
    assert refused[2].count("\n") == 1
    assert "submitted before with factory 'flows:factory'" not in refused[2]
    assert "submitted before with kwargs['y'] absent, not 1" in refused[2]


def test_interrupt_ends_the_waiting_and_not_the_flow(started, field):
    """Ctrl-C says so and ends with 130; without a worker that is said, too."""
    program = started("submit", "flows", "--wait", "--run-id", "r1", "--store", "x=1")
    program.until("waiting for its end")
    program.send(signal.SIGINT)
    assert program.status() == 130
    assert "no longer waiting; run r1 goes on" in program.err
    assert "no worker serves yet" in program.err
    assert program.out == "r1\n"
    assert started("worker", "--allow", "flows", "--once").status() == 0
    assert field("state") == "SUCCESS"


MISTAKES = [
    (("worker",), "nothing is allowed: name a module"),
    (("worker", "--allow", "a-b"), "'a-b' cannot be allowed"),
    (("worker", "--allow", "a", "--concurrency", 0), "concurrency is at least 1"),
    (("worker", "--allow", "a", "--lease", 0), "lease_s is at least"),
    (("submit", "flows", "--arg", "x"), "write it as NAME=VALUE"),
    (("submit", "flows", "--run-id", ""), "a run id has 1 to 200"),
    (("submit", "flows", "--max-attempts", 0), "max_attempts is at least 1"),
    (("submit",), "Missing argument 'FACTORY'"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES)
def test_mistakes_in_the_commands(cli, admin, arguments, says):
    """Each is one line with status 2, and nothing is written."""
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert admin.dbsize() == 0


def test_server_that_is_away_ends_both_commands(cli):
    """Status 4: a worker waits only for a server that it has reached before."""
    nowhere = ("--url", "redis://127.0.0.1:1?deadline_s=0.3")
    for arguments in (("worker", "--allow", "a"), ("submit", "flows")):
        status, _, err = cli(*arguments, *nowhere)
        assert status == 4
        assert "127.0.0.1:1 cannot be used" in err
