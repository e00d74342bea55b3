"""The program, as a user starts it, against real servers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import redisflow
from redisflow.keys import Keys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

PROGRAM = (sys.executable, "-m", "redisflow.cli")
ROOT = Path(redisflow.__file__).parents[1]
SOON_S = 40.0

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_server]

FLOWS = """
    import multiprocessing, pathlib, time
    from taskflow import task
    from taskflow.patterns import linear_flow, unordered_flow

    class Add(task.Task):
        default_provides = "total"

        def execute(self, x, y=1):
            print("adding", x, y)
            return x + y

    class Tags(task.Task):
        default_provides = "tags"

        def execute(self):
            return (1, {2})

    class Break(task.Task):
        def execute(self):
            raise OSError("the disk is full")

    class Choose(task.Task):
        def execute(self):
            pathlib.Path("fine").read_text()

    class Forks(task.Task):
        default_provides = "sum"

        def execute(self):
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return sum(pool.map(abs, [-1, -2]))

    class Odd(task.Task):
        def execute(self):
            return {"hosts": [object()]}

    class Gate(task.Task):
        def execute(self, gate):
            while not pathlib.Path(gate).exists():
                time.sleep(0.02)

    def factory(note="none"):
        return linear_flow.Flow("sum").add(Add("add"), Tags("tags"))

    def failing():
        return linear_flow.Flow("failing").add(Tags("tags"), Break("break"))

    def choosy():
        return linear_flow.Flow("choosy").add(Tags("tags"), Choose("choose"))

    def forks():
        return linear_flow.Flow("forks").add(Forks("forks"))

    def odd():
        return linear_flow.Flow("odd").add(Odd("odd"))

    def gated(n=4, extra=False):
        flow = unordered_flow.Flow("gated")
        flow.add(*(Gate(f"gate-{i}") for i in range(n)))
        return linear_flow.Flow("outer").add(flow, Tags("tags"))

    def twins():
        return linear_flow.Flow("twins").add(Tags("a"), Break("a"))

    def number():
        return 3

    def raises():
        raise KeyError("no such host")

    def leaves():
        raise SystemExit(0)
"""


@pytest.fixture
def folder(tmp_path):
    """Make a folder with a module of flows."""
    (tmp_path / "flows.py").write_text(textwrap.dedent(FLOWS))
    return tmp_path


@pytest.fixture
def environment(url):
    """Give the environment of the program, with the test's server."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, "PYTHONPATH": path, "REDISFLOW_URL": url, "TERM": "xterm-256color"}


class Run:
    """The flow of a run id as the server has it."""

    def __init__(self, admin, namespace, run_id):
        self.admin = admin
        self.keys = Keys(namespace).of_flow(flow_uuid_of(run_id, namespace))

    def get(self, field):
        """Return a field of the flow's hash."""
        return self.admin.hget(self.keys.flow, field)

    def states(self):
        """Return the states of its atoms."""
        uuids = [uuid for uuid in self.admin.hvals(self.keys.atoms) if uuid]
        return [self.admin.hget(self.keys.atom(uuid), "state") for uuid in uuids]

    def running(self):
        """Return how many of its atoms are running."""
        return self.states().count("RUNNING")

    def workers(self):
        """Return the ids of its workers."""
        return [
            each for each in self.admin.zrange(self.keys.workers, 0, -1) if ":" in each
        ]


@pytest.fixture
def r1(admin, namespace):
    """Look at the flow whose run id is r1."""
    return Run(admin, namespace, "r1")


@pytest.fixture
def gate(folder):
    """Name the file that lets gated atoms go on once it exists."""
    return folder / "open"


@pytest.fixture
def cli(folder, environment):
    """Run the program to its end."""

    def run(*arguments, **more):
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            cwd=folder,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


