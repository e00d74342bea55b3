"""The lock's methods: fasteners' semantics between threads, and what leases add."""

# ruff: noqa: PT012  # it is the end of a section that raises

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisflow import ReaderWriterLock, RedisBackend, lease
from redisflow.client import Client
from redisflow.errors import ConfigError, FlowLost, LeaseLost, Locked
from redisflow.keys import Keys
from redisflow.scripts import catalogue
from tests.support.eventually import eventually
from tests.support.locks import ScriptedLock
from tests.support.storages import Noop


@pytest.fixture
def two_storages(storage, other):
    """Open two storages on one flow, with atoms "a" and "b"."""
    storage.ensure_atom(Noop("b"))
    return storage, other


@pytest.fixture
def lock(backend):
    """Name a lock."""
    return ReaderWriterLock(backend, "nightly")


@pytest.fixture
def keys(backend, namespace):
    """Look at the same lock through its scripts, as owners of other processes."""
    return ScriptedLock(backend.client, Keys(namespace).of_lock("nightly"))


@pytest.fixture
def pool():
    """Run functions in other threads."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def held_elsewhere(pool, section):
    """Hold a lock in another thread; returns what lets go of it."""
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with section:
            held.set()
            assert let_go.wait(20)

    future = pool.submit(hold)
    assert held.wait(20)

    def release():
        let_go.set()
        future.result(20)

    return release


def awaiting(lock, *does):
    """Wait until so many wait, for this."""
    eventually(lambda: [waiter.does for waiter in lock.waiters()] == list(does))


# fasteners' table


def test_constructing_asks_nobody():
    """A lock on a server that is not there is an object like any other."""
    backend = RedisBackend.from_url("redis://127.0.0.1:1/0")

    assert "lock:nightly" in repr(ReaderWriterLock(backend, "nightly"))


def test_writer_excludes_all_others(lock, pool):
    """Nobody else is in, and each is told so, or waits."""
    with lock.write_lock() as same:
        assert same is lock
        assert lock.is_writer()
        assert not lock.is_reader()
        assert lock.owner == lock.WRITER == "w"
        for attempt in (lock.acquire_write_lock, lock.acquire_read_lock):
            assert pool.submit(attempt, blocking=False).result(20) is False
            assert pool.submit(attempt, timeout=0.05).result(20) is False
    assert lock.owner is None
    assert not lock.is_writer()


def test_readers_are_in_together_and_exclude_writers(lock, pool):
    """Two threads read; a third does not write."""
    release = held_elsewhere(pool, lock.read_lock())
    with lock.read_lock():
        assert lock.is_reader()
        assert lock.owner == lock.READER == "r"
        assert len(lock.holders()) == 2
        assert not pool.submit(lock.acquire_write_lock, timeout=0.05).result(20)
    release()
    assert lock.owner is None


def test_reader_may_read_again_while_a_writer_waits(lock, pool):
    """Depth is counted here: the queue is not asked."""
    with lock.read_lock():
        writing = pool.submit(lock.acquire_write_lock)
        awaiting(lock, "awaits-write")
        assert lock.has_pending_writers
        with lock.read_lock():
            assert not pool.submit(lock.acquire_read_lock, blocking=False).result(20)
        assert lock.is_reader()
        assert not writing.done()
    assert writing.result(20) is True


def test_writer_may_write_again_and_read(lock):
    """Sections nest; the last one out frees the lock."""
    with lock.write_lock():
        fence = lock.fence
        with lock.write_lock(), lock.read_lock():
            lock.acquire_write_lock()
            assert lock.fence == fence
            lock.release_write_lock()
        assert lock.is_writer()
        assert len(lock.holders()) == 1
    assert lock.holders() == []
    assert lock.fence is None


def test_writer_reads_while_others_wait_to_write(lock, pool):
    """Its own read does not queue behind them."""
    with lock.write_lock():
        writing = pool.submit(lock.acquire_write_lock)
        awaiting(lock, "awaits-write")
        with lock.read_lock():
            assert lock.is_reader()
    assert writing.result(20)


def test_writer_that_ends_writing_first_goes_on_reading(lock, pool):
    """Others may then read too, and nobody has written in between."""
    lock.acquire_write_lock()
    lock.acquire_read_lock()
    reading = pool.submit(lock.acquire_read_lock)
    awaiting(lock, "awaits-read")

    lock.release_write_lock()

    assert reading.result(20)
    assert (lock.is_writer(), lock.is_reader(), lock.fence) == (False, True, None)
    assert {holder.does for holder in lock.holders()} == {"reads"}
    lock.release_read_lock()
    assert len(lock.holders()) == 1


def test_reader_may_not_begin_to_write(lock):
    """RuntimeError before it queues, and its read goes on."""
    with lock.read_lock():
        with pytest.raises(RuntimeError, match="privilege escalation"):
            lock.acquire_write_lock()
        with pytest.raises(RuntimeError, match="privilege escalation"):
            lock.write_lock().__enter__()
        assert lock.waiters() == []
        assert lock.is_reader()


@pytest.mark.parametrize("side", ["read", "write"])
def test_release_of_what_is_not_held_is_an_error(lock, pool, side):
    """RuntimeError, and another thread's section goes on."""
    release = held_elsewhere(pool, lock.write_lock())
    with pytest.raises(RuntimeError, match=f"does not own a {side} lock"):
        getattr(lock, f"release_{side}_lock")()
    assert lock.owner == "w"
    release()


