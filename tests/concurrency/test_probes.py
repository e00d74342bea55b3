"""The six things that go wrong with TaskFlow's own storage, here between processes.

Each race is repeated on new flows until every process has been the first one to be
served at least once (where there is a first one), and often enough besides.
"""

from __future__ import annotations

import itertools
import uuid

import pytest
from taskflow import engines, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend, Storage
from redisflow.errors import StaleToken
from tests.support.installed import announce_plugins
from tests.support.processes import Crew, Turn, storage_of

ROUNDS = 40
MOST_ROUNDS = 2000
CREW = 3


class Noop(task.Task):
    """Does nothing."""

    def execute(self):
        """Return a word."""
        return "done"


class Gated(task.Task):
    """Says through Redis that it has begun, and waits there until it may end."""

    def __init__(self, name, key, url):
        super().__init__(name)
        self.key, self.url = key, url

    def execute(self):
        """Push to one list and wait on another."""
        client = RedisBackend.from_url(self.url).client
        client.execute("RPUSH", f"{self.key}:begun", self.name)
        client.block("BLPOP", f"{self.key}:go", 20, block_s=20)
        client.close()


@pytest.fixture(scope="module")
def crew():
    """Start the processes once for all races."""
    with Crew(CREW) as crew:
        yield crew


@pytest.fixture
def backend(url):
    """Open a backend on the test's server."""
    backend = RedisBackend.from_url(url)
    yield backend
    backend.close()


@pytest.fixture
def new_flow(backend):
    """Store one flow after the other; each has an atom named "a"."""

    def make():
        book, flow = models.LogBook("book"), models.FlowDetail("f", str(uuid.uuid4()))
        book.add(flow)
        backend.get_connection().save_logbook(book)
        storage = Storage(flow, backend)
        storage.ensure_atom(Noop("a"))
        return storage

    return make


def until_all_have_won(race):
    """Repeat a race that names its winner until nobody only ever loses."""
    winners = set()
    for number in itertools.count(1):
        winners.add(race())
        if number >= ROUNDS and len(winners) == CREW:
            return
        assert number < MOST_ROUNDS, f"only {winners} ever win"


def ensure(turn: Turn, url, flow_uuid):
    """Ask for details, each process in another order."""
    storage = storage_of(url, flow_uuid)
    storage.get_flow_state()
    names = ["a", "b", "c", "d"]
    names = names[turn.index :] + names[: turn.index]
    turn.wait()
    uuids = storage.ensure_atoms([Noop(name) for name in names])
    return dict(zip(names, uuids, strict=True))


def test_ensure_atoms_makes_one_detail_per_name(crew, url, backend, new_flow):
    """Processes that ask for details of the same atoms get the same details."""
    for _ in range(ROUNDS):
        storage = new_flow()
        first, *others = crew.race(ensure, url, storage.flow_uuid)
        assert all(other == first for other in others)
        detail = backend.get_connection().get_flow_details(storage.flow_uuid)
        assert {atom.name: atom.uuid for atom in detail} == first


def start(turn: Turn, url, flow_uuid):
    """Try to be the one who starts the flow."""
    storage = storage_of(url, flow_uuid)
    storage.get_flow_state()
    turn.wait()
    return storage.change_flow_state(states.RUNNING)


def test_only_one_process_changes_the_state_of_the_flow(crew, url, new_flow):
    """One process moves the flow to RUNNING, the others are told that it is there."""

    def race():
        storage = new_flow()
        answers = crew.race(start, url, storage.flow_uuid)
        assert sorted(answers) == [
            *[(False, states.RUNNING)] * (CREW - 1),
            (True, states.PENDING),
        ]
        assert storage.get_flow_state() == states.RUNNING
        return answers.index((True, states.PENDING))

    until_all_have_won(race)


def look(turn: Turn, url, flow_uuid):
    """Read the state of an atom before and after the first process changes it."""
    storage = storage_of(url, flow_uuid)
    before = storage.get_atom_state("a")
    turn.wait()
    if turn.index == 0:
        storage.set_atom_state("a", states.RUNNING)
    turn.wait()
    return before, storage.get_atom_state("a"), storage.get_atoms_states(["a"])["a"]


def test_a_state_set_by_one_is_read_by_the_others(crew, url, new_flow):
    """What one process writes, the others read, although they have read before."""
    after = (states.RUNNING, states.EXECUTE)
    for _ in range(ROUNDS):
        storage = new_flow()
        answers = crew.race(look, url, storage.flow_uuid)
        assert answers == [(states.PENDING, states.RUNNING, after)] * CREW


def annotate(turn: Turn, url, flow_uuid):
    """Add metadata of one's own to the flow and to an atom; one changes its state."""
    storage = storage_of(url, flow_uuid)
    storage.get_atom_state("a")
    turn.wait()
    storage.update_atom_metadata("a", {f"key-{turn.index}": turn.index})
    storage.update_flow_metadata({f"key-{turn.index}": turn.index})
    if turn.index == 0:
        storage.set_atom_state("a", states.RUNNING)
    turn.wait()
    return storage.flow_meta


