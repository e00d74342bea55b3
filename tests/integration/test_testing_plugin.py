"""`redisflow.testing` and its fixtures, as the tests of a user have them."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from taskflow import task
from taskflow.patterns import linear_flow, unordered_flow

from redisflow.errors import ConfigError, ValueRefused
from redisflow.observing import Observer, add
from redisflow.testing import (
    Death,
    check_executed_once,
    check_order,
    check_round_trip,
    run_to_completion,
)
from tests.support.eventually import eventually

pytest_plugins = ["pytester"]

#: Each starts processes of its own, and does not care which server they talk to.
pytestmark = [pytest.mark.one_server, pytest.mark.slow]

USERS_TESTS = """
import redisflow
from redisflow.testing import check_executed_once
from taskflow import task
from taskflow.patterns import linear_flow

class Good(task.Task):
    def execute(self):
        return 1

def make_flow():
    return linear_flow.Flow("f").add(Good("a"), Good("b"))

def test_runs(redisflow_run):
    done = redisflow_run(make_flow)
    assert done.outcome == "SUCCESS"
    check_executed_once(done, "a", "b")

def test_is_alone(redisflow_backend, redisflow_namespace):
    assert redisflow_backend.keys.namespace == redisflow_namespace
    keys = redisflow_backend.client.execute("KEYS", "*")
    assert keys == []

def test_gives_no_url(redisflow_env, redisflow_backend):
    redisflow.run(make_flow, workers=1)
    books = redisflow_backend.get_connection().get_logbooks()
    assert len(list(books)) == 1

def test_says_where(redisflow_url, redisflow_server, pytestconfig):
    assert redisflow_url.startswith(redisflow_server.url)
    with open(pytestconfig.rootpath / f"url-{redisflow_server.url[-14:-7]}", "w") as f:
        f.write(redisflow_server.url)
"""

OTHER_TESTS = """
import sys

def test_of_something_else():
    assert "taskflow" not in sys.modules
    assert [name for name in sys.modules if name.startswith("redisflow.")] == [
        "redisflow.pytest_plugin"
    ]
"""


class Step(task.Task):
    """Returns its name."""

    def execute(self):
        """Return it."""
        return self.name


class Fail(task.Task):
    """Fails."""

    def execute(self):
        """Raise."""
        raise OSError("the disk is full")


def three():
    """Make a flow of three steps in line."""
    return linear_flow.Flow("three").add(*(Step(name) for name in "abc"))


def failing():
    """Make a flow that is reverted."""
    return linear_flow.Flow("failing").add(Step("a"), Fail("bad"))


def endless():
    """Make a flow that waits for what does not come."""
    return linear_flow.Flow("endless").add(Wait("wait"))


class Wait(task.Task):
    """Does not end."""

    def execute(self):
        """Wait for a signal."""
        signal.pause()


@pytest.mark.parametrize("workers", ["", "2"])
def test_fixtures_serve_a_users_tests(pytester, workers):
    """Found by themselves, also by several processes, and nothing is left over."""
    pytester.makepyfile(test_users=USERS_TESTS)
    parallel = ["-n", workers] if workers else ["-p", "no:xdist"]
    done = pytester.runpytest_subprocess("-p", "no:valkey", *parallel)

    done.assert_outcomes(passed=4)
    (note,) = pytester.path.glob("url-*")
    socket = note.read_text().removeprefix("unix://")
    assert not os.path.exists(os.path.dirname(socket))  # noqa: PTH110, PTH120


def test_tests_of_other_things_are_left_alone(pytester):
    """They meet no warning of TaskFlow's, and wait for no import of it."""
    pytester.makepyfile(test_other=OTHER_TESTS)
    done = pytester.runpytest_subprocess(
        "-p", "no:valkey", "-o", "filterwarnings=error"
    )

    done.assert_outcomes(passed=1)


