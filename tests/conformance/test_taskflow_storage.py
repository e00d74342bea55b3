"""TaskFlow's own storage suite over `Storage`, in both protocols.

The suite comes from TaskFlow's wheel; nothing of it is copied. Each of its tests is one
test here, on each server and with RESP2 and RESP3.
"""

from __future__ import annotations

import inspect
import types
import unittest

import pytest
from taskflow import test
from taskflow.tests.unit import test_storage

from redisflow import RedisBackend, Storage

pytestmark = [
    pytest.mark.one_server,
    pytest.mark.conformance,
    pytest.mark.filterwarnings("default"),  # these are TaskFlow's tests
]

PROTOCOLS = [pytest.param(2, marks=pytest.mark.slow), 3]

NAMES = [
    name
    for name, _ in inspect.getmembers(test_storage.StorageTestMixin, inspect.isfunction)
    if name.startswith("test_")
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids="RESP{}".format)
@pytest.mark.parametrize("name", NAMES)
def test_taskflow(name, protocol, url, monkeypatch):
    """What TaskFlow expects of its own storage holds for ours."""
    url = f"{url}&protocol={protocol}"
    # The suite makes TaskFlow's class; one of its tests makes it without a backend.
    monkeypatch.setattr(test_storage, "storage", types.SimpleNamespace(Storage=Storage))
    monkeypatch.setenv("REDISFLOW_URL", url)

    class Case(test_storage.StorageTestMixin, test.TestCase):
        def setUp(self):
            super().setUp()
            self.backend = RedisBackend.from_url(url)

    result = unittest.TestResult()
    Case(name).run(result)
    for _, text in [*result.failures, *result.errors]:
        pytest.fail(text, pytrace=False)
    assert (result.testsRun, result.skipped) == (1, [])
