"""Removing logbooks, flows and all of a namespace, and who used them."""

from __future__ import annotations

import contextlib

import pytest
from taskflow import engines, exceptions, states
from taskflow.patterns import linear_flow
from taskflow.persistence import models
from taskflow.storage import Storage as TaskFlowStorage

import redisflow
from redisflow import ReaderWriterLock, RedisBackend, Storage
from redisflow.errors import FlowLost, Locked
from redisflow.keys import flow_uuid_of
from redisflow.persistence import removal
from tests.support.details import WHOLE, new_book, task_detail, told
from tests.support.installed import announce_plugins
from tests.support.storages import Noop


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the engine."""
    announce_plugins()


def test_a_destroyed_logbook_leaves_nothing(connection, dumps):
    """Its flows, their atoms and all indexes of them are gone; others stay."""
    kept, _flow = new_book(task_detail("kept", results=5))
    connection.save_logbook(kept)
    before = dumps()
    books = [new_book(*(make() for make in WHOLE.values()))[0] for _ in range(2)]
    for book in books:
        connection.save_logbook(book)
    for book in books:
        connection.destroy_logbook(book.uuid)

    assert dumps() == before
    with pytest.raises(exceptions.NotFound):
        connection.destroy_logbook(book.uuid)


def test_an_engine_was_on_it(connection, backend, admin):
    """What a run has left (graph, journal, lock, hints) goes with its flow."""
    flow = linear_flow.Flow("f").add(Noop("a"), Noop("b"))
    engine = engines.load(flow, engine="redisflow", backend=backend)
    engine.run()
    with engine.storage.lock.write_lock():
        pass
    (book,) = connection.get_logbooks(lazy=True)
    connection.destroy_logbook(book.uuid)
    assert list(admin.scan_iter()) == []


def test_large_flows_go_in_bounded_calls(connection, admin, monkeypatch):
    """A removal that was cut short goes on where it was when it is asked for again."""
    monkeypatch.setattr(removal, "BATCH", 3)
    book, _flow = new_book(*(task_detail(f"t{number}") for number in range(10)))
    connection.save_logbook(book)
    cut, send = [], removal.run_many

    def cut_short(client, commands):
        if commands[0][0] == "HDEL" and not cut:
            cut.append(commands)
            raise ConnectionError
        return send(client, commands)

    monkeypatch.setattr(removal, "run_many", cut_short)
    with pytest.raises(ConnectionError):
        connection.destroy_logbook(book.uuid)
    assert list(connection.get_flows_for_book(book.uuid)) == []

    connection.destroy_logbook(book.uuid)
    left = {key.rpartition(":")[2] for key in admin.scan_iter()}
    assert left <= {"atom-index"}  # hints of the call that was cut short


def test_a_flow_in_somebodys_section_is_not_removed(connection, url, storage, detail):
    """Locked at the deadline; nothing is gone, and the section goes on."""
    (book,) = connection.get_logbooks(lazy=True)
    hurried = RedisBackend.from_url(f"{url}&deadline_s=0.2")
    with contextlib.closing(hurried), storage.lock.write_lock():
        with pytest.raises(Locked):
            hurried.get_connection().destroy_logbook(book.uuid)
        storage.set_atom_state("a", states.RUNNING)
    connection.destroy_logbook(book.uuid)
    with pytest.raises(FlowLost):
        storage.get_flow_state()


def test_clear_all_is_about_its_namespace(connection, url, dumps, namespace):
    """All of it goes, and nothing of others, whatever their names begin with."""
    others = [
        f"{namespace}x",
        f"{namespace}:x",
        f"{namespace}:book",
        f"{namespace}:wake",
    ]
    for name in others:
        with contextlib.closing(
            RedisBackend.from_url(url.replace(namespace, name))
        ) as backend:
            backend.get_connection().save_logbook(new_book(task_detail())[0])
            backend.client.execute("RPUSH", backend.keys.wake("w"), "x")
    before = dumps()
    for _ in range(3):
        connection.save_logbook(new_book(task_detail(results=5))[0])
    connection.backend.client.execute("RPUSH", connection.backend.keys.wake("w"), "x")

    connection.clear_all()

    assert dumps() == before
    assert list(connection.get_logbooks()) == []
    connection.clear_all()


def test_clear_all_leaves_locks_that_belong_to_no_flow(connection, backend):
    """They are no entries of the backend; who holds one goes on holding it."""
    lock = ReaderWriterLock(backend, "reports")
    with lock.write_lock():
        connection.clear_all()
        lock.check()


def test_clear_all_sends_neither_keys_nor_flush(connection, received):
    """SCAN and UNLINK, in batches: a server that others use is not held up."""
    connection.save_logbook(new_book(*(task_detail(f"t{n}") for n in range(20)))[0])
    names = set(received(connection.clear_all))
    assert names <= {"SCAN", "UNLINK", "ZRANGE", "TYPE", "HELLO", "CLIENT"}


def test_a_cluster_is_served_too(node):
    """Saving, merging, destroying and clearing work where keys have many slots."""
    url = f"redis+cluster://127.0.0.1:{node}?namespace=rf-books"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        connection = backend.get_connection()
        books = [new_book(task_detail(results=n)) for n in range(5)]
        for book, _flow in books:
            connection.save_logbook(book)
        book, flow = books[0]
        (atom,) = flow
        atom.meta["x"] = 1
        connection.update_flow_details(flow)
        assert told(connection.get_atom_details(atom.uuid)) == told(atom)
        connection.destroy_logbook(book.uuid)
        assert len(list(connection.get_logbooks())) == 4
        connection.clear_all()
        assert list(backend.client.scan("*")) == []


@pytest.mark.parametrize("deleted", ["destroy_logbook", "clear_all"])
def test_a_flow_deleted_underneath(connection, elsewhere, backend, admin, deleted):
    """Every method says that it is lost; no key comes back."""
    book, flow = new_book(task_detail("a"))
    connection.save_logbook(book)
    (atom,) = flow
    storage = Storage(flow, backend)
    storage.get_flow_state()
    stock = TaskFlowStorage(connection.get_flow_details(flow.uuid), backend=backend)
    if deleted == "clear_all":
        elsewhere.clear_all()
    else:
        elsewhere.destroy_logbook(book.uuid)
    atom.meta["x"] = flow.meta["x"] = 1
    for lost in (
        lambda: connection.update_atom_details(atom),
        lambda: connection.update_flow_details(flow),
        lambda: storage.set_atom_state("a", states.RUNNING),
        storage.get_flow_state,
        lambda: Storage(flow, backend).ensure_atom(Noop("b")),
        lambda: stock.set_atom_state("a", states.RUNNING),
        lambda: stock.ensure_atom(Noop("b")),
        lambda: stock.change_flow_state(states.RUNNING),
    ):
        with pytest.raises(FlowLost) as caught:
            lost()
        assert caught.value.key == backend.keys.of_flow(flow.uuid).flow
        assert list(admin.scan_iter()) == []
    for gone in (
        lambda: connection.get_flow_details(flow.uuid),
        lambda: connection.get_atom_details(atom.uuid),
        lambda: connection.get_logbook(book.uuid),
        lambda: list(connection.get_flows_for_book(book.uuid)),
        lambda: connection.destroy_logbook(book.uuid),
    ):
        with pytest.raises(exceptions.NotFound):
            gone()
    assert list(admin.scan_iter()) == []


def test_a_lost_flow_is_only_saved_again_as_a_whole(connection, elsewhere, admin):
    """Details that were read without atoms are refused; whole ones are stored anew."""
    book, flow = new_book(*(make() for make in WHOLE.values()))
    flow.meta = {"x": 1}
    connection.save_logbook(book)
    half = models.LogBook("book", book.uuid)
    half.add(elsewhere.get_flow_details(flow.uuid, lazy=True))
    elsewhere.destroy_logbook(book.uuid)

    with pytest.raises(FlowLost):
        elsewhere.save_logbook(half)
    assert list(admin.scan_iter()) == []

    connection.save_logbook(book)
    found = elsewhere.get_flow_details(flow.uuid)
    assert [told(atom) for atom in found] == [told(atom) for atom in flow]
    assert found.meta == {"x": 1}


def test_a_flow_that_is_made_again_meanwhile_stays_in_the_index(
    backend, url, monkeypatch
):
    """A removal takes its name out of the indexes when somebody has stored it anew."""
    redisflow.submit("os:getcwd", run_id="r1", url=url)
    uuid = flow_uuid_of("r1", backend.keys.namespace)
    leave = removal._leave_indexes

    def late(*args):
        redisflow.submit("os:getcwd", run_id="r1", url=url)
        leave(*args)

    monkeypatch.setattr(removal, "_leave_indexes", late)
    removal.remove_flow(backend, uuid)

    assert backend.client.execute("ZSCORE", backend.keys.flows, uuid)
    assert backend.client.execute("ZSCORE", backend.keys.submitted, uuid)