@pytest.mark.parametrize("side", ["read", "write"])
def test_release_by_hand_inside_a_section_is_all_there_is_to_release(lock, pool, side):
    """The section's own end then frees nobody else's."""
    with getattr(lock, f"{side}_lock")():
        getattr(lock, f"release_{side}_lock")()
        release = held_elsewhere(pool, lock.write_lock())
    assert lock.owner == "w"
    release()


def test_exception_in_a_section_frees_the_lock(lock):
    """It is raised as it was."""
    for section in (lock.read_lock, lock.write_lock):
        with pytest.raises(KeyError, match="mine"), section():
            raise KeyError("mine")
        assert lock.owner is None


def test_section_that_is_not_had_in_time_raises(lock, pool):
    """Locked names the key; nothing is left in the queue."""
    release = held_elsewhere(pool, lock.write_lock())
    for options in ({"timeout": 0.05}, {"blocking": False}):
        for section in (lock.read_lock, lock.write_lock):
            with pytest.raises(Locked) as caught, section(**options):
                pytest.fail("inside")
            assert caught.value.lock.endswith("{lock:nightly}:lock")
    assert lock.waiters() == []
    release()


def test_is_writer_may_count_one_who_waits(lock, pool):
    """With check_pending, about the calling thread only."""
    release = held_elsewhere(pool, lock.write_lock())
    answers = []

    class Looks:
        """Looks at the lock where the waiting thread is."""

        def wait(self, *_args, **_options):
            """Ask, and stop waiting."""
            answers.append((lock.is_writer(), lock.is_writer(check_pending=False)))
            with pytest.raises(RuntimeError, match="waiting to write"):
                lock.acquire_read_lock()
            raise KeyboardInterrupt

    lock._server._wait = Looks().wait
    with pytest.raises(KeyboardInterrupt):
        lock.acquire_write_lock()
    assert answers == [(True, False)]
    assert not lock.is_writer()
    assert lock.waiters() == []
    release()


@pytest.mark.parametrize("begun", [False, True])
def test_section_that_is_cut_short_at_its_beginning_is_left(lock, monkeypatch, begun):
    """No thread for the renewals, or Ctrl-C while it starts: the lock is free."""
    keep = lease.keep

    def cut_short(kept):
        if begun:
            keep(kept)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lease, "keep", cut_short)
        with pytest.raises(KeyboardInterrupt):
            lock.acquire_write_lock()

    assert not lock.is_writer()
    assert lock.holders() == []
    with lock.write_lock():
        assert len(lock.holders()) == 1


def test_thread_that_does_not_start_is_started_next_time(lock, monkeypatch):
    """The process has too many: renewals begin with the next section."""
    monkeypatch.setattr(lease, "_heartbeats", {})
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            lock.acquire_write_lock()
    with lock.write_lock():
        (heartbeat,) = lease._heartbeats.values()
        assert heartbeat._thread.is_alive()


def no_thread(_self):
    """Fail as a process does that has too many threads."""
    raise RuntimeError("can't start new thread")


def test_lock_objects_of_one_name_are_one_lock(lock, url, backend, pool):
    """In one thread they nest; between threads they exclude each other."""
    other = ReaderWriterLock(RedisBackend.from_url(url), "nightly", lease_s=5)
    with lock.write_lock():
        assert other.is_writer()
        with other.write_lock():
            assert other.fence == lock.fence
            assert not pool.submit(other.acquire_write_lock, blocking=False).result(20)
        assert lock.owner == "w"
    assert other.owner is None
    assert ReaderWriterLock(backend, "daily").acquire_write_lock(blocking=False)


