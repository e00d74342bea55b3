"""The lock between processes that die, stand still and fork."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time

import pytest
from taskflow.persistence import models

from redisflow import ReaderWriterLock, RedisBackend, Storage
from redisflow.keys import Keys
from tests.support.eventually import eventually
from tests.support.lock_process import LockProcess
from tests.support.locks import ScriptedLock
from tests.support.processes import Crew
from tests.support.storages import Noop

pytestmark = pytest.mark.one_server

LEASE_S = 1.0


@pytest.fixture
def backend(url):
    """Open a backend."""
    backend = RedisBackend.from_url(url)
    yield backend
    backend.close()


@pytest.fixture
def keys(backend, namespace):
    """Look at the lock."""
    keys = ScriptedLock(backend.client, Keys(namespace).of_lock("nightly"))
    keys.call("lock_create")
    return keys


@pytest.fixture
def process(url):
    """Start processes."""
    with contextlib.ExitStack() as stack:

        def start(name="nightly", **options):
            options.setdefault("lease_s", LEASE_S)
            return stack.enter_context(LockProcess(url, name, **options))

        yield start


def test_dead_holder_is_followed_at_the_end_of_its_lease(process, backend, keys):
    """The waiter is in by then, with a greater fence; not before."""
    holder = process()
    assert holder.call("acquire_write_lock")
    fence = keys.fence
    lock = ReaderWriterLock(backend, "nightly")
    holder.kill()
    killed = time.monotonic()

    with lock.write_lock(timeout=20):
        waited_s = time.monotonic() - killed
        assert LEASE_S / 2 < waited_s < LEASE_S + 0.5
        assert lock.fence > fence


def test_dead_waiter_at_the_head_costs_one_claim(process, keys):
    """Whoever is behind it is in after that."""
    waiter, next_one = process(), process()
    keys.acquire("other:1")
    waiter.ask("acquire_write_lock")
    eventually(lambda: len(keys.queue) == 1)
    next_one.ask("acquire_write_lock")
    eventually(lambda: len(keys.queue) == 2)
    waiter.kill()
    released = time.monotonic()
    keys.release("other:1")
    assert next_one.answer() is True
    assert time.monotonic() - released < LEASE_S


def test_waiter_that_stands_still_loses_its_turn_and_waits_anew(process, keys):
    """Granted while it was stopped, and given on: never two at a time."""
    first, second = process(), process()
    keys.acquire("other:1")
    first.ask("acquire_write_lock")
    eventually(lambda: len(keys.queue) == 1)
    second.ask("acquire_write_lock")
    eventually(lambda: len(keys.queue) == 2)
    first.stop()
    keys.release("other:1")
    assert second.answer() is True
    writer = keys.writer

    first.go_on()

    eventually(lambda: len(keys.queue) == 1)
    assert (keys.writer, first.answered) == (writer, False)
    second.call("release_write_lock")
    assert first.answer() is True


def test_holder_that_stood_still_does_no_harm(process, url):
    """Its late write is refused, it is told, and what was written since stays."""
    backend = RedisBackend.from_url(url)

    storage = Storage(
        models.FlowDetail("f", "11111111-1111-4111-8111-111111111111"), backend
    )
    storage.ensure_atom(Noop("a"))
    holder = process(storage.flow_uuid, lease_s=0.5, flow=True)
    assert holder.call("acquire_write_lock")
    assert holder.call("set_atom_state", "a", "RUNNING") is None
    holder.stop()
    with storage.lock.write_lock(timeout=20):
        storage.set_atom_state("a", "SUCCESS")

    holder.go_on()

    assert holder.call("set_atom_state", "a", "FAILURE") == "LeaseLost"
    assert holder.call("check") == "LeaseLost"
    assert holder.call("release_write_lock") == "LeaseLost"
    assert storage.get_atom_state("a") == "SUCCESS"
    assert holder.call("acquire_write_lock", timeout=20) is True


def test_child_of_a_fork_holds_nothing_of_its_parents(backend, keys):
    """It ends its parent's sections without a word, and is an owner of its own."""
    lock = ReaderWriterLock(backend, "nightly")
    here, there = os.pipe()
    with lock.write_lock():
        parent = keys.writer
        pid = os.fork()
        if pid == 0:
            _be_the_child(lock, there)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, os.read(here, 4096)
        assert keys.writer == parent
        lock.check()
    assert keys.inside == []
    child = os.read(here, 4096).decode()
    assert child.endswith(":in"), child
    assert child.split(":")[0] != parent.split(":")[0]


def _be_the_child(lock, there):
    """Look at the lock, wait for it in vain, leave the section, and be gone."""
    try:
        held = lock.is_writer(), lock.fence, lock.acquire_write_lock(timeout=0.05)
        assert held == (False, None, False), held
        with contextlib.suppress(RuntimeError):
            lock.release_write_lock()
        other = type(lock)(type("B", (), {"client": lock._server.client}), "daily")
        with other.write_lock():
            assert len(other.holders()) == 1
            heartbeats = [t for t in threading.enumerate() if "heartbeat" in t.name]
            assert len(heartbeats) == 1
        os.write(there, f"{other._shared.hold.owner}:in".encode())
    except BaseException as error:  # noqa: BLE001  # told to the parent
        os.write(there, repr(error).encode())
        os._exit(1)
    os._exit(0)


def test_section_that_a_fork_takes_along_is_not_ended_by_the_child(backend, keys):
    """The end of the with statement in the child releases nothing."""
    lock = ReaderWriterLock(backend, "nightly")
    parent = os.getpid()
    for section in (lock.read_lock, lock.write_lock):
        try:
            with section():
                inside = keys.inside
                pid = os.fork()
                if pid:
                    _, status = os.waitpid(pid, 0)
                    assert os.waitstatus_to_exitcode(status) == 0
                    assert keys.inside == inside != []
        except BaseException:
            if os.getpid() != parent:
                os._exit(1)
            raise
        if os.getpid() != parent:
            os._exit(0)


def hammer(turn, url, sections, write_every):
    """Enter so many sections as fast as can be; returns when each began and ended."""
    lock = ReaderWriterLock(RedisBackend.from_url(url), "nightly", lease_s=5)
    found = []
    turn.wait()
    for number in range(turn.index, turn.index + sections):
        writes = number % write_every == 0
        with lock.write_lock() if writes else lock.read_lock():
            entered = time.monotonic()
            fence = lock.fence
            found.append((writes, entered, time.monotonic(), fence))
    return found


@pytest.mark.parametrize(
    ("size", "each"), [(3, 80), pytest.param(8, 300, marks=pytest.mark.slow)]
)
def test_hammered_lock_lets_one_writer_or_many_readers_in(url, size, each):
    """No two sections overlap of which one writes; fences follow the order."""
    with Crew(size) as crew:
        histories = crew.race(hammer, url, each, 3)

    sections = sorted(
        itertools.chain.from_iterable(histories), key=lambda section: section[1]
    )
    assert len(sections) == each * size
    last_end = last_write_end = 0.0
    fence = 0
    for writes, entered, left, number in sections:
        assert entered >= (last_end if writes else last_write_end)
        last_end = max(last_end, left)
        if writes:
            last_write_end = left
            assert number > fence
            fence = number