def test_the_rest_needs_no_pytest():
    """Servers, runs and checks are there without it."""
    program = "import sys, redisflow.testing; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_server_ends_with_its_process(tmp_path):
    """Even if that is killed."""
    program = """
import sys
from redisflow.testing import ThrowAwayServer
server = ThrowAwayServer()
print(server.url, flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        socket = process.stdout.readline().strip().removeprefix("unix://")
        assert os.path.exists(socket)  # noqa: PTH110
        process.kill()

    eventually(lambda: not os.path.exists(socket))  # noqa: PTH110


def test_threads_with_engines_of_their_own(url):
    """They share the flow; all that is to be known of the run comes back."""
    done = run_to_completion(three, url=url, workers=3, store={"x": 1})

    assert done.outcome == "SUCCESS"
    assert done.results == {"x": 1}
    assert done.error is None
    assert done.deaths == 0
    check_order(done, "a", "b", "c")
    check_executed_once(done)


def test_what_made_a_run_fail_comes_back(url):
    """With the order in which its atoms were reverted."""
    done = run_to_completion(failing, url=url)

    assert done.outcome == "REVERTED"
    assert isinstance(done.error, OSError) or "the disk is full" in str(done.error)
    check_order(done, "bad", "a", state="REVERTED")


@pytest.mark.parametrize(
    ("moment", "executions"),
    [
        ("before execute", 2),
        ("after execute", 2),
        ("after record", 1),
    ],
)
def test_a_worker_dies_where_it_is_told_to(url, moment, executions):
    """What it had not recorded is done once more, by another."""
    done = run_to_completion(three, url=url, workers=1, die_at=Death("b", moment))

    assert done.outcome == "SUCCESS"
    assert done.deaths == 1
    assert done.executions_of("b") == executions
    check_executed_once(done, "a")
    if executions > 1:
        with pytest.raises(AssertionError, match="'b': 2"):
            check_executed_once(done)


def test_an_atom_that_costs_too_many_workers(url):
    """Deaths may happen as often as it takes."""
    done = run_to_completion(
        failing_never, url=url, die_at=Death("a", times=2), max_attempts=2
    )

    assert done.outcome == "REVERTED"
    assert done.deaths == 2
    assert "has cost 2 workers" in str(done.error)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (
            {"moment": "ahead of execute"},
            "moment is one of before execute, after execute",
        ),
        ({"kind": "executed"}, "kind is one of execute, revert, retry"),
        ({"times": 0}, "times is at least 1, not 0"),
    ],
)
def test_deaths_that_would_never_happen(wanted, why):
    """They are refused, as a test that waits for them would prove nothing."""
    with pytest.raises(ConfigError, match=why):
        Death("a", **wanted)


@pytest.mark.parametrize(
    ("mistaken", "why"),
    [
        ({"die_at": "d"}, "atom='d'.*flow 'three' has no such atom"),
        ({"dies_at": "a"}, "dies_at is no option of an engine"),
        ({"die": "a", "processes": True}, "die is no option of an engine"),
        ({"workers": 0}, "workers is at least 1, not 0"),
    ],
)
def test_mistaken_runs_are_refused(url, mistaken, why):
    """What was meant to happen in them would not."""
    with pytest.raises(ConfigError, match=why):
        run_to_completion(three, url=url, **mistaken)


def test_a_death_that_does_not_happen(url):
    """The test fails: it has not met its fault."""
    with pytest.raises(AssertionError, match=r"atom='a'.*'revert'.*happened 0 times"):
        run_to_completion(three, url=url, die_at=Death("a", kind="revert"))


def named(first, *, second):
    """Make a flow of two steps that have these names."""
    return linear_flow.Flow("named").add(Step(first), Step(second))


@pytest.mark.parametrize("options", [{}, {"processes": True}, {"die_at": "x"}], ids=str)
def test_a_factory_with_arguments(url, options):
    """They reach it, whoever calls it."""
    done = run_to_completion(
        named, url=url, factory_args=["x"], factory_kwargs={"second": "y"}, **options
    )

    assert done.came_to("SUCCESS") == ["x", "y"]


@pytest.mark.parametrize("processes", [False, True])
def test_a_run_that_is_run_again(url, processes):
    """What has ended is left as it is, or started once more."""
    options = {"url": url, "run_id": "r", "processes": processes}
    first = run_to_completion(failing, **options)
    same = run_to_completion(failing, **options)
    again = run_to_completion(failing, rerun=True, **options)

    assert {done.outcome for done in (first, same, again)} == {"REVERTED"}
    assert [done.executions_of("a") for done in (first, same, again)] == [1, 1, 2]


def observe():
    """Have it noted in a file when work begins."""
    add(Noting())


class Noting(Observer):
    """Notes what begins."""

    def began(self, work):
        """Note it."""
        with Path(os.environ["NOTES"]).open("a") as notes:
            notes.write(f"{work.atom}\n")


def test_the_users_observers_are_told_in_spite_of_deaths(url, tmp_path, monkeypatch):
    """Those that the environment names see what there is without the deaths, too."""
    monkeypatch.setenv("REDISFLOW_OBSERVER", f"{__name__}:observe")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    run_to_completion(three, url=url, workers=1, die_at="b")

    assert (tmp_path / "notes").read_text().split() == ["a", "b", "b", "c"]


def failing_never():
    """Make a flow of one step."""
    return unordered_flow.Flow("one").add(Step("a"))


def test_processes_without_a_death(url):
    """Workers may be processes all the same."""
    done = run_to_completion(three, url=url, processes=True)

    assert (done.outcome, done.deaths) == ("SUCCESS", 0)


def test_a_run_that_does_not_end(url):
    """It is given up, and its processes are ended."""
    with pytest.raises(TimeoutError, match="has not ended in time"):
        run_to_completion(endless, url=url, processes=True, timeout_s=3)


def test_checks_of_runs_can_fail(url):
    """They say what was wanted, and what there was."""
    done = run_to_completion(three, url=url)

    with pytest.raises(AssertionError, match="'a' did not come to SUCCESS in its turn"):
        check_order(done, "b", "a")
    with pytest.raises(AssertionError, match="'d': 0"):
        check_executed_once(done, "d")


def test_values_that_come_back_and_those_that_do_not():
    """Equal, and of the same type, or refused."""
    for value in (None, (1, [2.5, {"x"}]), {"a": b"\x00"}, math.nan, 2**80):
        check_round_trip(value)
    with pytest.raises(ValueRefused):
        check_round_trip(object())