def test_queue_is_fair(lock, keys, pool):
    """R1 W1 R2 R3 W2 enter in this order, R2 and R3 together."""
    lock.acquire_write_lock()
    order, log = ("r1", "w1", "r2", "r3", "w2"), []
    both = threading.Barrier(2)

    def enter(name):
        with lock.read_lock() if name[0] == "r" else lock.write_lock():
            if name in ("r2", "r3"):
                both.wait(20)
            log.append(name)

    futures = []
    for position, name in enumerate(order, 1):
        futures.append(pool.submit(enter, name))
        eventually(lambda n=position: len(keys.queue) == n)
    lock.release_write_lock()
    for future in futures:
        future.result(20)
    assert [*log[:2], *sorted(log[2:4]), *log[4:]] == list(order)


@pytest.mark.parametrize(("many", "one"), [("read", "write"), ("write", "read")])
def test_nobody_starves(lock, pool, many, one):
    """Overlapping sections of one side without end: the other side has its turn."""
    done = threading.Event()

    def loop():
        sections = 0
        while not done.is_set():
            with getattr(lock, f"{many}_lock")(timeout=20):
                sections += 1
        return sections

    crowd = [pool.submit(loop) for _ in range(4)]
    try:
        for _ in range(5):
            with getattr(lock, f"{one}_lock")(timeout=20):
                pass
    finally:
        done.set()
    assert all(future.result(20) for future in crowd)


# Leases


@pytest.mark.parametrize("lease_s", [0, -1, float("nan"), float("inf")])
def test_lease_of_no_length_is_refused(backend, lease_s):
    """ConfigError when the lock is made."""
    with pytest.raises(ConfigError, match="lease_s"):
        ReaderWriterLock(backend, "nightly", lease_s=lease_s)


def test_lease_is_renewed_while_it_is_held(backend, keys):
    """A section may last many leases; the heartbeat asks on its own connection."""
    lock = ReaderWriterLock(backend, "nightly", lease_s=0.3)
    with lock.write_lock():
        first = int(keys.fields["deadline"])
        eventually(lambda: int(keys.fields["deadline"]) > first + 600)
        lock.check()
        assert not lock.lost.is_set()


def test_fences_grow(lock):
    """Each write section has a greater one than all before."""
    fences = []
    for _ in range(20):
        with lock.write_lock():
            fences.append(lock.fence)
    assert fences == sorted(set(fences))


def test_lost_lease_is_told_in_every_way(backend, keys):
    """The event, the callback, check, and the end of the section."""
    told = []
    lock = ReaderWriterLock(backend, "nightly", lease_s=0.3, on_lost=told.append)
    with pytest.raises(LeaseLost) as caught, lock.write_lock():
        lost = lock.lost
        keys.lapse(keys.writer)
        assert keys.acquire("other:1")[0] == "HELD"
        assert lost.wait(20)
        eventually(lambda: told == [lock])
        with pytest.raises(LeaseLost):
            lock.check()
        with pytest.raises(LeaseLost), lock.write_lock():
            pytest.fail("inside")
    assert caught.value.lock == keys.keys.lock
    assert keys.writer == "other:1"
    lock.check()
    assert not lock.lost.is_set()


def test_lost_lease_does_not_hide_an_exception(backend, keys):
    """What the body raised is what comes out."""
    lock = ReaderWriterLock(backend, "nightly")
    with pytest.raises(KeyError, match="mine"), lock.write_lock():
        keys.lapse(keys.writer)
        raise KeyError("mine")
    assert keys.inside == []


@pytest.mark.parametrize("side", ["read", "write"])
def test_release_tells_of_a_lost_lease(lock, keys, side):
    """LeaseLost from release too, and the thread holds nothing any more."""
    getattr(lock, f"acquire_{side}_lock")()
    keys.lapse(keys.inside[0])

    with pytest.raises(LeaseLost):
        getattr(lock, f"release_{side}_lock")()

    assert not lock.is_reader()
    assert not lock.is_writer()
    assert lock.acquire_write_lock(blocking=False)
    lock.release_write_lock()


def test_downgrade_of_a_lost_lease_is_no_read_section(lock, keys):
    """LeaseLost at once: others may have written in between."""
    lock.acquire_write_lock()
    lock.acquire_read_lock()
    keys.lapse(keys.writer)

    with pytest.raises(LeaseLost):
        lock.release_write_lock()
    with pytest.raises(LeaseLost):
        lock.check()
    with pytest.raises(LeaseLost):
        lock.release_read_lock()
    assert lock.owner is None


