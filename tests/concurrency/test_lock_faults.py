"""The lock when replies, hints, connections and servers fail."""

# ruff: noqa: PT012  # it is the end of a section that raises

from __future__ import annotations

import ctypes
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisflow import ReaderWriterLock, RedisBackend
from redisflow.client import Client
from redisflow.errors import CorruptKey, LeaseLost, Refused, Unavailable
from redisflow.keys import Keys
from redisflow.scripts import catalogue
from tests.support.eventually import eventually
from tests.support.locks import ScriptedLock
from tests.support.proxy import Proxy


@pytest.fixture
def proxy(server):
    """Stand between the lock and its server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def lock(proxy, namespace):
    """Name a lock that is reached through the proxy, and used once."""
    url = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}&deadline_s=5"
    backend = RedisBackend.from_url(url)
    lock = ReaderWriterLock(backend, "nightly", lease_s=5)
    with lock.write_lock(), lock.read_lock():
        lock.release_write_lock()
    yield lock
    while lock.is_writer():
        lock.release_write_lock()
    backend.close()


@pytest.fixture
def keys(url, namespace):
    """Look at the lock past the proxy, and be its other owners."""
    with RedisBackend.from_url(url).client as client:
        yield ScriptedLock(client, Keys(namespace).of_lock("nightly"))


@pytest.fixture
def pool():
    """Run functions in other threads."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def sha(script):
    """Name a script as it is sent."""
    return catalogue()[script].sha.encode()


@pytest.mark.parametrize("fault", ["drop_reply", "half_reply", "drop_request"])
def test_lost_reply_to_an_acquire_is_one_hold(lock, keys, proxy, fault):
    """One hold with one fence, and one release frees it."""
    proxy.arm(fault, match=sha("lock_acquire"), times=3)
    with lock.write_lock():
        assert proxy.hits == 3
        assert (lock.fence, keys.inside) == (keys.fence, [keys.writer])
    assert (keys.inside, keys.queue) == ([], [])


@pytest.mark.parametrize("fault", ["drop_reply", "half_reply", "drop_request"])
@pytest.mark.parametrize("side", ["read_lock", "write_lock"])
def test_lost_reply_to_a_release_is_no_lost_lease(lock, keys, proxy, fault, side):
    """The section ends well; who came in meanwhile is left alone."""
    with getattr(lock, side)():
        proxy.arm(fault, match=sha("lock_release"), times=3)
    assert proxy.hits == 3
    assert keys.acquire("other:1")[0] == "HELD"


def test_lost_reply_to_a_downgrade_is_one_read(lock, keys, proxy):
    """It reads, once."""
    lock.acquire_write_lock()
    lock.acquire_read_lock()
    proxy.arm("drop_reply", match=sha("lock_release"), times=3)
    lock.release_write_lock()
    assert proxy.hits == 3
    assert len(keys.readers) == 1
    lock.release_read_lock()
    assert keys.readers == []


def test_release_that_does_not_get_through_is_left_to_the_lease(lock, keys, proxy):
    """The section ends without an error; the lock is free when its lease is over."""
    lock._server.lease_s = 0.5
    with lock.write_lock():
        proxy.arm("drop_request", match=b"EVALSHA", times=None)
        proxy.cut()
    assert proxy.hits
    assert keys.acquire("other:1", wait_ms=0)[0] in ("BUSY", "HELD")
    eventually(lambda: keys.acquire("other:1", wait_ms=0)[0] == "HELD")


def test_unreachable_server_gives_no_lock(lock, proxy):
    """Unavailable, and the thread holds nothing."""
    proxy.refuse = True
    proxy.cut()
    with pytest.raises(Unavailable):
        lock.acquire_write_lock(timeout=0.2)
    assert not lock.is_writer()
    proxy.refuse = False
    assert lock.acquire_write_lock(timeout=5)


def test_lost_wake_up_costs_one_look(lock, keys, pool, admin):
    """The waiter's connection is cut, then the lock is freed: it looks by itself."""
    keys.acquire("other:1")
    waiting = pool.submit(lock.acquire_write_lock)
    killed = eventually(lambda: blocked(admin))
    admin.client_kill_filter(_id=killed)
    keys.release("other:1")
    assert waiting.result(20)


def blocked(admin):
    """Return the id of a connection that waits for a hint."""
    return next((c["id"] for c in admin.client_list() if "b" in c["flags"]), None)


