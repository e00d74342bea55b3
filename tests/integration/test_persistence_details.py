"""Details of logbooks, flows and atoms: all comes back, and merges lose nothing."""

from __future__ import annotations

import contextlib
import threading

import pytest
from taskflow import engines, states
from taskflow.patterns import linear_flow
from taskflow.persistence import models
from taskflow.storage import Storage as TaskFlowStorage
from taskflow.types.failure import Failure

from redisflow import RedisBackend, Storage
from redisflow.errors import Duplicate, InvalidState
from redisflow.keys import FlowKeys
from redisflow.persistence import plans, saving
from tests.support.details import (
    WHOLE,
    new_book,
    new_uuid,
    retry_detail,
    task_detail,
    told,
)
from tests.support.installed import announce_plugins
from tests.support.storages import Noop, failure_of


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the engine."""
    announce_plugins()


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_all_of_an_atom_comes_back(connection, elsewhere, make):
    """States, results, failures, history, metadata, version, intention, own uuid."""
    atom = make()
    book, flow = new_book(atom)
    connection.save_logbook(book)

    for found in (
        elsewhere.get_atom_details(atom.uuid),
        elsewhere.get_flow_details(flow.uuid).find(atom.uuid),
        next(elsewhere.get_atoms_for_flow(flow.uuid)),
        elsewhere.get_logbook(book.uuid).find(flow.uuid).find(atom.uuid),
    ):
        assert type(found) is type(atom)
        assert told(found) == told(atom)


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_all_of_an_atom_is_written_by_an_update(connection, elsewhere, make):
    """What becomes of an atom later is written as well, and forgotten by a reset."""
    plain = type(make())("x", new_uuid())
    book, flow = new_book(plain)
    connection.save_logbook(book)
    late = make()
    for field in ("state", "intention", "version", "results", "failure", "meta"):
        setattr(plain, field, getattr(late, field))
    plain.revert_results, plain.revert_failure = (
        late.revert_results,
        late.revert_failure,
    )
    assert connection.update_atom_details(plain) is plain
    assert told(elsewhere.get_atom_details(plain.uuid)) == told(plain)

    plain.reset(states.PENDING)
    connection.update_flow_details(flow)
    assert told(elsewhere.get_atom_details(plain.uuid)) == told(plain)


def test_flow_and_book_come_back(connection, elsewhere):
    """State and metadata of a flow, metadata and times of a logbook."""
    book, flow = new_book()
    flow.state, flow.meta = states.SUSPENDED, {"owner": "me"}
    book.meta = {"k": (1,)}
    assert connection.save_logbook(book) is book

    found = elsewhere.get_logbook(book.uuid)
    assert found.to_dict() == book.to_dict()
    assert found.find(flow.uuid).to_dict() == flow.to_dict()
    assert elsewhere.get_flow_details(flow.uuid, lazy=True).to_dict() == flow.to_dict()


def test_two_writers_of_one_atom_both_stay(connection, elsewhere):
    """Each changes an entry of what both have read; neither undoes the other."""
    book, _flow = new_book(task_detail(meta={"x": 0, "y": 0}))
    connection.save_logbook(book)
    (uuid,) = [atom.uuid for flow in book for atom in flow]
    first, second = (c.get_atom_details(uuid) for c in (connection, elsewhere))
    first.meta["x"] = 1
    second.meta["y"] = 2
    second.meta["z"] = 3
    second.state = states.RUNNING

    elsewhere.update_atom_details(second)
    merged = connection.update_atom_details(first)

    assert merged.meta == {"x": 1, "y": 2, "z": 3}
    assert merged.state == states.RUNNING
    assert told(connection.get_atom_details(uuid)) == told(merged)


def test_two_writers_of_one_flow_both_stay(connection, elsewhere):
    """Metadata, state and atoms that others have added are in what comes back."""
    book, flow = new_book(task_detail("a"))
    flow.meta = {"x": 0, "y": 0}
    connection.save_logbook(book)
    other = elsewhere.get_flow_details(flow.uuid)
    other.meta["y"] = 2
    other.state = states.RUNNING
    other.add(task_detail("b", state=states.SUCCESS, results=5))
    elsewhere.update_flow_details(other)

    flow.meta["x"] = 1
    flow.add(task_detail("c"))
    assert connection.update_flow_details(flow) is flow

    assert flow.meta == {"x": 1, "y": 2}
    assert flow.state == states.RUNNING
    found = elsewhere.get_flow_details(flow.uuid)
    assert [(atom.name, atom.results) for atom in found] == [
        ("a", None),
        ("b", 5),
        ("c", None),
    ]
    assert {atom.name for atom in flow} == {"a", "b", "c"}


def test_a_logbook_saved_again_brings_what_others_added(connection, elsewhere):
    """Flows and metadata of both are there, and in the logbook that was given."""
    book, flow = new_book(task_detail("a"))
    book.meta = {"x": 0, "gone": 1}
    connection.save_logbook(book)
    other = elsewhere.get_logbook(book.uuid)
    other.meta["y"] = 2
    other.add(models.FlowDetail("second", new_uuid()))
    elsewhere.save_logbook(other)

    del book.meta["gone"]
    book.meta["x"] = 1
    connection.save_logbook(book)

    assert book.meta == {"x": 1, "y": 2}
    assert [one.name for one in book] == ["flow", "second"]
    assert elsewhere.get_logbook(book.uuid).meta == book.meta
    assert flow in list(book)


def test_what_was_removed_from_metadata_is_gone(connection, elsewhere):
    """An entry that its reader has deleted is deleted, like in TaskFlow's merge."""
    book, flow = new_book(task_detail(meta={"x": 1, "y": 1}))
    flow.meta = {"x": 1, "y": 1}
    connection.save_logbook(book)
    found = elsewhere.get_flow_details(flow.uuid)
    (atom,) = found
    del atom.meta["x"], found.meta["x"]
    elsewhere.update_flow_details(found)

    again = connection.get_flow_details(flow.uuid)
    assert again.meta == next(iter(again)).meta == {"y": 1}


