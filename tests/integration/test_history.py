"""How a client finds out that a server is not the one that it was."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from redis.cluster import RedisCluster
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.client.history import Histories
from tests.support.proxy import Proxy
from tests.support.servers import KINDS
from tests.support.storages import Noop
from tests.support.topologies import Cluster


def epoch_of(admin, storage):
    """Read the epoch of a flow as a person does."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    return int(admin.hget(keys.flow, "epoch"))


def test_known_server_costs_nothing(storage, received):
    """One command for each write, as if there were no histories."""
    storage.update_flow_metadata({"n": 0})

    def write():
        for number in range(5):
            storage.update_flow_metadata({"n": number})

    assert received(write) == ["EVALSHA"] * 5


def test_first_change_of_a_flow_looks_once(storage, other, admin, received):
    """A process that comes to a flow asks it once whether it knows this server."""
    other.get_flow_state()

    def write():
        other.update_flow_metadata({"n": 1})
        other.update_flow_metadata({"n": 2})

    assert received(write) == ["EVALSHA"] * 3
    assert epoch_of(admin, storage) == 1


def test_siblings_know_what_their_client_knows(storage, received):
    """A heartbeat's connection looks at nothing that is known already."""
    beat = {"run": 1, "worker": "w", "lease_ms": 1000}
    storage._scripts.call("worker_heartbeat", **beat)
    client = storage.backend.client.sibling()
    scripts = type(storage._scripts)(client, storage._scripts.keys)
    with contextlib.closing(client):
        client.execute("TIME")

        sent = received(lambda: scripts.call("worker_heartbeat", **beat))

    assert sent == ["EVALSHA"]


@pytest.fixture
def secretive(server, admin, namespace):
    """Give a user who may not ask the server what it is, and a proxy to lose it."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    rules = ("on", ">secret", f"~{namespace}:*", "resetchannels", "+@all", "-info")
    admin.execute_command("ACL", "SETUSER", name, *rules)
    with Proxy(server.port) as proxy:
        yield proxy, f"redis://{name}:secret@127.0.0.1:{proxy.port}/0"
    admin.execute_command("ACL", "DELUSER", name)


def test_server_without_a_name_is_another_one_after_each_failure(
    secretive, namespace, admin
):
    """The epoch grows once for each loss, however many connections were lost."""
    proxy, url = secretive
    url = f"{url}?namespace={namespace}&deadline_s=5"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        storage = Storage(models.FlowDetail("f", str(uuid.uuid4())), backend)
        storage.ensure_atom(Noop("a"))
        for number in range(10):
            storage.update_flow_metadata({"n": number})
        first = epoch_of(admin, storage)
        assert first <= 2

        for loss in (1, 2):
            proxy.cut()
            for number in range(10):
                storage.update_flow_metadata({"n": number})
            assert epoch_of(admin, storage) == first + loss
        assert storage.flow_meta == {"n": 9}


def test_name_is_not_changed_twice_for_one_loss():
    """Idle connections that went with the one that failed tell nothing new."""

    class Connection:
        """What a greeting leaves its notes on."""

    histories = Histories()
    idle = [Connection() for _ in range(3)]
    for each in idle:
        histories.greeted(each, None)
    first = histories.unnamed

    histories.greeted(idle[0], None)
    second = histories.unnamed
    for each in idle[1:]:
        histories.greeted(each, None)

    assert second != first
    assert {histories.name(each) for each in idle} == {second}


@pytest.fixture(params=KINDS)
def cluster(request, tmp_path):
    """Start a cluster of three servers."""
    with Cluster(request.param, tmp_path) as servers:
        yield servers


def test_slot_that_has_gone_elsewhere_is_looked_at_first(cluster):
    """A connection lives, its server sends on: the flow meets the other one first."""
    url = f"redis+cluster://{cluster.hosts}?deadline_s=10"
    with (
        contextlib.closing(RedisBackend.from_url(url)) as backend,
        contextlib.closing(
            RedisCluster("127.0.0.1", cluster.nodes[0].port, decode_responses=True)
        ) as admin,
    ):
        storage = Storage(models.FlowDetail("f", str(uuid.uuid4())), backend)
        storage.ensure_atom(Noop("a"))
        storage.update_flow_metadata({"n": 1})
        keys = backend.keys.of_flow(storage.flow_uuid)
        rev = int(admin.hget(keys.flow, "rev"))

        target = cluster.migrate(cluster.slot_of(keys.flow))
        storage.update_flow_metadata({"n": 2})

        entries = [fields for _id, fields in admin.xrange(keys.events)]
        noticed = int(entries[-1]["rev"])
        assert entries[-1]["server"] in target.run_ids
        # The write came after the flow had met the server.
        assert rev < noticed < int(admin.hget(keys.flow, "rev"))
        assert storage.flow_meta["n"] == 2
