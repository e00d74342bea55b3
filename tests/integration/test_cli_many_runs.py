"""Ten thousand runs: what listing and clearing them costs the server."""

from __future__ import annotations

import json
import time

import pytest
from taskflow import states, task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.cli.app import invoke
from redisflow.keys import book_uuid_of, flow_uuid_of
from redisflow.looking.listing import PAGE, WantedRuns, list_runs
from tests.support.aging import age_indexes

MANY = 10_000
#: Of them, every so many has failed.
EVERY = 100
#: What one call may keep the server from others, in microseconds.
_SLOW_US = 5000
_HOUR_MS = 3_600_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.one_server]


class Noop(task.Task):
    """Does nothing."""

    def execute(self):
        """Do nothing."""


@pytest.fixture
def many_runs(backend, url, admin, namespace):
    """Store ten thousand runs that ended long ago, as copies of one that was run."""
    keys = backend.keys
    flow = linear_flow.Flow("f").add(Noop("a"), Noop("b"))
    engine = redisflow.load(flow, run_id="first", url=url)
    engine.run()
    engine.storage.backend.close()
    first = keys.of_flow(flow_uuid_of("first", namespace))
    pattern = admin.hgetall(first.flow)
    whole = list(admin.scan_iter(f"{namespace}:{{{first.flow_uuid}}}:*"))
    old = int(pattern["updated_at"]) - _HOUR_MS
    with admin.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            uuid = flow_uuid_of(f"r{number}", namespace)
            state = states.FAILURE if number % EVERY == 0 else states.SUCCESS
            mine = {"uuid": uuid, "meta:run_id": f'"r{number}"', "state": state}
            book_uuid = book_uuid_of(uuid)
            times = {"created_at": old, "updated_at": old, "book": book_uuid}
            flow = keys.of_flow(uuid).flow
            if state == states.FAILURE:  # these are removed: they have all keys
                for key in whole:
                    pipe.copy(key, key.replace(first.flow_uuid, uuid))
            else:
                pipe.copy(first.atoms, keys.of_flow(uuid).atoms)
            pipe.hset(flow, mapping=pattern | mine | times)
            pipe.zadd(keys.flows, {uuid: old + number})
            pipe.zadd(keys.books, {book_uuid: old + number})
            book = {"uuid": book_uuid, "name": "r", f"flow:{uuid}": 1}
            pipe.hset(keys.book(book_uuid), mapping=book)
            index = {f"{uuid}-{n}": uuid for n in range(3)}
            pipe.hset(keys.atom_index, mapping=index)
            if number % 1000 == 999:
                pipe.execute()


def slow_in_each(admin, operation, times=3):
    """Name the commands that take the server long whenever something is done.

    A busy machine makes any call slow once; a call that is too large is always slow.
    """
    before = admin.config_get("slowlog-log-slower-than")
    admin.config_set("slowlog-log-slower-than", _SLOW_US)
    names: set[bytes] = set()
    try:
        for number in range(times):
            admin.slowlog_reset()
            operation()
            found = {each["command"].split()[0] for each in admin.slowlog_get(1000)}
            names = names & found if number else found
            if not names:
                break
    finally:
        admin.config_set(*before.popitem())
    return names


@pytest.fixture
def gc(url, capfd):
    """Collect what is not wanted; gives the document."""

    def run(*words):
        capfd.readouterr()
        assert invoke(["gc", *words, "-o", "json", "--url", url]) == 0
        return json.loads(capfd.readouterr().out)

    return run


def test_listing(backend, admin, many_runs):
    """A page takes less than a second, and no call the server longer than 5 ms."""
    times = []

    def read():
        found = list_runs(backend, WantedRuns())
        for _ in range(MANY // PAGE):
            began = time.perf_counter()
            assert len([next(found) for _ in range(PAGE)]) == PAGE
            times.append(time.perf_counter() - began)
        assert len(list(found)) == 1
        failed = WantedRuns(states=frozenset({states.FAILURE}))
        assert len(list(list_runs(backend, failed))) == MANY // EVERY

    assert slow_in_each(admin, read) == set()
    assert max(times) < 1.0, times


def test_clearing(admin, gc, many_runs):
    """Neither looking nor removing keeps others from the server; the rest stays."""

    def look():
        found = gc("--older", "30m", "--dry-run")
        assert len(found["runs"]) == MANY
        assert found["garbage"] == {"flows": 0, "books": 0, "atoms": 0}

    def remove():
        words = ("--older", "30m", "--state", "FAILURE", "--limit", "20", "--yes")
        assert len(gc(*words)["runs"]) == 20

    assert slow_in_each(admin, look) == set()
    assert slow_in_each(admin, remove) == set()


def test_clearing_what_gone_runs_left(backend, admin, namespace, gc, many_runs):
    """Their entries in indexes, their logbooks and records go, and no call is slow."""
    with admin.pipeline(transaction=False) as pipe:
        for number in range(MANY // 2):
            uuid = flow_uuid_of(f"r{number}", namespace)
            pipe.delete(backend.keys.of_flow(uuid).flow)
        pipe.execute()
    age_indexes(admin, namespace)
    half = MANY // 2
    left = {"flows": half, "books": half, "atoms": 3 * half}

    def look():
        assert gc("--dry-run")["garbage"] == left

    assert slow_in_each(admin, look) == set()
    found = []
    slow = slow_in_each(admin, lambda: found.append(gc()["garbage"]), times=2)
    assert slow == set()
    assert found[0] == left
    assert found[1:] in ([], [dict.fromkeys(left, 0)])
    assert len(list(list_runs(backend, WantedRuns()))) == half + 1
