"""`redisflow.testing` and its fixtures, as the tests of a user have them."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import pytest
from taskflow import task
from taskflow.patterns import linear_flow, unordered_flow

from redisflow.errors import ValueRefused
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

    done.assert_outcomes(passed=3)
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
        ("before record", 2),
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