def test_a_stale_detail_does_not_undo_what_was_done_since(connection, backend):
    """Written again unchanged, or with another entry, it leaves states and results."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    storage = Storage(models.FlowDetail("flow", flow.uuid), backend)
    storage.save("a", 5)
    storage.change_flow_state(states.RUNNING)
    (atom,) = flow
    for write in (
        lambda: connection.save_logbook(book),
        lambda: connection.update_flow_details(flow),
        lambda: connection.update_atom_details(atom),
    ):
        atom.meta["note"] = flow.meta["note"] = str(write)
        write()
        assert storage.get("a") == 5
        assert storage.get_flow_state() == states.RUNNING
        assert (atom.state, atom.results) == (states.SUCCESS, 5)


def test_details_never_seen_say_nothing_where_they_are_empty(connection, elsewhere):
    """Details made by hand for an atom that is there only add to it."""
    atom = task_detail(state=states.SUCCESS, results=5, meta={"x": 1})
    book, _flow = new_book(atom)
    connection.save_logbook(book)
    by_hand = models.TaskDetail("a", atom.uuid)
    by_hand.meta = {"y": 2}

    merged = elsewhere.update_atom_details(by_hand)

    assert (merged.state, merged.results) == (states.SUCCESS, 5)
    assert merged.meta == {"x": 1, "y": 2}


def test_copies_share_what_was_seen(connection, elsewhere):
    """TaskFlow changes a copy and takes over what comes back: that is no conflict."""
    book, _flow = new_book(task_detail(meta={"x": 1}))
    connection.save_logbook(book)
    (atom,) = [atom for flow in book for atom in flow]
    for number in range(3):
        copy = atom.copy()
        copy.meta["n"] = number
        atom.update(connection.update_atom_details(copy))
        other = elsewhere.get_atom_details(atom.uuid)
        other.meta[f"other{number}"] = number
        elsewhere.update_atom_details(other)
    found = elsewhere.get_atom_details(atom.uuid).meta
    assert found == {"x": 1, "n": 2, "other0": 0, "other1": 1, "other2": 2}


def test_failures_keep_their_tracebacks(connection, elsewhere):
    """A failure of this process stays the object that it is, also after a merge."""
    failure = failure_of(ValueError("no"))
    book, _flow = new_book(task_detail(state=states.FAILURE, failure=failure))
    connection.save_logbook(book)
    (atom,) = [atom for flow in book for atom in flow]
    other = elsewhere.get_atom_details(atom.uuid)
    assert isinstance(other.failure, Failure)
    other.meta["x"] = 1
    elsewhere.update_atom_details(other)
    atom.meta["y"] = 1

    connection.update_atom_details(atom)

    assert atom.meta == {"x": 1, "y": 1}
    assert atom.failure is failure


def test_a_history_that_was_cleaned_is_gone(connection, elsewhere):
    """Entries that a retry's details no longer have are removed, others stay."""
    failures = {"a": failure_of(ValueError("no"))}
    atom = retry_detail(results=[(1, failures), (2, failures)])
    book, _flow = new_book(atom)
    connection.save_logbook(book)
    atom.results = atom.results[:1]
    connection.update_atom_details(atom)
    assert told(elsewhere.get_atom_details(atom.uuid)) == told(atom)
    atom.results = []
    connection.update_atom_details(atom)
    assert elsewhere.get_atom_details(atom.uuid).results == []