def test_thread_that_dies_in_its_section_is_renewed_no_longer(backend, keys):
    """The next one enters at the end of its lease; a new thread inherits nothing."""
    lock = ReaderWriterLock(backend, "nightly", lease_s=0.3)
    idents = []

    def die():
        lock.acquire_write_lock()
        idents.append(threading.get_ident())

    for _ in range(2):
        thread = threading.Thread(target=die)
        thread.start()
        thread.join()
        del thread
        gc.collect()
    assert lock.acquire_write_lock(timeout=20)
    assert keys.writer
    lock.release_write_lock()


# Operators


def test_holders_and_waiters_are_listed_with_who_they_are(lock, pool):
    """Host, process, thread, age and lease of each."""
    with lock.write_lock():
        writing = pool.submit(lock.acquire_write_lock, timeout=20)
        awaiting(lock, "awaits-write")
        (waiter,), (holder,) = lock.waiters(), lock.holders()  # the older one is later
    assert writing.result(20)
    assert holder.does == "writes"
    assert holder.thread == threading.current_thread().name
    assert (holder.host, holder.pid) == (waiter.host, waiter.pid)
    assert waiter.thread.startswith("ThreadPool")
    assert 0 <= waiter.age_s <= holder.age_s < 20
    assert 10 < holder.lease_s <= 15


def test_force_release_lets_the_next_one_in(lock, keys, pool):
    """The holder's section is lost, and it is told."""
    with pytest.raises(LeaseLost), lock.write_lock():
        writing = pool.submit(lock.acquire_write_lock, timeout=20)
        awaiting(lock, "awaits-write")
        (out,) = lock.force_release("stuck since noon")
        assert out.thread == threading.current_thread().name
        assert writing.result(20)
    assert keys.fields["broken_for"] == "stuck since noon"
    assert lock.force_release("nobody has released it") != []
    assert lock.force_release("nobody is in") == []


def test_lock_that_was_never_used_is_free(lock):
    """Looking at it creates nothing."""
    assert (lock.holders(), lock.waiters(), lock.owner) == ([], [], None)
    assert lock.force_release("just so") == []


# The lock of a flow


def test_section_of_a_flow_keeps_the_writes_of_others_out(two_storages, pool):
    """They wait their turn; the section's own writes go through."""
    ours, theirs = two_storages
    with ours.lock.write_lock():
        writing = pool.submit(theirs.set_atom_state, "a", "RUNNING")
        awaiting(ours.lock, "awaits-write")
        assert ours.get_atom_state("a") == "PENDING"
        ours.set_atom_intention("a", "REVERT")
        assert not writing.done()
    writing.result(20)
    assert ours.get_atom_state("a") == "RUNNING"
    assert ours.lock.holders() == []


def test_reader_keeps_writes_out_and_writes_nothing_itself(two_storages, pool):
    """RuntimeError, before anything is sent, for one who holds the read side only."""
    ours, theirs = two_storages
    with ours.lock.read_lock():
        with pytest.raises(RuntimeError, match="only the read side"):
            ours.set_atom_state("a", "RUNNING")
        writing = pool.submit(theirs.set_atom_state, "a", "RUNNING")
        awaiting(ours.lock, "awaits-write")
        assert ours.get_atom_state("a") == "PENDING"
    writing.result(20)


def test_compare_and_set_waits_for_its_turn_once(two_storages, pool, monkeypatch):
    """It is refused, waits, is let in by the hint, moves the state and leaves."""
    ours, theirs = two_storages
    theirs.get_atom_state("a")
    names = {script.sha: name for name, script in catalogue().items()}
    sent, run = [], Client.run_script

    def noted(client, sha, *rest, **options):
        if client is theirs.backend.client:
            sent.append(names[sha])
        return run(client, sha, *rest, **options)

    with ours.lock.write_lock():
        monkeypatch.setattr(Client, "run_script", noted)
        moving = pool.submit(
            theirs.transition_atom_state, "a", "RUNNING", expected="PENDING"
        )
        awaiting(ours.lock, "awaits-write")
    assert moving.result(20) == (True, "PENDING")
    asked = [name for name in sent if name not in ("lock_list", "lock_extend")]
    waited = asked.count("lock_acquire")  # again only after a second without a hint
    assert asked == [
        "atom_transition",
        *["lock_acquire"] * max(1, waited),
        "atom_transition",
        "lock_release",
    ]


