"""Many processes change the same atoms, and enter the same lock, at random.

What each of them was told, and when, has to be what one process could have been told
that did all of it alone. Clocks are those of this machine: its processes share one.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict

import pytest
from taskflow import states
from taskflow.persistence import models

from redisflow import ReaderWriterLock, RedisBackend, Storage
from redisflow.errors import InvalidState
from redisflow.persistence.names import ATOM_STATES
from redisflow.scripts import catalogue
from tests.support.linearizable import Call, order_of
from tests.support.processes import Crew, storage_of
from tests.support.proxy import Proxy
from tests.support.storages import Noop

pytestmark = [pytest.mark.one_server, pytest.mark.timeout(120)]

ATOMS = [f"a{number}" for number in range(20)]
READ = "read"

#: Processes, and calls of each.
SIZES = [(3, 150), pytest.param(8, 400, marks=pytest.mark.slow)]


def an_atom(state, what):
    """Be an atom: tell the state, or compare and set it as TaskFlow's table allows."""
    if what == READ:
        return state, state
    expected, new = what
    if (expected and state != expected) or new == state:
        return (False, state), state
    if not states.check_task_transition(state, new):
        return "InvalidState", state
    return (True, state), new


def change_at_random(turn, url, flow_uuid, seed, count):
    """Change and read atoms; returns each call with its atom."""
    storage, draw = storage_of(url, flow_uuid), random.Random(f"{seed}/{turn.index}")
    known = dict.fromkeys(ATOMS, states.PENDING)
    history = []
    turn.wait()
    for _ in range(count):
        atom = draw.choice(ATOMS)
        state = known[atom]
        likely = [s for s in ATOM_STATES if states.check_task_transition(state, s)]
        new = draw.choice(likely or ATOM_STATES)
        what = draw.choice([READ, (None, new), (state, new), (state, new)])
        if draw.random() < 0.1:
            what = (None, draw.choice(ATOM_STATES))
        begun = time.monotonic()
        try:
            if what == READ:
                answer = storage.get_atom_state(atom)
            else:
                answer = storage.transition_atom_state(atom, what[1], expected=what[0])
        except InvalidState as error:
            answer = type(error).__name__
        ended = time.monotonic()
        history.append((atom, Call(what, answer, begun, ended)))
        known[atom] = storage.mirror.atom(atom).detail.state
    return history


class Lossy(Proxy):
    """Loses every so many replies to a change of an atom."""

    def __init__(self, server_port, every):
        self.every, self.seen = every, 0
        self.sha = catalogue()["atom_transition"].sha.encode()
        super().__init__(server_port)

    def fate(self, request):
        """Count the changes, and lose some."""
        if self.every and self.sha in request:
            with self._lock:
                self.seen += 1
                if self.seen % self.every == 0:
                    self.hits += 1
                    return "drop_reply"
        return None


@pytest.fixture
def place(server, namespace):
    """Give the server and the namespace, past any proxy."""
    return server, namespace


@pytest.mark.parametrize("every", [0, 7], ids=["", "replies are lost"])
@pytest.mark.parametrize(("size", "count"), SIZES)
def test_changes_of_atoms(place, seed, size, count, every):
    """Each atom's history is linearizable, and the revision counts the wins."""
    server, namespace = place
    backend = RedisBackend.from_url(f"{server.url}?namespace={namespace}")
    storage = Storage(models.FlowDetail("f", str(uuid.uuid4())), backend)
    storage.ensure_atoms([Noop(name) for name in ATOMS])
    key = backend.keys.of_flow(storage.flow_uuid).flow
    before = int(backend.client.execute("HGET", key, "rev"))

    with Lossy(server.port, every) as proxy, Crew(size) as crew:
        way = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}"
        found = crew.race(change_at_random, way, storage.flow_uuid, seed, count)
        assert bool(proxy.hits) == bool(every)

    histories = defaultdict(list)
    for atom, call in (entry for history in found for entry in history):
        histories[atom].append(call)
    wins = 0
    for atom, history in histories.items():
        order = order_of(history, states.PENDING, an_atom)
        assert order is not None, (atom, history)
        won = [call for call in order if call.answer[0] is True]
        wins += len(won)
        last = won[-1].what[1] if won else states.PENDING
        assert storage.get_atom_state(atom) == last
    assert wins > len(ATOMS)
    assert int(backend.client.execute("HGET", key, "rev")) == before + wins
    backend.close()


def a_lock(state, what):
    """Be a lock: who writes, who reads, and the last fence."""
    writer, readers, last = state
    who, does, fence = what
    if does == "leaves":
        return True, ("", readers - {who}, last)
    if writer or (does == "writes" and readers) or (fence and fence <= last):
        return False, state
    if does == "writes":
        return True, (who, readers, fence)
    return True, ("", readers | {who}, last)


def enter_at_random(turn, url, sections):
    """Enter a lock so often and leave it; returns each of these calls."""
    lock = ReaderWriterLock(RedisBackend.from_url(url), "nightly", lease_s=5)
    draw, history = random.Random(turn.index), []
    turn.wait()
    for _ in range(sections):
        does = draw.choice(["writes", "reads", "reads"])
        begun = time.monotonic()
        with lock.write_lock() if does == "writes" else lock.read_lock():
            what = (turn.index, does, lock.fence)
            history.append(Call(what, True, begun, time.monotonic()))
            begun = time.monotonic()
        left = (turn.index, "leaves", None)
        history.append(Call(left, True, begun, time.monotonic()))
    return history


@pytest.mark.parametrize(
    ("size", "each"), [(3, 150), pytest.param(8, 60, marks=pytest.mark.slow)]
)
def test_sections_of_a_lock(url, size, each):
    """One writer or many readers at each moment, fences in the order of the writers."""
    with Crew(size) as crew:
        found = crew.race(enter_at_random, url, each)
    history = [call for calls in found for call in calls]
    assert len(history) == 2 * each * size
    assert order_of(history, ("", frozenset(), 0), a_lock) is not None