def test_an_update_of_an_atom_is_one_round_trip(connection, elsewhere, received):
    """Neither its flow nor its index is asked, however large the flow is."""
    book, flow = new_book(*(task_detail(f"t{number}") for number in range(300)))
    connection.save_logbook(book)
    atom = next(iter(flow))
    connection.update_atom_details(atom)

    atom.put(states.SUCCESS, {"size": 5})
    assert received(lambda: connection.update_atom_details(atom)) == ["EVALSHA"]
    found = elsewhere.get_atom_details(atom.uuid)
    commands = received(lambda: elsewhere.get_atom_details(atom.uuid))
    assert commands == ["HGET", "EVALSHA"]
    found.meta["x"] = 1
    elsewhere.update_atom_details(found)
    found.meta["x"] = 2
    assert received(lambda: elsewhere.update_atom_details(found)) == ["EVALSHA"]
    flow.state = states.RUNNING
    connection.update_flow_details(flow)
    flow.state = states.SUCCESS
    assert received(lambda: connection.update_flow_details(flow)) == ["EVALSHA"]


def test_an_atom_of_a_storage_is_found_too(connection, storage):
    """The index does not have it until somebody asks; then it does."""
    uuid = storage.get_atom_uuid("a")
    assert connection.get_atom_details(uuid).name == "a"
    detail = models.TaskDetail("a", uuid)
    detail.meta = {"x": 1}
    connection.update_atom_details(detail)
    assert storage.get_flow_state() == states.PENDING
    assert connection.get_atom_details(uuid).meta == {"x": 1}


def test_two_details_of_one_name(connection, backend):
    """Both are kept; for a storage the name is that of the first."""
    first, second = task_detail("a", state=states.RUNNING), task_detail("a")
    book, flow = new_book(first, second)
    connection.save_logbook(book)
    assert len(connection.get_flow_details(flow.uuid)) == 2
    storage = Storage(models.FlowDetail("flow", flow.uuid), backend)
    assert storage.ensure_atom(Noop("a")) == first.uuid
    assert storage.get_atom_state("a") == states.RUNNING
    second.state = states.SUCCESS
    connection.update_atom_details(second)
    assert storage.get_atom_state("a") == states.RUNNING