def test_stolen_hint_costs_one_look(lock, keys, pool, admin):
    """A hint is not the truth: without it the grant is found all the same."""
    keys.acquire("other:1")
    waiting = pool.submit(lock.acquire_write_lock)
    (owner,) = eventually(lambda: keys.queue)
    admin.client_unblock(eventually(lambda: blocked(admin)))
    keys.release("other:1")
    admin.delete(keys.keys.lock_wake(owner))
    assert waiting.result(20)


def test_unblocked_waiter_goes_on_waiting(lock, keys, pool, admin):
    """UNBLOCKED, as at a failover, is a reason to look, and no error."""
    keys.acquire("other:1")
    waiting = pool.submit(lock.acquire_write_lock)
    for _ in range(3):
        admin.client_unblock(eventually(lambda: blocked(admin)), error=True)
    assert not waiting.done()
    keys.release("other:1")
    assert waiting.result(20)


def test_wake_up_before_the_wait_is_not_lost(lock, keys, pool, monkeypatch):
    """The lock is freed between "queued" and the blocking read."""
    keys.acquire("other:1")
    wait, waits = lock._server._wait, []

    def freed_first(hold, leases_end_s, until):
        waits.append(leases_end_s)
        keys.release("other:1")
        return wait(hold, 60.0, until)

    monkeypatch.setattr(lock._server, "_wait", freed_first)
    assert lock.acquire_write_lock(timeout=20)
    assert len(waits) == 1


def test_false_hint_is_no_grant(lock, keys, pool, monkeypatch):
    """Only the state decides; and it is looked at once for each hint."""
    keys.acquire("other:1")
    wait, looks = lock._server._wait, []

    def counted(hold, leases_end_s, until):
        looks.append(hold.owner)
        return wait(hold, leases_end_s, until)

    monkeypatch.setattr(lock._server, "_wait", counted)
    waiting = pool.submit(lock.acquire_write_lock)
    (owner,) = eventually(lambda: keys.queue)
    for _ in range(3):
        before = len(looks)
        keys.client.execute("RPUSH", keys.keys.lock_wake(owner), "1")
        eventually(lambda n=before: len(looks) > n)
    assert not waiting.done()
    assert len(looks) < 12
    keys.release("other:1")
    assert waiting.result(20)


@pytest.fixture
def looks(lock, monkeypatch):
    """Count how often the lock is asked for."""
    acquire, looks = lock._server._acquire, []

    def counted(*args):
        looks.append(args)
        return acquire(*args)

    monkeypatch.setattr(lock._server, "_acquire", counted)
    return looks


@pytest.mark.parametrize("side", ["read", "write"])
def test_hint_of_this_wait_is_believed(lock, keys, pool, looks, side):
    """It is in without asking again, with the fence of the lock; then it renews."""
    keys.acquire("other:1")
    waiting = pool.submit(entered, lock, side)
    (owner,) = eventually(lambda: keys.queue)
    keys.release("other:1")

    fence, granted_s, trusted_s = waiting.result(20)

    assert len(looks) == 1
    assert keys.inside == [owner]
    assert fence == (keys.fence if side == "write" else None)
    # Three looks' time, five of which are a lease; here it ends before it does there.
    assert 0 < granted_s < 3
    assert trusted_s > 4
    pool.submit(getattr(lock, f"release_{side}_lock")).result(20)
    assert keys.inside == []


def entered(lock, side):
    """Enter, and stay until the lease has been renewed.

    Returns the fence, and how long the lease was to last before and after that.
    """
    assert getattr(lock, f"acquire_{side}_lock")(timeout=20)
    lease, began = lock._shared.hold.lease, time.monotonic()
    first = lease.trusted_until
    eventually(lambda: lease.trusted_until != first)
    renewed = time.monotonic()
    lock.check()
    return lock.fence, first - began, lease.trusted_until - renewed


def test_hint_of_another_wait_lets_nobody_in(lock, keys, pool, monkeypatch):
    """Tickets before and after its own, and what is no hint: it looks, and waits on."""
    keys.acquire("other:1")
    wait, found = lock._server._wait, []

    def counted(*args):
        found.append(wait(*args))
        return found[-1]

    monkeypatch.setattr(lock._server, "_wait", counted)
    waiting = pool.submit(lock.acquire_write_lock)
    (owner,) = eventually(lambda: keys.queue)
    ticket = int(keys.fields["ticket"])
    fence = keys.fence + 1
    hints = (f"{ticket - 1} {fence} 3000", f"{ticket + 1} {fence} 3000", f"{ticket}")
    for hint in (*hints, "1", "", f"{ticket} {fence} 0", f"{ticket} x 3000"):
        keys.client.execute("RPUSH", keys.keys.lock_wake(owner), hint)
        eventually(lambda hint=hint: hint.encode() in found)
    assert not waiting.done()
    assert (keys.writer, keys.queue) == ("other:1", [owner])
    keys.release("other:1")
    assert waiting.result(20)


