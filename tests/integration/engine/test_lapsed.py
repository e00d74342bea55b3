"""All leases have lapsed, as while the server was away, and those who had them live."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic

import pytest
from taskflow import states

from redisflow import RedisBackend
from redisflow.engine.membership import Membership
from redisflow.errors import InvalidState
from redisflow.operations import Subject, reset_atom, suspend_run
from tests.support.eventually import eventually
from tests.support.noting import Call, line, running, states_of

LEASE_S = 6.0

#: What is logged while workers are given time.
WAITING = "leases are over"


class Busy:
    """An engine that is amid a task, and whose lease is over.

    Attributes:
        engine: the engine.
        gate: lets the task end.
        outcome: the future of its run.
        lapse: lets its lease lapse once more, or gives it another end; and has the
            flow tell how long leases last: half of that is waited for.
    """

    def __init__(self, engine, gate, outcome, lapse):
        self.engine, self.gate, self.outcome = engine, gate, outcome
        self.lapse = lapse

    def assert_undisturbed(self):
        """Let it end, and see that nobody has taken its task."""
        self.gate.set()
        self.outcome.result(30)
        statistics = self.engine.statistics
        assert (statistics["stale"], statistics["completed"]) == (0, 1)


@pytest.fixture
def flow():
    """Make a flow of one task that waits, and what tells of it."""
    begun, gate = threading.Event(), threading.Event()

    def make():
        return line(Call("a", lambda: begun.set() or gate.wait(20)))

    make.begun, make.gate = begun, gate
    yield make
    gate.set()


@pytest.fixture
def busy(open_run, flow, admin):
    """Start an engine, and let its lease lapse though it will renew it in time."""
    engine = open_run(flow(), lease_s=LEASE_S)
    keys = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid)
    with running(engine) as outcome:
        try:
            assert flow.begun.wait(20)
            (worker,) = admin.zrangebyscore(keys.workers, "-inf", "(inf")

            def lapse(until_ms=1, told_s=10):
                admin.zadd(keys.workers, {worker: until_ms})
                admin.hset(keys.flow, "lease_ms", 1000 * told_s)

            lapse()
            yield Busy(engine, flow.gate, outcome, lapse)
        finally:
            flow.gate.set()


@pytest.fixture
def dead(open_run, flow, monkeypatch):
    """Start an engine that never renews its lease of 2 s, and wait for its end.

    Gives the engine; ``lease_ms`` of the flow can be set to have it waited for longer.
    """
    monkeypatch.setattr(Membership, "keep", lambda _membership: None)
    engine = open_run(flow(), lease_s=2)
    with running(engine) as outcome:
        try:
            assert flow.begun.wait(20)
            eventually(lambda: not looked_at(engine).live)
            yield engine
        finally:
            flow.gate.set()
            outcome.result(30)


@pytest.fixture
def subject(busy, url):
    """Come as an operator does: with connections that have just been made."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        yield Subject(backend, busy.engine.storage.flow_uuid)


@pytest.mark.slow
def test_one_who_comes_gives_others_time(open_run, flow, busy):
    """Another engine does not begin before they had time to renew."""
    two = open_run(flow(), lease_s=60)
    with running(two) as second:
        eventually(lambda: two.on_since is not None, 20)
        busy.assert_undisturbed()
        second.result(30)


@pytest.mark.slow
def test_operator_gives_workers_time(busy, subject):
    """What one suspends has a worker still: its task ends, and is recorded."""
    assert suspend_run(subject) == states.SUSPENDING
    busy.assert_undisturbed()
    assert states_of(busy.engine) == {"a": states.SUCCESS}


@pytest.mark.slow
def test_nothing_is_reset_under_those_who_live(busy, subject):
    """What they hold stays theirs."""
    with pytest.raises(InvalidState, match="worker"):
        reset_atom(subject, "a")
    busy.assert_undisturbed()


@pytest.mark.slow
def test_nothing_is_saved_under_those_who_live(busy, url):
    """A detail that somebody writes by hand does not take the task away."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        connection = backend.get_connection()
        detail = connection.get_flow_details(busy.engine.storage.flow_uuid)
        atom = next(atom for atom in detail if atom.name == "a")
        atom.state = states.FAILURE
        with pytest.raises(InvalidState, match="is held by worker"):
            connection.update_atom_details(atom)
    busy.assert_undisturbed()


def test_dead_are_given_half_a_lease(dead, flow, url):
    """Whoever has not renewed by then is dead, and the run is ended without it."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        came = monotonic()
        assert suspend_run(Subject(backend, dead.storage.flow_uuid)) == states.SUSPENDED
        assert monotonic() - came >= 1
    flow.gate.set()
    eventually(lambda: dead.statistics["stale"] == 1)


