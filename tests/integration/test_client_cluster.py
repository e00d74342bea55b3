"""The client on a cluster: one node of each kind of server owns all the slots."""

from __future__ import annotations

import contextlib
import hashlib
import threading

import pytest
import redis

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.doctor import check_server
from redisflow.errors import Refused, Unavailable
from tests.support.eventually import eventually

COUNT = "#!lua\nreturn {'COUNT', redis.call('INCR', KEYS[1])}"
SHA = hashlib.sha1(COUNT.encode()).hexdigest()


@pytest.fixture
def client(node):
    """Open a client on the cluster."""
    with Client(parse_url(f"redis+cluster://127.0.0.1:{node}?deadline_s=2")) as client:
        yield client


def test_calls_work_in_a_cluster(client):
    """Scripts, single commands, batches over slots and SCAN work as elsewhere."""
    assert client.run_script(SHA, COUNT, ["rf:{f}:n"], []) == [b"COUNT", 1]
    batch = [("SET", f"rf:batch:{n}", n) for n in range(20)]
    assert len(client.execute_many(batch)) == 20
    assert client.execute("GET", "rf:batch:7") == b"7"
    found = set(client.scan("rf:batch:*"))
    assert found == {f"rf:batch:{n}".encode() for n in range(20)}
    info = client.server_info()
    assert info is not None
    assert info.role == "master"


def test_doctor_names_the_node(client, node):
    """What is found of a server in a cluster says of which."""
    assert {each.node for each in check_server(client)} == {f"127.0.0.1:{node}"}


def test_block_in_a_cluster(client, node):
    """A blocking read goes to its key's server, and ends when it is closed."""
    client.execute("RPUSH", "rf:wake:a", "x")
    assert client.block("BLPOP", "rf:wake:a", 5, block_s=5) == (b"rf:wake:a", b"x")
    assert client.block("BLPOP", "rf:wake:a", 0.01, block_s=0.01) is None
    results = []
    thread = threading.Thread(
        target=lambda: results.append(client.block("BLPOP", "rf:w", 30, block_s=30))
    )
    thread.start()
    with contextlib.closing(redis.Redis(port=node)) as admin:
        eventually(lambda: admin.info("clients")["blocked_clients"] == 1)
    client.close()
    thread.join(5)
    assert results == [None]


def test_a_slot_without_a_server_is_waited_for(client, node):
    """While no server has the slot the call is repeated, until its deadline."""
    client.execute("PING")
    with contextlib.closing(redis.Redis(port=node)) as admin:
        slot = admin.execute_command("CLUSTER", "KEYSLOT", "rf:{m}")
        admin.execute_command("CLUSTER", "DELSLOTS", slot)
        try:
            with pytest.raises(Unavailable, match=r"CLUSTERDOWN|covered") as caught:
                client.run_script(SHA, COUNT, ["rf:{m}"], [], deadline_s=0.3)
        finally:
            admin.execute_command("CLUSTER", "ADDSLOTS", slot)
    assert "127.0.0.1" in str(caught.value)
    assert client.run_script(SHA, COUNT, ["rf:{m}"], []) == [b"COUNT", 1]


def test_redis_py_sends_nothing_again(node):
    """One attempt of ours is one request: that it was not answered is ours to judge."""
    url = f"redis+cluster://127.0.0.1:{node}?socket_timeout=0.2"
    with (
        Client(parse_url(url)) as client,
        contextlib.closing(redis.Redis(port=node)) as admin,
    ):
        client.execute("SET", "rf:count", 0)
        admin.client_pause(500, all=False)  # what is sent again later comes through
        with pytest.raises(Unavailable) as caught:
            client.execute("INCR", "rf:count", deadline_s=0)
    assert caught.value.outcome == "unknown"


def test_a_single_server_is_no_cluster(server):
    """A cluster URL for a single server is refused at once, with a hint."""
    url = f"redis+cluster://127.0.0.1:{server.port}"
    with Client(parse_url(url)) as client, pytest.raises(Refused, match="redis://"):
        client.execute("PING")
