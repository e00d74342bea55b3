"""TaskFlow's own persistence suite over `RedisBackend`.

The suite comes from TaskFlow's wheel; nothing of it is copied. Each of its tests is one
test here, on each server, with RESP2 and RESP3.
"""

from __future__ import annotations

import inspect
import unittest

import pytest
from taskflow import test
from taskflow.tests.unit.persistence import base

from redisflow import RedisBackend

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.filterwarnings("default"),  # these are TaskFlow's tests
]

#: All tests of the mixin.
CASES = [
    name
    for name, _ in inspect.getmembers(base.PersistenceTestMixin, inspect.isfunction)
    if name.startswith("test_")
]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_taskflow(name, protocol, url):
    """What TaskFlow expects of a persistence backend holds for ours."""

    class Case(test.TestCase, base.PersistenceTestMixin):
        def setUp(self):
            super().setUp()
            self.backend = RedisBackend.from_url(f"{url}&protocol={protocol}")
            self.addCleanup(self.backend.close)
            self.addCleanup(self._get_connection().clear_all)

        def _get_connection(self):
            return self.backend.get_connection()

    result = unittest.TestResult()
    Case(name).run(result)
    for _, text in [*result.failures, *result.errors]:
        pytest.fail(text, pytrace=False)
    assert (result.testsRun, result.skipped) == (1, [])
