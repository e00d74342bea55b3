"""Fixtures for pytest; found by themselves where redisflow is installed.

``redisflow_server`` starts one server for each process of the tests, so those of
pytest-xdist do not meet. All other fixtures are of one test, in a namespace of its own
that is removed afterwards.

pytest imports this module wherever redisflow is installed, for tests of anything. So
nothing else of redisflow, nor of TaskFlow, is imported before a fixture is used.
"""

from __future__ import annotations

import contextlib
import functools
import re
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from redisflow.persistence import RedisBackend
    from redisflow.testing import Completed, ThrowAwayServer


@pytest.fixture(scope="session")
def redisflow_server() -> Iterator[ThrowAwayServer]:
    """Start a server for the session."""
    from redisflow.testing import ThrowAwayServer

    with ThrowAwayServer() as server:
        yield server


@pytest.fixture
def redisflow_namespace(request: pytest.FixtureRequest) -> str:
    """Name a namespace of this test alone."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())
    return f"{test[:40].strip('-')}-{secrets.token_hex(4)}"


@pytest.fixture
def redisflow_url(
    redisflow_server: ThrowAwayServer, redisflow_namespace: str
) -> Iterator[str]:
    """Return the URL of the test's namespace; what is in it is removed afterwards."""
    from redisflow.persistence import RedisBackend
    from redisflow.testing.server import remove_namespace

    url = redisflow_server.namespace(redisflow_namespace)
    yield url
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        remove_namespace(backend)


@pytest.fixture
def redisflow_env(redisflow_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set ``REDISFLOW_URL`` to the test's namespace, for code that gives no URL."""
    monkeypatch.setenv("REDISFLOW_URL", redisflow_url)
    return redisflow_url


@pytest.fixture
def redisflow_backend(redisflow_url: str) -> Iterator[RedisBackend]:
    """Open a backend on the test's namespace."""
    from redisflow.persistence import RedisBackend

    with contextlib.closing(RedisBackend.from_url(redisflow_url)) as backend:
        yield backend


@pytest.fixture
def redisflow_run(redisflow_url: str) -> Callable[..., Completed]:
    """Return `run_to_completion` for the test's namespace."""
    from redisflow.testing import run_to_completion

    return functools.partial(run_to_completion, url=redisflow_url)
