"""TaskFlow's suites of what makes engines: progress, listeners, conductors, functors.

They come from TaskFlow's wheel; nothing of them is copied. Where a test makes an engine
it gets ours, and where it names a memory backend it gets `RedisBackend`. TaskFlow runs
those that need a job board with ZooKeeper; here it is TaskFlow's own board on Redis.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import unittest
import unittest.mock

import pytest
from taskflow import engines
from taskflow.conductors import backends as conductors
from taskflow.jobs.backends import impl_redis
from taskflow.jobs.base import REMOVAL
from taskflow.tests import utils
from taskflow.tests.unit import (
    test_engine_helpers,
    test_formatters,
    test_functor_task,
    test_mapfunctor_task,
    test_progress,
    test_reducefunctor_task,
)
from taskflow.tests.unit.action_engine import test_compile
from taskflow.types import notifier

from redisflow import RedisBackend, SharedEngine
from redisflow.config import parse_url
from tests.support.engine_shim import installed

# When they are imported these look for a ZooKeeper, for half a minute.
with unittest.mock.patch.object(utils, "zookeeper_available", return_value=False):
    from taskflow.tests.unit import test_conductors, test_listeners

pytestmark = [
    pytest.mark.one_server,
    pytest.mark.conformance,
    pytest.mark.filterwarnings("default"),  # these are TaskFlow's tests
]

SUITES = [
    test_progress.TestProgress,
    test_listeners.TestClaimListener,
    test_listeners.TestDurationListener,
    test_listeners.TestEventTimeListener,
    test_listeners.TestCapturingListeners,
    test_listeners.TestLoggingListeners,
    test_conductors.ManyConductorTest,
    test_conductors.NonBlockingExecutorTest,
    test_engine_helpers.EngineLoadingTestCase,
    test_engine_helpers.LoadFromFactoryTestCase,
    test_formatters.FormattersTest,
    test_functor_task.FunctorTaskTest,
    test_mapfunctor_task.MapFunctorTaskTest,
    test_reducefunctor_task.ReduceFunctorTaskTest,
    test_compile.PatternCompileTest,
]

#: A conductor's tests wait for seconds: those of them that the default run has.
QUICK = {"ManyConductorTest-test_job_store-blocking"}


class Board(impl_redis.RedisJobBoard):
    """TaskFlow's board on Redis, which tells of jobs that are done as others do."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.notifier = notifier.Notifier()

    def find_owner(self, job):
        """Name who has claimed a job; None if nobody has, as other boards say."""
        claimed = self._client.exists(job.owner_key)
        return super().find_owner(job) if claimed else None

    def consume(self, job, who):
        """Remove a job that is done, and tell of it."""
        super().consume(job, who)
        self.notifier.notify(REMOVAL, {"job": job})


def _board(case):
    """Make a board on the test's server and in its namespace."""
    config = parse_url(case.url)
    ((host, port),) = config.hosts
    conf = {"host": host, "port": port, "namespace": config.namespace}
    return Board("testing", conf, persistence=case.persistence)


class Claims:
    """How `TestClaimListener` posts, claims and loses jobs on a board on Redis."""

    def setUp(self):
        """Connect to the board, in place of ZooKeeper's."""
        super(test_listeners.TestClaimListener, self).setUp()
        self.board = _board(self)
        self.board.connect()
        self.addCleanup(self.board.close)

    def _post_claim_job(self, _name, book=None, details=None):
        self.job = self.board.post("test-1", book, details)
        self.board.claim(self.job, self.board.name)
        return self.job

    def _destroy_locks(self):
        return self.board._client.delete(self.job.owner_key)

    def _change_owner(self, new_owner):
        self.board._client.set(self.job.owner_key, new_owner)
        return 1


class Conducted:
    """How `ManyConductorTest` makes a conductor for a board on Redis."""

    def make_components(self):
        """Make the parts of a test."""
        board = _board(self)
        options = {"persistence": self.persistence, "engine": "redisflow"}
        conductor = conductors.fetch(
            self.kind, "testing", board, **options, **self.conductor_kwargs
        )
        return test_conductors.ComponentBundle(board, self.persistence, conductor)


MIXINS = {
    test_listeners.TestClaimListener: Claims,
    test_conductors.ManyConductorTest: Conducted,
}


def _cases():
    """Give each test of each suite, in each of its scenarios."""
    for suite in SUITES:
        scenarios = getattr(suite, "scenarios", None) or [("", {})]
        for name, _ in inspect.getmembers(suite, inspect.isfunction):
            if not name.startswith("test_"):
                continue
            for scenario, values in scenarios:
                case = "-".join(filter(None, (suite.__name__, name, scenario)))
                slow = suite is test_conductors.ManyConductorTest and case not in QUICK
                marks = [pytest.mark.slow] if slow else []
                yield pytest.param(suite, name, values, id=case, marks=marks)


@pytest.mark.parametrize(("suite", "name", "values"), list(_cases()))
def test_taskflow(suite, name, values, url, monkeypatch):
    """What TaskFlow expects of its engines where they are used holds for ours."""
    bases = (MIXINS[suite], suite) if suite in MIXINS else (suite,)
    with contextlib.ExitStack() as stack:
        stack.enter_context(installed(url))

        def backend(_conf=None):
            made = RedisBackend.from_url(url)
            stack.callback(made.close)
            return made

        attributes = {
            "scenarios": None,
            "url": url,
            "persistence": backend(),
            "__unittest_skip__": False,  # for want of ZooKeeper
            **values,
        }
        memory = types.SimpleNamespace(MemoryBackend=backend)
        for module in (test_progress, test_listeners, test_conductors):
            if hasattr(module, "impl_memory"):
                monkeypatch.setattr(module, "impl_memory", memory)
        case = type("Case", bases, attributes)(name)
        result = unittest.TestResult()
        case.run(result)
    for _, text in [*result.failures, *result.errors]:
        pytest.fail(text, pytrace=False)
    assert (result.testsRun, result.skipped) == (1, [])


def test_engines_are_ours(url):
    """What these tests load is our engine."""
    with installed(url):
        assert isinstance(engines.load(utils.DummyTask("task")), SharedEngine)
