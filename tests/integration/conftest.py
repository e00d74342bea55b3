"""Storages on a flow, as most tests of this folder need them, and a cluster."""

from __future__ import annotations

import contextlib
import uuid

import pytest
import redis
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.cli.app import invoke
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS
from tests.support.storages import Noop
from tests.support.topologies import is_up


@pytest.fixture
def backend(url):
    """Open a backend on the test's server."""
    backend = RedisBackend.from_url(url)
    yield backend
    backend.close()


@pytest.fixture
def connection(backend):
    """Open a connection."""
    return backend.get_connection()


@pytest.fixture
def elsewhere(url):
    """Open a connection of a backend of its own, as another process has it."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        yield backend.get_connection()


@pytest.fixture
def detail():
    """Make flow details that are not stored yet."""
    return models.FlowDetail("f", str(uuid.uuid4()))


@pytest.fixture
def storage(backend, detail):
    """Open a storage on a new flow with an atom "a"."""
    storage = Storage(detail, backend)
    storage.ensure_atom(Noop("a"))
    return storage


@pytest.fixture
def other(url, storage):
    """Open a second storage on the same flow, with connections of its own."""
    backend = RedisBackend.from_url(url)
    yield Storage(models.FlowDetail("f", storage.flow_uuid), backend)
    backend.close()


@pytest.fixture
def dumps(server):
    """DUMP all keys of the server, to tell that nothing was changed."""

    def dump():
        with contextlib.closing(redis.Redis.from_url(server.url)) as admin:
            return {key: admin.dump(key) for key in sorted(admin.scan_iter())}

    return dump


@pytest.fixture
def received(admin):
    """Count the commands that an operation makes the server receive."""

    def count(operation):
        with contextlib.closing(admin.client()) as marker, admin.monitor() as monitor:
            operation()
            marker.echo("that was all")
            names = []
            while (entry := monitor.next_command())["command"] != "ECHO that was all":
                if entry["client_type"] != "lua":
                    names.append(entry["command"].split()[0])
        return names

    return count


@pytest.fixture(scope="module", params=KINDS)
def node(request, tmp_path_factory):
    """Start a cluster of one node; gives its port."""
    folder = tmp_path_factory.mktemp("cluster")
    with contextlib.closing(
        OwnServer(request.param, folder, "--cluster-enabled", "yes")
    ) as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: is_up(server))
        yield server.port


@pytest.fixture
def typed(url, capfd):
    """Type a command; gives its status, and what it printed."""

    def run(*words, url=url):
        capfd.readouterr()
        status = invoke([*words, "--url", url])
        return status, *capfd.readouterr()

    return run