def test_write_that_waits_too_long_is_not_applied(two_storages, pool, monkeypatch):
    """Locked, which is an Unavailable: whoever handles that handles this."""
    ours, theirs = two_storages
    with ours.lock.write_lock():
        call = theirs._scripts.call
        monkeypatch.setattr(
            theirs._scripts,
            "call",
            lambda *a, **k: call(*a, **{**k, "deadline_s": 0.1}),
        )
        writing = pool.submit(theirs.set_atom_state, "a", "RUNNING")
        with pytest.raises(Locked) as caught:
            writing.result(20)
        assert caught.value.outcome == "not applied"
        assert ours.lock.waiters() == []
    assert ours.get_atom_state("a") == "PENDING"


def test_write_after_the_lease_is_refused_and_told(two_storages, pool):
    """LeaseLost from the write and from the section's end; nothing was changed."""
    ours, theirs = two_storages
    keys = ScriptedLock(ours.backend.client, ours.backend.keys.of_flow(ours.flow_uuid))
    with pytest.raises(LeaseLost), ours.lock.write_lock():
        keys.lapse(keys.writer)
        pool.submit(theirs.set_atom_state, "a", "RUNNING").result(20)
        with pytest.raises(LeaseLost):
            ours.set_atom_state("a", "SUCCESS")
        assert ours.lock.lost.is_set()
    assert theirs.get_atom_state("a") == "RUNNING"


def test_lock_of_a_flow_that_is_gone_is_not_created(two_storages, admin, namespace):
    """FlowLost: half a flow would be worse than none."""
    ours, _ = two_storages
    ours.get_flow_state()
    for key in admin.scan_iter(f"{namespace}:{{{ours.flow_uuid}}}:*"):
        admin.delete(key)

    with pytest.raises(FlowLost):
        ours.lock.acquire_write_lock()

    assert not list(admin.scan_iter(f"{namespace}:{{{ours.flow_uuid}}}:*"))


def test_force_release_of_a_flow_is_journaled(two_storages, admin):
    """An entry with the reason, and with who was in."""
    ours, theirs = two_storages
    with pytest.raises(LeaseLost), ours.lock.read_lock():
        theirs.lock.force_release("stuck since noon")
    events = ours.backend.keys.of_flow(ours.flow_uuid).events
    assert admin.xrevrange(events, count=1)[0][1]["reason"] == "stuck since noon"


def test_section_asks_once_for_what_has_changed(two_storages, received):
    """The first read syncs; no later one asks, nor does one after an own write."""
    ours, theirs = two_storages
    theirs.set_atom_state("a", "RUNNING")
    for section in (ours.lock.read_lock, ours.lock.write_lock):
        with section():
            assert received(lambda: ours.get_atom_state("a")) == ["EVALSHA"]
            assert received(lambda: ours.get_atoms_states(["a", "b"])) == []
            assert received(ours.get_flow_state) == []
            assert ours.get_atom_state("a") == "RUNNING"


WRITES = {
    "set_atom_state": lambda s, n: s.set_atom_state("a", STATES[n]),
    "set_atom_intention": lambda s, n: s.set_atom_intention("a", INTENTIONS[n]),
    "transition_atom_state": lambda s, n: s.transition_atom_state("a", STATES[n]),
    "update_atom_metadata": lambda s, n: s.update_atom_metadata("a", {"x": n}),
    "set_task_progress": lambda s, n: s.set_task_progress("a", n / 2),
    "save": lambda s, n: s.save("a", n),
    "reset": lambda s, _n: (s.set_atom_state("a", "RUNNING"), s.reset("a")),
    "update_flow_metadata": lambda s, n: s.update_flow_metadata({"x": n}),
    "set_flow_state": lambda s, n: s.set_flow_state(STATES[n]),
    "change_flow_state": lambda s, n: s.change_flow_state(STATES[n]),
    "inject": lambda s, n: s.inject({"x": n}),
}
STATES = ("RUNNING", "SUCCESS")
INTENTIONS = ("REVERT", "IGNORE")


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_own_write_in_a_section_is_seen_without_asking(two_storages, received, write):
    """The mirror shows it at once: nobody else can have changed anything."""
    ours, theirs = two_storages

    def look(storage):
        progress = storage.get_task_progress("a")
        return (
            storage.get_atoms_states(["a", "b"]),
            storage.flow_meta,
            storage.get_flow_state(),
            progress,
        )

    write(ours, 0)
    with ours.lock.write_lock():
        ours.get_atom_state("a")
        write(ours, 1)
        found = []
        assert received(lambda: found.append(look(ours))) == []
    assert look(theirs) == found[0]