def test_large_logbooks_go_in_bounded_calls(connection, elsewhere, monkeypatch):
    """A call carries so many atoms and so many bytes; all of them arrive."""
    monkeypatch.setattr(plans, "BATCH_BYTES", 4000)
    calls = []
    whole = saving.Saver._call

    def counted(self, plan, atoms, name, rest=(), **args):
        calls.append((name, len(atoms), sum(len(str(word)) for word in rest)))
        return whole(self, plan, atoms, name, rest=rest, **args)

    monkeypatch.setattr(saving.Saver, "_call", counted)
    atoms = [task_detail(f"t{n}", results="x" * 500) for n in range(40)]
    atoms.append(task_detail("large", results="y" * 9000))
    book, flow = new_book(*atoms)
    connection.save_logbook(book)
    writes = [(count, size) for name, count, size in calls if name == "atom_write"]
    assert len(writes) > 6
    assert all(size < 6000 or count == 1 for count, size in writes)
    found = elsewhere.get_flow_details(flow.uuid)
    assert [told(atom) for atom in found] == [told(atom) for atom in atoms]


@pytest.mark.slow
def test_more_atoms_than_one_call_carries(connection, elsewhere):
    """2,500 atoms are saved, and updated, in calls of at most 1,000."""
    atoms = [task_detail(f"t{number}", results=number) for number in range(2500)]
    book, flow = new_book(*atoms)
    connection.save_logbook(book)
    found = elsewhere.get_flow_details(flow.uuid)
    assert [(a.uuid, a.results) for a in found] == [(a.uuid, a.results) for a in atoms]
    for atom in found:
        atom.state = states.RUNNING
    elsewhere.update_flow_details(found)
    again = connection.get_flow_details(flow.uuid)
    assert {atom.state for atom in again} == {states.RUNNING}


def hold(backend, flow_uuid, uuid, owner, lease_ms):
    """Let a worker hold an atom."""
    keys = FlowKeys(backend.keys.namespace, flow_uuid)
    seconds, _ = backend.client.execute("TIME")
    deadline = int(seconds) * 1000 + lease_ms
    backend.client.execute("HSET", keys.atom(uuid), "owner", owner, "state", "RUNNING")
    backend.client.execute("ZADD", keys.workers, deadline, owner)


def test_an_atom_that_a_worker_holds_is_left_alone(connection, elsewhere, backend):
    """State and results are its worker's; metadata is merged."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    hold(backend, flow.uuid, atom.uuid, "w1", 60_000)
    atom.put(states.SUCCESS, 5)
    for write in (
        lambda: connection.update_atom_details(atom),
        lambda: connection.update_flow_details(flow),
        lambda: connection.save_logbook(book),
    ):
        with pytest.raises(InvalidState, match=r"'a'.*held by worker w1"):
            write()
    found = elsewhere.get_atom_details(atom.uuid)
    assert (found.state, found.results) == (states.RUNNING, None)
    found.meta["x"] = 1
    assert elsewhere.update_atom_details(found).meta == {"x": 1}


def test_the_state_of_a_flow_with_live_workers_is_theirs(connection, backend):
    """Another state is refused; metadata is merged."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    hold(backend, flow.uuid, atom.uuid, "w1", 60_000)
    flow.state = states.SUCCESS
    with pytest.raises(InvalidState, match="1 live workers"):
        connection.update_flow_details(flow)
    assert connection.get_flow_details(flow.uuid).state is None