@pytest.mark.slow
def test_one_who_was_idle_gives_others_time(open_run, flow, busy):
    """Whoever did not ask for a while does not know what was meanwhile."""
    two = open_run(flow(), lease_s=60)
    Event().wait(5.5)
    busy.lapse()
    with running(two) as second:
        eventually(lambda: two.on_since is not None, 20)
        busy.assert_undisturbed()
        second.result(30)


def test_one_who_comes_waits_no_longer_than_for_others(open_run, flow, busy):
    """Once they have renewed there is nobody to wait for."""
    two = open_run(flow(), lease_s=60)
    busy.lapse(told_s=120)
    came = monotonic()
    with running(two) as second:
        busy.lapse(2**52, told_s=120)
        eventually(lambda: two.on_since is not None, 30)
        assert two.on_since - came < 30
        busy.assert_undisturbed()
        second.result(30)


def test_drained_while_it_waits(open_run, flow, dead, admin, caplog):
    """Whoever is to take no more does not wait for that first."""
    two = open_run(flow(), lease_s=60)
    admin.hset(flow_key(dead), "lease_ms", 120_000)
    with running(two) as second:
        eventually(lambda: WAITING in caplog.text)
        two.drain()
        second.result(30)
    assert two.statistics["completed"] == 0


@pytest.mark.slow
def test_breaks_while_one_waits_count(dead, url, admin, caplog):
    """The server has to answer for half a lease without a break, whoever else asks."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        subject = Subject(backend, dead.storage.flow_uuid)
        admin.hset(flow_key(dead), "lease_ms", 6000)
        came = monotonic()
        with ThreadPoolExecutor(1) as pool:
            suspended = pool.submit(suspend_run, subject)
            eventually(lambda: WAITING in caplog.text)
            admin.execute_command("CLIENT", "PAUSE", 3300, "ALL")
            assert suspended.result(30) == states.SUSPENDED
    assert monotonic() - came > 3.3 + 3


def test_dead_are_found_though_others_wait_for_answers(dead, url):
    """What is long in coming for others of the same client holds nobody up."""
    over = threading.Event()
    with contextlib.closing(RedisBackend.from_url(url)) as backend:

        def ask():
            while not over.is_set():
                backend.client.execute("BLPOP", backend.keys.wake("nobody"), 0.6)

        subject = Subject(backend, dead.storage.flow_uuid)
        with ThreadPoolExecutor(2) as pool:
            asking = pool.submit(ask)
            try:
                suspended = pool.submit(suspend_run, subject)
                assert suspended.result(10) == states.SUSPENDED
            finally:
                over.set()
                asking.result(10)


def test_lease_of_a_run_that_is_over_was_not_lost(open_run, flow, caplog):
    """Whoever renews before he hears of the end is not told that he was dead."""
    engine = open_run(flow(), lease_s=LEASE_S)
    late = Membership(engine.storage, run=1, lease_s=LEASE_S, max_attempts=3, tag=None)
    late.keep()
    looks = []
    late.swept = lambda: looks.append("ended")
    try:
        flow.gate.set()
        engine.run()
        late._beat()
    finally:
        late.forget()
    assert looks == ["ended"]
    assert not late.lost
    assert "was lost" not in caplog.text


def flow_key(engine):
    """Name the hash of an engine's flow."""
    return engine.storage.backend.keys.of_flow(engine.storage.flow_uuid).flow


def looked_at(engine):
    """Bring an engine's mirror up to date."""
    engine.storage.mirror.sync()
    return engine.storage.mirror


def test_client_knows_since_when_the_server_answers(url, admin, namespace, monkeypatch):
    """Not to have asked, a late answer, and a lost connection, are breaks."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        client, came = backend.client, monotonic()
        client.execute("GET", f"{namespace}:nothing")
        first = client.steady_since
        assert first > came
        client.execute("GET", f"{namespace}:nothing")
        assert client.steady_since == first
        monkeypatch.setattr("redisflow.client.link.SILENT_S", 0.1)
        Event().wait(0.2)
        client.execute("GET", f"{namespace}:nothing")
        assert client.steady_since >= first + 0.2
        monkeypatch.undo()
        client.execute("BLPOP", f"{namespace}:nothing", 0.7)
        late = client.steady_since
        assert late >= first + 0.5
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(client.execute, "BLPOP", f"{namespace}:nothing", 3)
            eventually(lambda: admin.info("clients")["blocked_clients"] == 1)
            cut = monotonic()
            admin.client_kill_filter(skipme=True, _type="normal")
            eventually(lambda: client.steady_since >= cut)
            admin.rpush(f"{namespace}:nothing", "")
            assert waits.result(20)