def test_grant_that_lapsed_before_its_hint_was_read_is_not_believed(
    lock, keys, monkeypatch, looks
):
    """It was held up until the lock was another's: it asks, and waits anew."""
    lock._server.lease_s = 0.5
    keys.acquire("other:1")
    wait, hints = lock._server._wait, []

    def held_up(hold, leases_end_s, until):
        if not hints:
            keys.acquire("other:2", lease_ms=1_000)
            keys.release("other:1")
            hints.append(wait(hold, leases_end_s, until))
            assert keys.writer == hold.owner
            keys.lapse(hold.owner)
            until_over = time.monotonic() + 0.3  # three looks of 0.1 s
            eventually(lambda: time.monotonic() > until_over)
            keys.acquire("other:2", lease_ms=1_000)
            assert keys.writer == "other:2"
            return hints[0]
        assert keys.queue == [hold.owner]
        keys.release("other:2")
        return wait(hold, leases_end_s, until)

    monkeypatch.setattr(lock._server, "_wait", held_up)
    with lock.write_lock(timeout=20):
        assert len(hints[0].split()) == 3
        assert len(looks) >= 2
        assert keys.inside == [lock._shared.hold.owner]


def test_thread_that_is_held_up_after_it_believed_does_no_harm(lock, keys, pool, admin):
    """The lease of a grant is over when nobody renews it: the section is lost."""
    lock._server.lease_s = 0.5
    keys.acquire("other:1")

    def section():
        with pytest.raises(LeaseLost), lock.write_lock(timeout=20):
            keys.lapse(lock._shared.hold.owner)  # as if it had stood still
            keys.acquire("other:2")
            assert lock.lost.wait(20)
        return True

    inside = pool.submit(section)
    eventually(lambda: keys.queue)
    keys.release("other:1")
    assert inside.result(20)
    assert keys.writer == "other:2"


def test_interrupted_waiter_leaves_the_queue(lock, keys, pool, admin):
    """Whatever is raised in the wait comes out; others go on.

    It is interrupted once it waits on the server: redis-py does not close the socket of
    a connection in whose making it is interrupted.
    """
    keys.acquire("other:1")
    idents = []

    def wait():
        idents.append(threading.get_ident())
        try:
            lock.acquire_write_lock()
        except KeyboardInterrupt:
            return "interrupted"
        return "in"

    waiting = pool.submit(wait)
    eventually(lambda: blocked(admin))
    keys.acquire("other:2")
    ident = ctypes.c_ulong(idents[0])
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ident, ctypes.py_object(KeyboardInterrupt)
    )
    assert waiting.result(20) == "interrupted"
    assert keys.queue == ["other:2"]
    keys.release("other:1")
    assert keys.writer == "other:2"


