"""TaskFlow's own engine suites over `SharedEngine`, serial and with threads.

The suites come from TaskFlow's wheel; nothing of them is copied. Each of their tests
is one test here, on each server and with each executor, and with ``claim_all``, since
TaskFlow starts everything that is ready at once.
"""

from __future__ import annotations

import contextlib
import inspect
import unittest

import pytest
from taskflow import engines, test
from taskflow.tests import utils
from taskflow.tests.unit import (
    test_arguments_passing,
    test_engines,
    test_retries,
    test_suspend,
)

from redisflow import RedisBackend, SharedEngine
from tests.support.installed import announce_plugins

pytestmark = [
    pytest.mark.one_server,
    pytest.mark.conformance,
    pytest.mark.filterwarnings("default"),  # these are TaskFlow's tests
]

SUITES = [
    test_engines.EngineTaskNotificationsTest,
    test_engines.EngineTaskTest,
    test_engines.EngineOptionalRequirementsTest,
    test_engines.EngineMultipleResultsTest,
    test_engines.EngineLinearFlowTest,
    test_engines.EngineParallelFlowTest,
    test_engines.EngineLinearAndUnorderedExceptionsTest,
    test_engines.EngineGraphFlowTest,
    test_engines.EngineMissingDepsTest,
    test_engines.EngineResetTests,
    test_engines.EngineCheckingTaskTest,
    test_engines.EngineGraphConditionalFlowTest,
    test_engines.EngineDeciderDepthTest,
    test_retries.RetryTest,
    test_retries.RetryParallelExecutionTest,
    test_suspend.SuspendTest,
    test_arguments_passing.ArgumentsPassingTest,
]

#: Tests that sleep for most of their time.
SLOW = ["test_restart_reverted_unordered_flows_with_retries"]

#: Suites that TaskFlow itself runs with its parallel engines only: their tasks wait for
#: each other.
PARALLEL_ONLY = [test_retries.RetryParallelExecutionTest]


def _cases():
    """Give each test of each suite, with each executor that it is for."""
    for suite in SUITES:
        for name, _ in inspect.getmembers(suite, inspect.isfunction):
            if not name.startswith("test_"):
                continue
            for executor in ("serial", "threads"):
                if executor == "serial" and suite in PARALLEL_ONLY:
                    continue
                case = f"{suite.__name__}-{name}-{executor}"
                marks = [pytest.mark.slow] if name in SLOW else []
                yield pytest.param(suite, name, executor, id=case, marks=marks)


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the engine."""
    announce_plugins()


@pytest.mark.parametrize(("suite", "name", "executor"), list(_cases()))
def test_taskflow(suite, name, executor, url):
    """What TaskFlow expects of its own engines holds for ours."""

    class Case(suite, test.TestCase):
        def setUp(self):
            super().setUp()
            self.backend = RedisBackend.from_url(url)
            self.addCleanup(self.backend.close)

        def tearDown(self):
            utils.EngineTestBase.values = None
            test.TestCase.tearDown(self)

        def _make_engine(self, flow, flow_detail=None, store=None, **options):
            return engines.load(
                flow,
                flow_detail=flow_detail,
                store=store,
                backend=self.backend,
                engine="redisflow",
                **{"executor": executor, "max_workers": 2, **options},
                claim_all=True,
            )

    result = unittest.TestResult()
    Case(name).run(result)
    for _, text in [*result.failures, *result.errors]:
        pytest.fail(text, pytrace=False)
    assert (result.testsRun, result.skipped) == (1, [])


def test_a_given_executor_can_be_shared(url):
    """Two engines take the executor that they are given, as TaskFlow's do."""
    with (
        contextlib.closing(RedisBackend.from_url(url)) as backend,
        test_engines.futurist.ThreadPoolExecutor(2) as executor,
    ):
        options = {"backend": backend, "engine": "redisflow", "executor": executor}
        task = utils.TaskNoRequiresNoReturns(name="task")
        first, second = (engines.load(task, **options) for _ in range(2))
        assert isinstance(first, SharedEngine)
        assert first.options["executor"] is second.options["executor"]
        first.run()
        second.run()
