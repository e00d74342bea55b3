"""TaskFlow's own engines on `RedisBackend`: their suites, with our backend beneath.

Nothing but the backend is ours here: the engines, their storage and the suites come
from TaskFlow's wheel, so one kind of server is enough. A few tests of the serial engine
are in the default run; the whole is slow, as TaskFlow's parallel engine is in its own
tests.
"""

from __future__ import annotations

import inspect
import unittest

import pytest
from taskflow.tests.unit import (
    test_arguments_passing,
    test_engines,
    test_retries,
    test_suspend,
)

from redisflow import RedisBackend
from tests.support.servers import ONE_KIND_IS_ENOUGH

pytestmark = [
    ONE_KIND_IS_ENOUGH,
    pytest.mark.conformance,
    pytest.mark.filterwarnings("default"),  # these are TaskFlow's tests
]

ENGINES = [
    test_engines.SerialEngineTest,
    test_engines.ParallelEngineWithThreadsTest,
    test_engines.WorkerBasedEngineTest,
    test_retries.SerialEngineTest,
    test_retries.ParallelEngineWithThreadsTest,
    test_suspend.SerialEngineTest,
    test_suspend.ParallelEngineWithThreadsTest,
    test_arguments_passing.SerialEngineTest,
    test_arguments_passing.ParallelEngineWithThreadsTest,
]

#: Those that the default run has: every kind of state, result and retry history.
QUICK = {
    "test_graph_flow_four_tasks_revert",
    "test_run_task_with_flow_notifications",
    "test_sequential_flow_two_tasks_with_resumption",
    "test_suspended_reset_run_again",
    "test_states_retry_failure_parent_flow_fails",
    "test_nested_flow_with_retry_revert",
    "test_resume_flow_that_had_been_interrupted_during_retrying",
    "test_suspend_linear_flow_on_revert",
    "test_save_dict",
}

QUICK_PARALLEL = {
    ("ParallelEngineWithThreadsTest", "test_run_task_with_flow_notifications"),
}

#: It loads an engine without any backend.
_WITHOUT_BACKEND = {"test_singlethreaded_is_the_default"}


def _cases():
    """Give each test of each suite."""
    for suite in ENGINES:
        for name, _ in inspect.getmembers(suite, inspect.isfunction):
            if not name.startswith("test_") or name in _WITHOUT_BACKEND:
                continue
            quick = name in QUICK and suite.__name__ == "SerialEngineTest"
            quick = quick or (suite.__name__, name) in QUICK_PARALLEL
            marks = [] if quick else [pytest.mark.slow]
            subject = suite.__module__.rpartition(".test_")[2]
            case = f"{subject}-{suite.__name__}-{name}"
            yield pytest.param(suite, name, marks=marks, id=case)


@pytest.mark.parametrize(("suite", "name"), list(_cases()))
def test_taskflow(suite, name, url):
    """What TaskFlow expects of its engines holds for them on our backend."""

    class Case(suite):
        def setUp(self):
            super().setUp()
            self.backend = RedisBackend.from_url(url)
            self.addCleanup(self.backend.close)

    result = unittest.TestResult()
    Case(name).run(result)
    for _, text in [*result.failures, *result.errors]:
        pytest.fail(text, pytrace=False)
    assert result.testsRun == 1
    if result.skipped:
        pytest.skip(result.skipped[0][1])