def test_interrupt_after_the_grant_gives_it_on(lock, keys, monkeypatch):
    """Granted meanwhile: the next one in the queue has it."""
    keys.acquire("other:1")

    def granted_and_interrupted(hold, _leases_end_s, _until):
        keys.acquire("other:2")
        keys.release("other:1")
        assert keys.writer == hold.owner
        raise KeyboardInterrupt

    monkeypatch.setattr(lock._server, "_wait", granted_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire_write_lock()
    assert keys.writer == "other:2"


def test_timeout_after_the_grant_gives_it_on(lock, keys, monkeypatch):
    """One outcome: it is not in, and the next one is."""
    keys.acquire("other:1")

    def too_late(hold, _leases_end_s, until):
        keys.acquire("other:2", "reads")
        keys.release("other:1")
        keys.lapse(hold.owner)
        eventually(lambda: until < threading.TIMEOUT_MAX)

    monkeypatch.setattr(lock._server, "_wait", too_late)
    assert lock.acquire_write_lock(timeout=0.01) is False
    assert (keys.inside, keys.queue) == (["other:2"], [])


def test_scripts_that_the_server_forgot_are_sent_again(lock, keys, admin):
    """SCRIPT FLUSH before every call."""
    for _ in range(5):
        admin.script_flush()
        lock.acquire_write_lock()
        admin.script_flush()
        lock.acquire_read_lock()
        lock.release_write_lock()
        admin.script_flush()
        lock.release_read_lock()
    assert keys.inside == []


def test_full_server_lets_out_and_nobody_in(lock, keys, admin, pool):
    """At maxmemory acquire is Refused and leaves nothing; release and extend work."""
    lock.acquire_write_lock()
    waiting = keys.acquire("other:1")
    before = keys.fields
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(Refused):
            pool.submit(lock.acquire_write_lock, timeout=1).result(20)
        assert (keys.fields, keys.queue) == (before, ["other:1"])
        assert keys.extend(keys.writer)[0] == "OK"
        lock.release_write_lock()
    finally:
        admin.config_set("maxmemory", 0)
    assert waiting[0] == "QUEUED"
    assert keys.writer == "other:1"


def test_key_in_the_way_is_named_and_left_alone(lock, keys):
    """CorruptKey from every call."""
    keys.client.execute("DEL", keys.keys.lock)
    keys.client.execute("SET", keys.keys.lock, "in the way")
    for call in (lock.acquire_read_lock, lock.acquire_write_lock, lock.holders):
        with pytest.raises(CorruptKey) as caught:
            call()
        assert caught.value.key == keys.keys.lock
    assert keys.client.execute("GET", keys.keys.lock) == b"in the way"


# Heartbeats


def test_renewals_that_fail_for_a_while_are_made_up_for(lock, keys, proxy):
    """Errors come and go; the section goes on."""
    lock._server.lease_s = 1.0
    with lock.write_lock():
        first = int(keys.fields["deadline"])
        proxy.arm("drop_request", match=sha("lock_extend"), times=3)
        eventually(lambda: int(keys.fields["deadline"]) > first + 1500)
        assert proxy.hits == 3
        lock.check()
    assert keys.inside == []


@pytest.mark.parametrize("fault", ["drop_request", "blackhole"])
def test_unreachable_server_makes_a_section_lost_at_its_end(lock, keys, proxy, fault):
    """Here at the deadline, without a word from there."""
    lock._server.lease_s = 0.5
    with pytest.raises(LeaseLost), lock.write_lock():
        proxy.arm(fault, match=b"EVALSHA", times=None)
        lost = lock.lost
        assert lost.wait(5)
        with pytest.raises(LeaseLost):
            lock.check()
        proxy.disarm()
    assert proxy.hits


def test_renewal_that_races_the_release_revives_nothing(lock, keys, monkeypatch):
    """It was sent before, and arrives after: nobody holds the lock."""
    sent, go_on, done = threading.Event(), threading.Event(), threading.Event()
    run = Client.run_script

    def gated(client, script, *rest, **options):
        if script == catalogue()["lock_extend"].sha:
            sent.set()
            assert go_on.wait(20)
            try:
                return run(client, script, *rest, **options)
            finally:
                done.set()
        return run(client, script, *rest, **options)

    monkeypatch.setattr(Client, "run_script", gated)
    lock._server.lease_s = 0.6
    with lock.write_lock():
        assert sent.wait(20)
        lost = lock.lost
    go_on.set()
    assert done.wait(20)
    assert (keys.inside, keys.readers) == ([], [])
    assert lock.acquire_write_lock(blocking=False)
    assert not lock.lost.is_set()
    del lost


def test_locks_of_different_leases_are_each_renewed_in_time(lock, proxy):
    """One thread renews them all."""
    before = heartbeats()
    backend = type("Backend", (), {"client": lock._server.client})
    others = [
        ReaderWriterLock(backend, f"other-{number}", lease_s=lease_s)
        for number, lease_s in enumerate((0.3, 0.5, 5.0))
    ]
    for other in others:
        other.acquire_write_lock()
    kept = [other._shared.hold.lease for other in others]
    first = [lease.trusted_until for lease in kept]
    eventually(lambda: kept[0].trusted_until > first[0] + 1)
    assert kept[1].trusted_until > first[1]
    assert heartbeats() <= before
    for other in others:
        other.release_write_lock()


def heartbeats():
    """Name the heartbeat threads of this process."""
    threads = threading.enumerate()
    return {each.ident for each in threads if each.name == "redisflow-heartbeat"}