def test_metadata_of_all_processes_stay(crew, url, backend, new_flow):
    """Processes add different keys at once, and none of them, nor a state, is lost."""
    expected = {f"key-{index}": index for index in range(CREW)}
    for _ in range(ROUNDS):
        storage = new_flow()
        assert crew.race(annotate, url, storage.flow_uuid) == [expected] * CREW
        detail = backend.get_connection().get_flow_details(storage.flow_uuid)
        (atom,) = detail
        assert (atom.meta, atom.state) == (expected, states.RUNNING)
        assert detail.meta == expected


def save(turn: Turn, url, flow_uuid):
    """Try to be the first with a result; return who was refused, and what counts."""
    storage = storage_of(url, flow_uuid)
    storage.set_atom_state("a", states.RUNNING)
    turn.wait()
    try:
        storage.save("a", turn.index)
    except StaleToken as error:
        return error.atom, storage.get("a")
    return None, storage.get("a")


def test_the_first_result_wins(crew, url, admin, backend, new_flow):
    """One process saves its result, the others get StaleToken and then read it."""

    def race():
        storage = new_flow()
        answers = crew.race(save, url, storage.flow_uuid)
        (winner,) = (index for index, (refused, _) in enumerate(answers) if not refused)
        assert [refused for refused, _ in answers].count("a") == CREW - 1
        assert [result for _, result in answers] == [winner] * CREW
        assert storage.get("a") == winner
        events = admin.xrange(backend.keys.of_flow(storage.flow_uuid).events)
        assert [event["to"] for _, event in events].count(states.SUCCESS) == 1
        return winner

    until_all_have_won(race)


def suspend(turn: Turn, url, flow_uuid):
    """Suspend in the first process; the others look for it."""
    storage = storage_of(url, flow_uuid)
    before = storage.get_flow_state()
    turn.wait()
    if turn.index == 0:
        assert storage.change_flow_state(states.SUSPENDING) == (True, states.RUNNING)
    turn.wait()
    return before, storage.get_flow_state()


def test_a_suspend_is_seen_by_the_other_processes(crew, url, new_flow):
    """All processes read SUSPENDING once one of them has asked for it."""
    for _ in range(ROUNDS):
        storage = new_flow()
        storage.change_flow_state(states.RUNNING)
        answers = crew.race(suspend, url, storage.flow_uuid)
        assert answers == [(states.RUNNING, states.SUSPENDING)] * CREW


def gated_flow(key, url):
    """Make a line of tasks of which the first waits."""
    return linear_flow.Flow("line").add(Gated("one", key, url), Noop("two"))


def suspend_a_run(turn: Turn, url, run_id, key):
    """Run a flow in one process, and suspend it from another in the middle."""
    engine = redisflow.load(gated_flow(key, url), run_id=run_id, url=url)
    turn.wait()
    if turn.index == 1:
        client = engine.storage.backend.client
        begun = client.block("BLPOP", f"{key}:begun", 20, block_s=20)
        assert begun is not None
        engine.compile()
        engine.suspend()
        client.execute("RPUSH", f"{key}:go", "go")
    else:
        engine.run()  # the third one waits for work that never comes
    names = ("one", "two")
    states_of = engine.storage.get_atoms_states(names)
    return engine.storage.get_flow_state(), [states_of[name][0] for name in names]


def test_a_suspend_stops_the_engines_of_other_processes(crew, url, namespace, admin):
    """An engine ends with the task at hand when another process suspends the flow."""
    for number in range(5):
        key = f"{namespace}:gate-{number}"
        answers = crew.race(suspend_a_run, url, f"run-{number}", key)
        for index in (0, 2):
            state, atoms = answers[index]
            assert state == states.SUSPENDED
            assert atoms == [states.SUCCESS, states.PENDING]
        flow = gated_flow(key, url)
        redisflow.load(flow, run_id=f"run-{number}", url=url).run()
        assert admin.llen(f"{key}:begun") == 0, "it was run twice"


def test_the_plug_in_shares_a_flow(crew, url, backend):
    """Engines that TaskFlow loads in several processes run each atom once."""
    announce_plugins()
    flow = linear_flow.Flow("line").add(*[Noop(f"n{number}") for number in range(20)])
    for _ in range(3):
        book, detail = models.LogBook("b"), models.FlowDetail("line", str(uuid.uuid4()))
        book.add(detail)
        backend.get_connection().save_logbook(book)
        done = crew.race(take_part, url, detail.uuid, len(flow))
        assert sum(done) == len(flow)
        assert Storage(detail, backend).get_flow_state() == states.SUCCESS


def take_part(turn: Turn, url, flow_uuid, size):
    """Run a flow through TaskFlow's own loader; returns how many atoms ran here."""
    announce_plugins()
    flow = linear_flow.Flow("line").add(*[Noop(f"n{number}") for number in range(size)])
    backend = RedisBackend.from_url(url)
    detail = backend.get_connection().get_flow_details(flow_uuid)
    engine = engines.load(flow, flow_detail=detail, backend=backend, engine="redisflow")
    turn.wait()
    engine.run()
    backend.close()
    return engine.statistics.get("completed", 0)