def test_what_a_dead_worker_held_is_taken_back(connection, elsewhere, backend):
    """Its atom may be written: it is swept first, like by any worker."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    keys = FlowKeys(backend.keys.namespace, flow.uuid)
    hold(backend, flow.uuid, atom.uuid, "w1", -60_000)
    graph = f"t|0|{atom.uuid}||"
    backend.client.execute("HSET", keys.graph, "0", graph)
    backend.client.execute("HSET", keys.atom(atom.uuid), "node", "0")
    backend.client.execute("HSET", keys.claims, "00000000:execute", "w1 5", "#w1", 1)
    atom.put(states.SUCCESS, 5)

    connection.update_atom_details(atom)

    found = elsewhere.get_atom_details(atom.uuid)
    assert (found.state, found.results) == (states.SUCCESS, 5)
    assert backend.client.execute("HGETALL", keys.claims) == {b"-": b""}


def test_the_types_of_details_stay(connection, elsewhere):
    """A retry with the uuid of a task is a duplicate; nothing is written."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    wrong = models.RetryDetail("a", atom.uuid)
    wrong.meta = {"x": 1}
    other = models.FlowDetail("flow", flow.uuid)
    other.add(task_detail("b"))
    other.add(wrong)
    for write in (
        lambda: elsewhere.update_atom_details(wrong),
        lambda: elsewhere.update_flow_details(other),
    ):
        with pytest.raises(Duplicate, match="stored as a task"):
            write()
    assert len(connection.get_flow_details(flow.uuid)) == 1


def test_a_logbook_can_be_copied(connection, url):
    """What was seen elsewhere says nothing here: all of it is written."""
    book, flow = new_book(*(make() for make in WHOLE.values()))
    connection.save_logbook(book)
    found = connection.get_logbook(book.uuid)
    with contextlib.closing(RedisBackend.from_url(url + "-copy")) as backend:
        backend.get_connection().save_logbook(found)
        copy = backend.get_connection().get_flow_details(flow.uuid)
    assert [told(atom) for atom in copy] == [told(atom) for atom in flow]


def test_two_storages_of_taskflow_on_one_flow(connection, elsewhere):
    """Different metadata keys of theirs both stay, and a state is not undone."""
    book, flow = new_book()
    connection.save_logbook(book)
    storages = [
        TaskFlowStorage(one.get_flow_details(flow.uuid), backend=one.backend)
        for one in (connection, elsewhere)
    ]
    storages[0].ensure_atom(Noop("a"))
    storages[1] = TaskFlowStorage(
        elsewhere.get_flow_details(flow.uuid), backend=elsewhere.backend
    )
    storages[0].set_atom_state("a", states.RUNNING)
    storages[1].update_atom_metadata("a", {"x": 1})
    storages[0].update_atom_metadata("a", {"y": 2})
    storages[0].update_flow_metadata({"x": 1})
    storages[1].update_flow_metadata({"y": 2})
    found = connection.get_flow_details(flow.uuid)
    (atom,) = found
    assert (atom.state, atom.meta) == (states.RUNNING, {"x": 1, "y": 2})
    assert found.meta == {"x": 1, "y": 2}


def test_many_threads_on_one_atom(connection, url):
    """Each has a connection and an entry of its own; all entries are there."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    count = 6

    def work(number):
        with contextlib.closing(RedisBackend.from_url(url)) as backend:
            own = backend.get_connection()
            detail = own.get_atom_details(atom.uuid)
            for step in range(10):
                detail.meta[f"t{number}"] = step
                own.update_atom_details(detail)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = connection.get_atom_details(atom.uuid).meta
    assert found == {f"t{number}": 9 for number in range(count)}


@pytest.mark.parametrize("first", ["serial", "redisflow"])
def test_engines_take_over_from_each_other(backend, first):
    """A flow that one engine has run is known to the other, with its values."""
    flow = linear_flow.Flow("sums").add(
        Noop("a", provides="x"), Noop("b", inject={"one": 1})
    )
    second = {"serial": "redisflow", "redisflow": "serial"}[first]
    engine = engines.load(flow, engine=first, backend=backend, store={"y": 5})
    engine.run()
    detail = backend.get_connection().get_flow_details(engine.storage.flow_uuid)
    assert detail.state == states.SUCCESS
    again = engines.load(flow, engine=second, backend=backend, flow_detail=detail)
    again.run()
    assert again.storage.fetch("y") == 5
    assert again.storage.get_flow_state() == states.SUCCESS
    again.storage.inject({"z": 6})
    assert again.storage.fetch_all()["z"] == 6
    assert again.storage.fetch_all()["y"] == 5
