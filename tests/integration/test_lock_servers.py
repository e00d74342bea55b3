"""The lock where servers change: a failover, a cluster, a slot without a server."""

# ruff: noqa: PT012  # it is the end of a section that raises

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from redisflow import ReaderWriterLock, RedisBackend
from redisflow.errors import LeaseLost, Refused
from redisflow.keys import Keys
from tests.support.eventually import eventually
from tests.support.locks import ScriptedLock
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS
from tests.support.topologies import Cluster

NAME = "nightly"


@pytest.fixture
def pool():
    """Run functions in other threads."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def blocked(admin):
    """Tell whether somebody waits for a hint."""
    return admin.info("clients")["blocked_clients"]


# Failover


@pytest.mark.parametrize("followed", [False, True], ids=["free", "held by another"])
def test_history_without_the_last_section(storage, other, followed):
    """The holder's writes are refused, whoever holds it now, and fences go on rising.

    A replica that was promoted before it had heard of the section is, for the lock, a
    server whose keys are those of before.
    """
    with storage.lock.write_lock():
        pass
    execute = storage.backend.client.execute
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    others = ScriptedLock(other.backend.client, keys)
    before = {key: execute("DUMP", key) for key in (keys.lock, keys.lock_owners)}
    with pytest.raises(LeaseLost), storage.lock.write_lock():
        fence = storage.lock.fence
        for key, dump in before.items():
            execute("RESTORE", key, 0, dump, "REPLACE")
        assert others.inside == []
        if followed:
            assert others.acquire("other:1")[0] == "HELD"
            assert others.fence > fence
        with pytest.raises(LeaseLost):
            storage.set_atom_state("a", "RUNNING")
        assert storage.lock.lost.is_set()
    assert others.inside == (["other:1"] if followed else [])
    assert other.get_atom_state("a") == "PENDING"


def test_waiter_outlives_a_failover(backend, admin, pool):
    """Unblocked by the server that is demoted, it asks until one is promoted."""
    lock = ReaderWriterLock(backend, NAME)
    lock.acquire_write_lock()
    waiting = pool.submit(lock.acquire_write_lock)
    eventually(lambda: blocked(admin))
    admin.replicaof("127.0.0.1", "1")
    try:
        eventually(lambda: not blocked(admin))
        assert not waiting.done()
    finally:
        admin.replicaof("NO", "ONE")
    lock.release_write_lock()
    assert waiting.result(20)


# Cluster


@pytest.fixture
def cluster(node):
    """Open a backend on a cluster, and a client on its only node."""
    url = f"redis+cluster://127.0.0.1:{node}?namespace=rf-lock&deadline_s=5"
    with (
        contextlib.closing(RedisBackend.from_url(url)) as backend,
        contextlib.closing(redis.Redis(port=node)) as admin,
    ):
        yield backend, admin
        admin.flushall()


def test_lock_in_a_cluster(cluster, pool):
    """It is handed over there, too, and all of its keys are in one slot."""
    backend, admin = cluster
    lock = ReaderWriterLock(backend, NAME)
    with lock.write_lock():
        waiting = [pool.submit(lock.acquire_read_lock) for _ in range(2)]
        eventually(lambda: len(lock.waiters()) == 2)
        assert {waiter.does for waiter in lock.waiters()} == {"awaits-read"}
    assert [each.result(20) for each in waiting] == [True, True]
    slots = {
        admin.execute_command("CLUSTER", "KEYSLOT", key) for key in admin.scan_iter()
    }
    assert len(slots) == 1


def test_slot_that_goes_away_and_comes_back(cluster, pool):
    """One who waits, and one who releases, go on once the slot has a server again."""
    backend, admin = cluster
    lock = ReaderWriterLock(backend, NAME)
    lock.acquire_write_lock()
    waiting = pool.submit(lock.acquire_write_lock)
    eventually(lambda: blocked(admin))
    key = Keys("rf-lock").of_lock(NAME).lock
    slot = admin.execute_command("CLUSTER", "KEYSLOT", key)
    admin.execute_command("CLUSTER", "DELSLOTS", slot)
    released = pool.submit(admin_gives_back, admin, slot, waiting)
    lock.release_write_lock()
    assert released.result(20)
    assert waiting.result(20)


def admin_gives_back(admin, slot, waiting):
    """Give a slot its server again, a little later; nobody was in before that."""
    threading.Event().wait(0.3)
    early = waiting.done()
    admin.execute_command("CLUSTER", "ADDSLOTS", slot)
    return not early


@pytest.fixture(params=KINDS)
def three(request, tmp_path):
    """Start a cluster of three servers."""
    with Cluster(request.param, tmp_path) as cluster:
        yield cluster


def test_slot_migrates_under_those_who_hold_and_wait(three, pool):
    """They follow it to its new server; the lock is handed over there."""
    url = f"redis+cluster://{three.hosts}?namespace=rf-lock&deadline_s=10"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock = ReaderWriterLock(backend, NAME)
        lock.acquire_write_lock()
        fence = lock.fence
        waiting = pool.submit(lock.acquire_write_lock)
        key = Keys("rf-lock").of_lock(NAME).lock
        slot = three.slot_of(key)
        source = three.owner(slot)
        eventually(lambda: blocked(source.client))

        target = three.migrate(slot)

        count = ("CLUSTER", "COUNTKEYSINSLOT", slot)
        assert source.client.execute_command(*count) == 0
        assert target.client.exists(key)
        assert not waiting.done()
        lock.release_write_lock()
        assert waiting.result(30)
        assert int(target.client.hget(key, "fence")) > fence


# A server that comes back, and one that cannot save


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """Start a server that appends to a file."""
    with contextlib.closing(
        OwnServer(request.param, tmp_path / "server", "--appendonly", "yes")
    ) as server:
        yield server


def test_restart_of_the_server_under_a_section(own, pool):
    """With its file it knows who holds the lock and who waits, and needs no script."""
    url = f"{own.url}?deadline_s=20"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock = ReaderWriterLock(backend, NAME)
        with lock.write_lock():
            fence = lock.fence
            waiting = pool.submit(lock.acquire_write_lock)
            eventually(lambda: len(lock.waiters()) == 1)
            own.kill()
            own.start()
            assert not waiting.done()
            assert lock.check() is None
            assert lock.fence == fence
        assert waiting.result(30)
        assert len(own.run_ids) == 2


def test_server_that_cannot_save(own):
    """MISCONF: nothing is changed; the lock is there again once it can."""
    url = f"{own.url}?deadline_s=0.5"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock = ReaderWriterLock(backend, NAME)
        with lock.write_lock():
            pass
        (own.folder / "dump.rdb").mkdir()  # where a file should be
        own.client.config_set("save", "3600 1")
        own.client.bgsave()
        eventually(
            lambda: own.client.info("persistence")["rdb_last_bgsave_status"] == "err"
        )
        before = own.client.dump(Keys("redisflow").of_lock(NAME).lock)

        with pytest.raises(Refused, match="MISCONF"):
            lock.acquire_write_lock()

        assert own.client.dump(Keys("redisflow").of_lock(NAME).lock) == before
        own.client.config_set("stop-writes-on-bgsave-error", "no")
        with lock.write_lock():
            assert lock.check() is None
