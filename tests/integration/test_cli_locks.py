"""``redisflow locks``: who holds a lock, who waits, and taking it away from them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from redisflow import ReaderWriterLock
from redisflow.errors import LeaseLost
from tests.support.eventually import eventually
from tests.support.lock_process import LockProcess
from tests.support.screen import Screen, environment

HERE = f"{os.uname().nodename[:24]}:{os.getpid()}"
WHY = "ctl-2 hangs, ticket 4711"


@pytest.fixture
def pool():
    """Run things in a thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def lock(backend):
    """Make a lock that belongs to no flow."""
    return ReaderWriterLock(backend, "reports")


def document(typed, *words):
    """Type a command that prints one document."""
    status, out, _err = typed(*words, "-o", "json")
    assert status == 0
    return json.loads(out)


def test_nothing_is_held(typed, lock):
    """People are told; programs get an empty list, or no line."""
    assert typed("locks") == (0, "no lock is held\n", "")
    assert document(typed, "locks") == {"locks": []}
    assert typed("locks", "-o", "jsonl")[1] == ""


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "json", "reports"),
        ("--output", "json", "show", "reports"),
        ("--output=json", "reports"),
    ],
)
def test_options_may_stand_before_the_name(typed, lock, words):
    """As with other commands: it is one lock that is shown, as JSON."""
    with lock.write_lock():
        status, out, _err = typed("locks", *words)
        assert status == 0
        (found,) = json.loads(out)["locks"]
    assert len(found["holders"]) == 1


def test_who_holds_it_and_who_waits(typed, lock, pool, storage):
    """A line for each, with process, thread, lease and fence; the same as JSON."""
    with lock.write_lock(), storage.lock.read_lock():
        waiting = pool.submit(lock.acquire_write_lock, timeout=20)
        eventually(lock.waiters)
        _status, out, _err = typed("locks")
        (by_name,) = document(typed, "locks", "reports")["locks"]
        both = document(typed, "locks")["locks"]
        fence = lock.fence
    assert waiting.result(20)
    heads, *rows = [line.split() for line in out.splitlines()]
    assert heads[:4] == ["LOCK", "WHO", "THREAD", "DOES"]
    assert sorted(row[0] for row in rows) == ["f", "reports", "reports"]
    assert {row[1] for row in rows} == {HERE}
    assert str(fence) in out
    assert "awaits-write" in out
    assert by_name["fence"] == fence
    (holder,), (waiter,) = by_name["holders"], by_name["waiters"]
    assert (holder["does"], waiter["does"]) == ("writes", "awaits-write")
    assert holder["pid"] == os.getpid()
    assert 10 < holder["lease_left_s"] <= 15
    assert waiter["ticket"]
    assert {each["flow_uuid"] for each in both} == {None, storage.flow_uuid}


def test_breaking_a_lock_loses_the_holder_its_section(typed, lock, pool):
    """Another process' holder is told, who waits comes in, and it is on record."""
    with pytest.raises(LeaseLost), lock.write_lock():  # noqa: PT012  lost at its end
        waiting = pool.submit(lock.acquire_write_lock, timeout=20)
        eventually(lock.waiters)
        status, out, err = typed("locks", "break", "reports", "--reason", WHY, "--yes")
        assert (status, out) == (0, "")
        assert err.splitlines()[0].startswith(f"redisflow: {HERE} MainThread writes, ")
        assert err.splitlines()[1] == (
            "redisflow: the lock reports was taken from 1 holder"
        )
        assert waiting.result(20)
    (shown,) = document(typed, "locks", "reports")["locks"]
    assert shown["broken_for"] == WHY
    assert shown["broken_by"].startswith(HERE)
    assert shown["broken_at"]
    (holder,) = shown["holders"]
    assert holder["thread"].startswith("ThreadPool")
    text = typed("locks", "reports")[1]
    assert text.splitlines()[-1].endswith(f": {WHY}")


@pytest.mark.one_server
def test_the_lock_of_a_flow_is_broken_on_its_journal(typed, storage, url, admin):
    """The process that held it loses its section; the journal has who and why."""
    with LockProcess(url, storage.flow_uuid, lease_s=15, flow=True) as process:
        assert process.call("acquire_write_lock")
        words = ("locks", "break", storage.flow_uuid, "--reason", WHY, "--yes")
        found = document(typed, *words)
        assert [each["does"] for each in found["broken"]] == ["writes"]
        assert process.call("release_write_lock") == "LeaseLost"
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    _id, entry = admin.xrevrange(keys.events, count=1)[0]
    assert entry["reason"] == WHY
    assert entry["worker"].startswith(HERE)
    shown = typed("tail", storage.flow_uuid, "--follow", "no")[1]
    assert f"reason: {WHY}" in shown.splitlines()[-1]
    assert storage.lock.holders() == []


def test_what_cannot_be_broken(typed, lock):
    """Nothing held is 5, an unknown lock 2, no reason 2, nobody to ask 2."""
    with lock.read_lock():
        pass
    break_it = ("locks", "break")
    status, out, err = typed(*break_it, "reports", "--reason", WHY, "--yes")
    assert (status, out) == (5, "")
    assert err == "redisflow: nobody holds the lock 'reports'\n"
    status, _out, err = typed(*break_it, "nobody-knows", "--reason", WHY, "--yes")
    assert (status, err.count("\n")) == (2, 1)
    with lock.read_lock():
        for words in (
            (),
            ("--yes",),
            ("--reason", " ", "--yes"),
            ("--reason", WHY),
        ):
            status, _out, err = typed(*break_it, "reports", *words)
            assert status == 2, words
            assert "Traceback" not in err
        status, out, err = typed(*break_it, "reports", "--reason", WHY, "--dry-run")
        assert (status, out) == (0, "")
        assert "would be taken away" in err
        assert len(lock.holders()) == 1
    assert document(typed, "locks", "reports")["locks"][0]["broken_for"] is None


@pytest.mark.slow
@pytest.mark.one_server
def test_the_holder_stays_in_sight_on_a_narrow_terminal(url, backend):
    """Names give way; who holds the lock, and how, does not."""
    name = "reports of all warehouses, one after the other, as they come in"
    held, go = threading.Event(), threading.Event()

    def hold():
        with ReaderWriterLock(backend, name).write_lock():
            held.set()
            go.wait(60)

    thread = threading.Thread(target=hold, name="a-thread-with-a-rather-long-name")
    thread.start()
    with contextlib.ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(go.set)
        assert held.wait(20)
        for columns in (80, 140):
            with Screen(
                "locks", columns=columns, environment=environment(url)
            ) as screen:
                assert screen.end() == 0
                heads, row = screen.lines
            assert len(row) <= columns
            assert HERE in row
            assert "writes" in row
            assert row.startswith("repo")
            assert heads.split()[0] == "LOCK"