@pytest.fixture
def started(folder, environment):
    """Start the program, and end it with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **more):
            process = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
            )
            stack.callback(_end, process)
            return process

        yield start


def _end(process):
    """End a program that a failed test has left, and its workers."""
    for _ in range(2):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def _one_line(done):
    """Return the one line that an error is."""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("redisflow: ")
    assert done.stdout == ""
    return lines[0]


# Running


def test_results_go_to_stdout_and_all_else_to_stderr(cli):
    """Results stand alone on stdout; the run id comes first on stderr; no codes."""
    done = cli("run", "flows.py", "-w", 2, "--store", "x=2", "--run-id", "r1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "total = 3\ntags = (1, {2})\n"
    assert done.stderr.startswith("redisflow: run r1: flow sum, 2 workers\n")
    assert "adding 2 1" in done.stderr
    assert re.search(r"add SUCCESS after ", done.stderr)
    assert "run r1: SUCCESS after" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_json_is_one_document_with_tagged_values(cli):
    """With -o json stdout is one document; what JSON lacks is tagged."""
    done = cli("run", "flows:factory", "-w", 1, "--store", 'x="2"', "--store", 'y="3"')
    assert done.returncode == 0, done.stderr
    done = cli("run", "flows:factory", "-w", 1, "--store", "x=2", "-o", "json")
    document = json.loads(done.stdout)
    assert document["state"] == "SUCCESS"
    assert document["results"] == {
        "total": 3,
        "tags": {"$tuple": [1, {"$set": [2]}]},
    }
    assert document["store"] == {"x": 2}
    assert document["flow_uuid"]
    assert f"run {document['run_id']}: " in done.stderr


@pytest.mark.slow
def test_an_ended_run_is_started_again_only_on_request(cli, r1):
    """The same run id gives the same outcome; --rerun starts the next run."""
    order = ("run", "flows.py", "-w", 1, "--store", "x=2", "--run-id", "r1")
    first, again = cli(*order), cli(*order)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert "has ended before; --rerun" in again.stderr
    assert r1.get("run") == "1"
    anew = cli(*order, "--rerun")
    assert anew.returncode == 0
    assert r1.get("run") == "2"
    assert "nothing was left to do: all atoms are done" in anew.stderr
    assert "nothing was left" not in first.stderr + again.stderr


@pytest.mark.slow
def test_a_rerun_that_had_something_to_do(cli, folder):
    """It is not said to have done nothing."""
    order = ("run", "flows.py:choosy", "-w", 1, "--run-id", "r1")
    assert cli(*order).returncode == 1
    (folder / "fine").touch()
    anew = cli(*order, "--rerun")
    assert anew.returncode == 0
    assert "nothing was left" not in anew.stderr


def test_a_failed_flow_ends_with_1(cli):
    """A failure is told in a line with its place; the JSON has its traceback."""
    order = ("run", "flows.py:failing", "-w", 1, "--run-id", "r1")
    done = cli(*order)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.search(
        r"^redisflow: break: OSError: the disk is full \(.*flows\.py:\d+\)$",
        done.stderr,
        re.MULTILINE,
    )
    again = cli(*order, "-o", "json")
    assert again.returncode == 1
    document = json.loads(again.stdout)
    assert document["state"] == "REVERTED"
    (failure,) = document["failures"]
    assert failure["atom"] == "break"
    assert "in execute\n" in failure["traceback"]


def test_a_result_that_cannot_be_stored_fails_its_task(cli):
    """The path in the value and the type found there are told; the flow reverts."""
    done = cli("run", "flows.py:odd", "-w", 1)
    assert done.returncode == 1
    (line,) = [each for each in done.stderr.splitlines() if "ValueRefused" in each]
    assert "$['hosts'][0]" in line
    assert "object" in line
    assert "REVERTED" in done.stderr


@pytest.mark.slow
def test_threads_run_tasks_side_by_side(cli, started, r1, gate):
    """One worker with threads has several atoms running at a time."""
    process = started(
        *("run", "flows.py:gated", "-w", 1, "--threads", 4),
        *("--store", f"gate={gate}", "--run-id", "r1"),
    )
    eventually(lambda: r1.running() == 4, SOON_S)
    gate.touch()
    assert process.wait(60) == 0


# Suspending


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_suspends_and_the_same_command_resumes(cli, started, number, r1, gate):
    """Workers finish their atoms, status 3 says so, and the rest is done later."""
    order = ("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}")
    process = started(*order, "--run-id", "r1")
    eventually(lambda: r1.running() == 2, SOON_S)
    process.send_signal(number)
    eventually(lambda: r1.get("state") == "SUSPENDING", SOON_S)
    gate.touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    shown = cli("tail", "r1", "-f", "no", "-o", "jsonl").stdout
    (act,) = [entry for entry in map(json.loads, shown.splitlines()) if "act" in entry]
    assert act["reason"] == f"interrupted by {signal.Signals(number).name}"
    assert b"the same command resumes it" in stderr
    states = r1.states()
    assert states.count("PENDING") == 3
    done = cli(*order, "--run-id", "r1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tags = (1, {2})\n"


def test_processes_that_a_task_forks_can_be_ended(cli):
    """Signals end them as they would anywhere: the handlers are their parent's."""
    done = cli("run", "flows.py:forks", "-w", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sum = 3\n"


def test_a_signal_before_the_run_is_on_is_not_lost(cli, started, r1, gate):
    """The workers are told once they have begun, or are not started at all.

    Before the command listens to signals it is ended by one, like any other.
    """
    order = ("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}")
    process = started(*order, "--run-id", "r1")
    eventually(lambda: r1.get("uuid") is not None, SOON_S)
    process.send_signal(signal.SIGINT)
    eventually(
        lambda: r1.get("state") == "SUSPENDING" or process.poll() is not None, SOON_S
    )
    gate.touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in {3, 130}, stderr
    assert r1.get("state") != "SUCCESS"
    done = cli(*order, "--run-id", "r1")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_second_signal_kills_the_workers(cli, started, r1, gate):
    """Nothing waits for atoms that do not end; a later run takes them up again."""
    order = ("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}")
    process = started(*order, "--run-id", "r1")
    eventually(lambda: r1.running() == 2, SOON_S)
    process.send_signal(signal.SIGINT)
    eventually(lambda: r1.get("state") == "SUSPENDING", SOON_S)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert b"the workers were killed" in stderr
    gate.touch()
    done = cli(*order, "--run-id", "r1")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_dead_worker_is_replaced_and_named(started, r1, gate):
    """The flow ends in success although a worker was killed; the end says which."""
    process = started(
        *("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}"),
        *("--run-id", "r1", "-o", "json"),
    )
    eventually(lambda: r1.running() == 2, SOON_S)
    victim = r1.workers()[0]
    os.kill(int(victim.split(":")[1]), signal.SIGKILL)
    eventually(lambda: victim not in r1.workers(), SOON_S)
    gate.touch()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["dead_workers"] == [f"{victim} was killed by signal 9"]
    assert f"worker {victim} was killed by signal 9".encode() in stderr


@pytest.mark.slow
def test_nobody_takes_the_place_of_one_that_dies_while_suspending(
    cli, started, r1, gate
):
    """Somebody else has suspended the flow: it ends so, and nothing more is done."""
    order = ("run", "flows.py:gated", "-w", 1, "--store", f"gate={gate}")
    process = started(*order, "--run-id", "r1")
    eventually(lambda: r1.running() == 1, SOON_S)
    assert cli("suspend", "r1").returncode == 0
    (victim,) = r1.workers()
    os.kill(int(victim.split(":")[1]), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    assert r1.get("state") == "SUSPENDED"
    assert r1.states().count("PENDING") == 4
    gate.touch()
    done = cli(*order, "--run-id", "r1")
    assert done.returncode == 0, done.stderr


# Terminals


def _on_terminal(started, *arguments):
    """Start the program with standard error on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with contextlib.suppress(OSError):
        os.set_blocking(ours, False)
    process = started(*arguments, stderr=theirs)
    os.close(theirs)
    return process, ours


def _screen(terminal, seen):
    """Add to ``seen`` what has been written to a terminal; returns all of it."""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 1 << 16):
            seen += data
    return bytes(seen)


@pytest.mark.slow
def test_a_terminal_shows_a_picture_that_moves(started, gate):
    """On a terminal running atoms are drawn with worker and time, and then go."""
    seen = bytearray()
    order = ("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}")
    process, terminal = _on_terminal(started, *order, "--run-id", "r1")
    eventually(lambda: b"gate-1" in _screen(terminal, seen), SOON_S)
    assert re.search(rb"0/5 +[\d.]+m?s", _screen(terminal, seen))
    assert b"\x1b[" in seen
    gate.touch()
    eventually(lambda: _screen(terminal, seen) and process.poll() is not None, SOON_S)
    os.close(terminal)
    stdout, _ = process.communicate()
    assert process.returncode == 0
    assert stdout == b"tags = (1, {2})\n"


# Showing


@pytest.fixture
def done_run(cli):
    """Run a flow that fails, named r1."""
    assert cli("run", "flows.py:failing", "-w", 1, "--run-id", "r1").returncode == 1


@pytest.mark.slow
def test_show_finds_a_flow_by_run_id_uuid_and_prefix(cli, namespace, done_run):
    """All three ways to name a flow show the same."""
    uuid = flow_uuid_of("r1", namespace)
    shown = [cli("show", name, "-o", "json") for name in ("r1", uuid, uuid[:8])]
    assert [each.returncode for each in shown] == [0, 0, 0]
    for each in shown:
        document = json.loads(each.stdout)
        assert (document["run_id"], document["flow_uuid"]) == ("r1", uuid)
        assert document["state"] == "REVERTED"
        tags, broken = document["atoms"]
        assert (tags["name"], tags["state"]) == ("tags", "REVERTED")
        assert tags["time_s"] >= 0
        assert broken["failure"]["message"] == "the disk is full"


def test_show_prints_header_table_and_failures(cli, done_run):
    """The text for a person has the flow, a row per atom and a line per failure."""
    done = cli("show", "r1")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("flow failing  REVERTED  run 1  rev ")
    assert lines[2] == "no worker is alive"
    assert lines[3] == "2 atoms  REVERTED 2"
    assert lines[5].split()[:3] == ["ATOM", "TYPE", "STATE"]
    assert lines[6].split()[:3] == ["tags", "task", "REVERTED"]
    assert lines[-1].startswith("break: OSError: the disk is full (")
    assert "\x1b" not in done.stdout


@pytest.mark.slow
def test_show_tells_who_runs_what_and_what_waits(cli, started, r1, gate):
    """A running flow shows its workers' leases, owners, and what is waited for."""
    order = ("run", "flows.py:gated", "-w", 2, "--store", f"gate={gate}")
    process = started(*order, "--run-id", "r1")
    eventually(lambda: r1.running() == 2, SOON_S)
    document = json.loads(cli("show", "r1", "-o", "json").stdout)
    atoms = {atom["name"]: atom for atom in document["atoms"]}
    workers = {worker["worker"] for worker in document["workers"]}
    assert len(workers) == 2
    assert all(0 < each["lease_left_s"] <= 15 for each in document["workers"])
    running = [atom for atom in atoms.values() if atom["state"] == "RUNNING"]
    assert {atom["owner"] for atom in running} == workers
    assert atoms["tags"]["waits_for"] == [f"gate-{i}" for i in range(4)]
    gate.touch()
    assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [("nobody", "no flow with run id or uuid 'nobody'"), ("abc", "'abc'")],
)
def test_show_of_what_does_not_exist(cli, name, says):
    """An unknown name is a usage error, and nothing is written."""
    done = cli("show", name)
    assert done.returncode == 2
    assert says in _one_line(done)


def test_show_refuses_an_ambiguous_beginning(cli, admin, namespace):
    """Several uuids with one beginning are named instead of guessed at."""
    uuids = [f"abcd{i}000-0000-5000-8000-000000000000" for i in range(2)]
    for uuid in uuids:
        admin.zadd(Keys(namespace).flows, {uuid: 1})
        admin.hset(Keys(namespace).of_flow(uuid).flow, "uuid", uuid)
    done = cli("show", "abcd")
    assert done.returncode == 2
    line = _one_line(done)
    assert all(uuid in line for uuid in uuids)


# Mistakes

RUN = ("run", "flows.py", "--store", "x=1")
USAGE = [
    (("run", "nothing.py"), "there is no file"),
    (("run", "no_such_module"), "there is no module 'no_such_module'"),
    (("run", "flows.py:nobody"), "has no 'nobody'"),
    (("run", "flows.py:number"), "returned a int, not a flow"),
    (("run", "flows.py:raises"), r"raised KeyError: 'no such host' \(.*flows.py:\d+\)"),
    (("run", "flows.py:leaves"), "raised SystemExit: 0"),
    ((*RUN, "--arg", "colour=red"), "unexpected keyword argument 'colour'"),
    (("run", "flows.py"), "argument 'x' of atom 'add': give it with --store x=VALUE"),
    (("run", "flows.py:twins"), r"duplicate names found: \['a'"),
    ((*RUN, "--arg", "x"), "--arg has no name: write it as NAME=VALUE"),
    ((*RUN, "--store", "x=2"), "--store 'x' is given twice"),
    (("run", "flows.py", "--store", f"x={'[' * 300}{']' * 300}"), "--store 'x': "),
    ((*RUN, "--workers", "0"), "workers is at least 1, not 0"),
    ((*RUN, "--workers", "many"), "Invalid value for '--workers'"),
    ((*RUN, "--threads", "0"), "Invalid value for '--threads'"),
    ((*RUN, "--lease-s", "0"), "lease_s is at least"),
    ((*RUN, "--run-id", ""), "a run id has 1 to 200 printable characters"),
    ((*RUN, "--url", "http://me:secret@h"), "URL scheme 'http' is not one of"),
    ((*RUN, "--colour"), "No such option: --colour"),
    (("run",), "Missing argument 'FACTORY'"),
    (("walk",), "No such command 'walk'"),
]


@pytest.mark.parametrize(("arguments", "says"), USAGE)
def test_mistakes_in_the_command(cli, admin, arguments, says):
    """Each is one line with status 2, and nothing is written on the server."""
    done = cli(*arguments)
    line = _one_line(done)
    assert done.returncode == 2, line
    assert re.search(says, line), line
    assert "secret" not in line
    assert admin.dbsize() == 0


def test_a_server_that_cannot_be_used(cli, server, admin):
    """Not there, wrong password, TLS to a plain port: one line, status 4."""
    place = server.url.removeprefix("redis://")
    for url, says in (
        ("redis://127.0.0.1:1?deadline_s=0.3", "127.0.0.1:1 cannot be used"),
        (f"redis://me:s3cret@{place}?deadline_s=1", "refused: "),
        (f"rediss://{place}?deadline_s=1", "without TLS it is redis://"),
    ):
        done = cli(*RUN, "--url", url)
        line = _one_line(done)
        assert done.returncode == 4, line
        assert says in line
        assert "s3cret" not in line
    assert admin.dbsize() == 0


def test_a_server_that_evicts_is_refused(cli, admin):
    """A maxmemory-policy that throws keys away is named, and nothing written."""
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        done = cli(*RUN)
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    assert done.returncode == 4
    assert "maxmemory-policy allkeys-lru" in _one_line(done)
    assert admin.dbsize() == 0


class Old(Proxy):
    """A proxy that makes a server older than it is."""

    def reply(self, reply):
        """Change the digit that tells the major version, and no length."""
        return re.sub(rb"(valkey_version|redis_version):\d\.", rb"\1:6.", reply)


def test_a_server_that_is_too_old_is_refused(cli, admin, server, namespace):
    """Its version and the oldest one that will do are named, and nothing written."""
    with Old(server.port) as old:
        url = f"redis://127.0.0.1:{old.port}/0?namespace={namespace}"
        done = cli(*RUN, "--url", url)
    assert done.returncode == 4
    line = _one_line(done)
    assert re.search(rf"127\.0\.0\.1:{old.port} is {server.kind} 6\.\d", line), line
    assert "oldest" in line
    assert admin.dbsize() == 0


@pytest.mark.slow
def test_joining_with_another_structure_is_refused(cli, started, r1, gate):
    """While workers live, another structure or another value ends with status 5."""
    order = ("run", "flows.py:gated", "-w", 1, "--run-id", "r1")
    process = started(*order, "--store", f"gate={gate}")
    eventually(lambda: r1.running() == 1, SOON_S)
    other = cli(*order, "--arg", "n=2")
    assert other.returncode == 5, other.stderr
    last = other.stderr.splitlines()[-1]
    assert "with another structure or other options" in last
    assert "Traceback" not in other.stderr
    value = cli(*order, "--store", "gate=elsewhere")
    assert value.returncode == 5, value.stderr
    assert "runs with another value for 'gate'" in _one_line(value)
    gate.touch()
    assert process.wait(60) == 0


def test_debug_adds_the_traceback(cli):
    """REDISFLOW_DEBUG=1 shows where an error came from."""
    done = cli("run", "nothing.py", REDISFLOW_DEBUG="1")
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("redisflow: there is no file")


# The rest


@pytest.mark.slow
def test_help_has_examples_and_defaults(cli):
    """--help shows examples, defaults and the exit statuses; --version a version."""
    text = cli("run", "--help").stdout
    assert "redisflow run pipeline.py --workers 8" in text
    assert "[default: 4]" in text
    assert "3 suspended" in text
    assert cli("--version").stdout.startswith("redisflow ")


@pytest.mark.parametrize("missing", ["typer", "rich"])
@pytest.mark.parametrize("word", ["--help", "ls"])
def test_without_the_extra_it_says_what_to_install(environment, missing, word):
    """Without one of what it brings the program ends with one clear line."""
    code = (
        f"import sys; sys.modules['{missing}'] = None;"
        " import redisflow.cli as c; c.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, word],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "install 'redisflow[cli]'" in _one_line(done)


@pytest.mark.slow
def test_server_in_the_foreground(cli, started):
    """It can be looked at, ended, and is the one that commands use without a URL."""
    assert cli("server", "status").returncode == 4
    process = started("server")
    status = eventually(
        lambda: (found := cli("server", "status", "-o", "json")).stdout and found,
        SOON_S,
    )
    document = json.loads(status.stdout)
    socket = cli("server", "status", "--socket").stdout
    assert socket == f"{document['socket_path']}\n"
    human = cli("server", "status").stdout
    assert f"socket path  {document['socket_path']}\n" in human
    again = cli("server")
    assert again.returncode == 5
    assert "already runs" in again.stderr
    assert json.loads(cli("server", "stop", "-o", "json").stdout) == {"ended": True}
    assert process.wait(30) == 0
