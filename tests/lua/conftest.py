"""A flow for each test of a script, and clients that last for the session."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.keys import FlowKeys, LockKeys
from tests.support.flows import ScriptedFlow
from tests.support.locks import ScriptedLock
from tests.support.servers import Server


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    """Open one client on each server; keys say which test they belong to."""
    with Client(parse_url(server.url)) as client:
        yield client


@pytest.fixture
def new_flow(client: Client, namespace: str) -> Callable[[], ScriptedFlow]:
    """Name one flow after the other; none exists yet."""
    numbers = itertools.count(1)
    return lambda: ScriptedFlow(client, FlowKeys(namespace, f"F{next(numbers)}"))


@pytest.fixture
def flow(new_flow: Callable[[], ScriptedFlow]) -> ScriptedFlow:
    """Name a flow that does not exist yet."""
    return new_flow()


@pytest.fixture
def lock(client: Client, namespace: str) -> ScriptedLock:
    """Create a lock that belongs to no flow."""
    lock = ScriptedLock(client, LockKeys(namespace, "lock:nightly"))
    assert lock.call("lock_create") == ["CREATED"]
    return lock
