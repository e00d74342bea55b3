"""What cannot be read or written: one error that names the key, and nothing changed."""

from __future__ import annotations

import pytest
from taskflow import exceptions, states
from taskflow.persistence import models

from redisflow.errors import (
    CorruptKey,
    Duplicate,
    InvalidState,
    NotFound,
    SchemaTooNew,
    ValueRefused,
)
from tests.support.details import new_book, new_uuid, retry_detail, task_detail
from tests.support.storages import failure_of


class Opaque:
    """What no codec can store."""


@pytest.fixture
def book():
    """Make a logbook with a flow of two tasks and a retry, not stored yet."""
    return new_book(
        task_detail("a", state=states.SUCCESS, results=5, meta={"x": 1}),
        task_detail("b", state=states.FAILURE, failure=failure_of(ValueError("no"))),
        retry_detail("r", results=[(1, {"b": failure_of(ValueError("no"))})]),
    )[0]


@pytest.fixture
def saved(connection, book):
    """Store it."""
    return connection.save_logbook(book)


def only_flow(book):
    """Return the flow of a logbook."""
    (flow,) = book
    return flow


def atom_of(book, name):
    """Return the atom of a name."""
    return next(atom for atom in only_flow(book) if atom.name == name)


BAD_VALUES = {
    "metadata of a logbook": lambda book: book.meta.update(k=[1, Opaque()]),
    "metadata of a flow": lambda book: only_flow(book).meta.update(k=[1, Opaque()]),
    "metadata of an atom": lambda book: atom_of(book, "a").meta.update(k=[1, Opaque()]),
    "value injected into an atom": lambda book: atom_of(book, "b").meta.update(
        injected={"k": [1, Opaque()]}
    ),
    "result": lambda book: vars(atom_of(book, "a")).update(results=[1, Opaque()]),
    "result of a revert": lambda book: vars(atom_of(book, "b")).update(
        revert_results=[1, Opaque()]
    ),
    "entry of a history": lambda book: atom_of(book, "r").results.append(
        ([1, Opaque()], {})
    ),
}


@pytest.mark.parametrize("spoil", BAD_VALUES.values(), ids=BAD_VALUES)
@pytest.mark.parametrize("known", [False, True], ids=["new", "stored"])
def test_a_value_that_cannot_be_stored(connection, book, dumps, spoil, known):
    """Its place inside the value is named, and nothing of the logbook is written."""
    if known:
        connection.save_logbook(book)
    other = models.FlowDetail("first", new_uuid())
    other.add(task_detail("c"))
    whole = models.LogBook("book", book.uuid)
    whole.add(other)
    whole.add(only_flow(book))
    spoil(book)
    whole.meta = book.meta
    before = dumps()

    with pytest.raises(ValueRefused) as caught:
        connection.save_logbook(whole)

    assert caught.value.path == "$[1]"
    assert caught.value.type_name.endswith("Opaque")
    assert isinstance(caught.value, exceptions.StorageFailure)
    assert dumps() == before


@pytest.mark.parametrize("name", ["a", "r"])
def test_an_update_with_a_value_that_cannot_be_stored(connection, saved, dumps, name):
    """Neither the atom nor its flow is written, alone or together."""
    before = dumps()
    atom = atom_of(saved, name)
    atom.state = states.REVERTED
    atom.revert_results = {"k": Opaque()}
    for write in (
        lambda: connection.update_atom_details(atom),
        lambda: connection.update_flow_details(only_flow(saved)),
    ):
        with pytest.raises(ValueRefused) as caught:
            write()
        assert caught.value.path == "$['k']"
    assert dumps() == before


BAD_DETAILS = {
    "state of an atom": (lambda book: vars(atom_of(book, "a")).update(state="DONE")),
    "intention": lambda book: vars(atom_of(book, "a")).update(intention="WAIT"),
    "state of a flow": lambda book: vars(only_flow(book)).update(state="DONE"),
    "name of an atom": lambda book: vars(atom_of(book, "a")).update(_name=None),
    "name of a flow": lambda book: vars(only_flow(book)).update(_name=5),
    "name of a logbook": lambda book: vars(book).update(_name="\udc80"),
    "uuid of an atom": lambda book: vars(atom_of(book, "a")).update(_uuid="a b"),
    "uuid of a flow": lambda book: vars(only_flow(book)).update(_uuid="{x}"),
    "uuid of a flow like a lock": lambda book: vars(only_flow(book)).update(
        _uuid="lock:x"
    ),
    "uuid of a logbook": lambda book: vars(book).update(_uuid=5),
    "key of metadata": lambda book: only_flow(book).meta.update({5: 1}),
    "name in a history": lambda book: (
        atom_of(book, "r").results[0][1].update({5: failure_of(ValueError("no"))})
    ),
    "failure": lambda book: vars(atom_of(book, "b")).update(failure="no"),
    "failure of a revert": lambda book: vars(atom_of(book, "b")).update(
        revert_failure=ValueError("no")
    ),
}


@pytest.mark.parametrize("spoil", BAD_DETAILS.values(), ids=BAD_DETAILS)
def test_details_that_cannot_be(connection, book, dumps, spoil):
    """Names, uuids, states and failures are looked at before anything is written."""
    spoil(book)
    before = dumps()
    with pytest.raises((ValueRefused, InvalidState)):
        connection.save_logbook(book)
    assert dumps() == before


def test_what_is_no_atom_at_all(connection, book, dumps):
    """Details of another class are refused, and nothing is written."""
    only_flow(book).add(models.FlowDetail("f", new_uuid()))
    before = dumps()
    with pytest.raises((TypeError, AttributeError)):
        connection.save_logbook(book)
    assert dumps() == before


READS = {
    "get_logbook": lambda c, u: c.get_logbook(u),
    "get_logbook lazily": lambda c, u: c.get_logbook(u, lazy=True),
    "get_flows_for_book": lambda c, u: list(c.get_flows_for_book(u)),
    "get_flow_details": lambda c, u: c.get_flow_details(u),
    "get_flow_details lazily": lambda c, u: c.get_flow_details(u, lazy=True),
    "get_atoms_for_flow": lambda c, u: list(c.get_atoms_for_flow(u)),
    "get_atom_details": lambda c, u: c.get_atom_details(u),
    "destroy_logbook": lambda c, u: c.destroy_logbook(u),
    "update_flow_details": lambda c, u: c.update_flow_details(
        models.FlowDetail("f", u)
    ),
    "update_atom_details": lambda c, u: c.update_atom_details(
        models.TaskDetail("a", u)
    ),
}


@pytest.mark.parametrize("call", READS.values(), ids=READS)
@pytest.mark.parametrize("filled", [False, True])
def test_an_unknown_uuid(connection, book, dumps, call, filled):
    """What was never saved is not found, as in TaskFlow, and nothing is written."""
    if filled:
        connection.save_logbook(book)
    before = dumps()
    with pytest.raises(NotFound) as caught:
        call(connection, new_uuid())
    assert type(caught.value) is NotFound
    assert isinstance(caught.value, exceptions.NotFound)
    assert dumps() == before


def writes(connection, book):
    """Change a logbook everywhere; give the calls that would write it."""
    for part in (book, only_flow(book), *only_flow(book)):
        part.meta["new"] = 1
    only_flow(book).state = states.RUNNING
    for atom in only_flow(book):
        atom.state = states.RUNNING
    only_flow(book).add(task_detail("later"))
    return {
        "save_logbook": lambda: connection.save_logbook(book),
        "update_flow_details": lambda: connection.update_flow_details(only_flow(book)),
        "update_atom_details": lambda: connection.update_atom_details(
            atom_of(book, "a")
        ),
    }


def reads(connection, book):
    """Give the calls that read a logbook."""
    return {
        "get_logbook": lambda: connection.get_logbook(book.uuid),
        "get_logbooks": lambda: list(connection.get_logbooks()),
        "get_flow_details": lambda: connection.get_flow_details(only_flow(book).uuid),
        "get_atom_details": lambda: connection.get_atom_details(
            atom_of(book, "a").uuid
        ),
    }


def test_details_of_a_newer_schema(connection, saved, admin, dumps):
    """A flow that a newer version wrote is neither read nor written."""
    key = connection.backend.keys.of_flow(only_flow(saved).uuid).flow
    admin.hset(key, "schema", 2)
    before = dumps()
    calls = {**reads(connection, saved), **writes(connection, saved)}
    calls["destroy_logbook"] = lambda: connection.destroy_logbook(saved.uuid)
    for call in calls.values():
        with pytest.raises(SchemaTooNew) as caught:
            call()
        assert (caught.value.key, caught.value.schema) == (key, 2)
        assert dumps() == before


def keys_of(backend, book):
    """Name all keys that a logbook with one flow has, by what they are."""
    keys, flow = backend.keys, backend.keys.of_flow(only_flow(book).uuid)
    names = ("flow", "atoms", "changes", "events", "lock", "lock_readers", "workers")
    return {
        "books": keys.books,
        "flows": keys.flows,
        "atom-index": keys.atom_index,
        "book": keys.book(book.uuid),
        **{name: getattr(flow, name) for name in names},
        "missing": flow.missing,
        "plan": flow.plan,
        "idle": flow.idle,
        "atom": flow.atom(atom_of(book, "a").uuid),
        "result": flow.result(atom_of(book, "a").uuid),
        "history": flow.result(atom_of(book, "r").uuid),
    }


#: The keys that a call does not need.
SPARED = {
    "update_flow_details": {"books", "flows", "book"},
    "update_atom_details": {
        *("books", "flows", "book", "atom-index", "atoms", "lock_readers")
    },
}

#: The keys that each call reads.
READ = {
    "get_logbook": {"book", "flow", "changes", "workers", "atom", "result"},
    "get_flow_details": {"flow", "changes", "workers", "atom", "result"},
    "get_logbooks": {"books", "book", "flow", "changes", "workers", "atom", "result"},
    "get_atom_details": {"atom-index", "flow", "atom", "result"},
}

KEYS = sorted(
    {*set().union(*READ.values()), "flows", "atoms", "events", "lock", "lock_readers"}
    | {"missing", "plan", "idle"}
)


def plant(admin, key):
    """Put a key of a wrong type in the place of another."""
    admin.delete(key)
    admin.set(key, "in the way")


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_wrong_type_is_not_written_over(
    connection, saved, admin, dumps, name
):
    """Whoever would need the key names it, and has changed nothing."""
    key = keys_of(connection.backend, saved)[name]
    plant(admin, key)
    before = dumps()
    for what, call in writes(connection, saved).items():
        if name in SPARED.get(what, ()):
            continue
        with pytest.raises(CorruptKey) as caught:
            call()
        assert caught.value.key == key, what
        assert dumps() == before, what


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_wrong_type_is_not_read(connection, saved, admin, dumps, name):
    """Whoever reads the key names it."""
    key = keys_of(connection.backend, saved)[name]
    plant(admin, key)
    before = dumps()
    for what, call in reads(connection, saved).items():
        if name in READ[what]:
            with pytest.raises(CorruptKey) as caught:
                call()
            assert caught.value.key == key, what
        else:
            call()
        assert dumps() == before, what


@pytest.mark.parametrize("name", KEYS)
def test_a_key_in_the_way_of_a_new_logbook(connection, book, admin, dumps, name):
    """A logbook is not stored around it, nor a flow that stands before it."""
    key = keys_of(connection.backend, book)[name]
    whole = models.LogBook("book", book.uuid)
    whole.add(models.FlowDetail("first", new_uuid()))
    whole.add(only_flow(book))
    plant(admin, key)
    before = dumps()
    with pytest.raises(CorruptKey) as caught:
        connection.save_logbook(whole)
    assert caught.value.key == key
    assert dumps() == before


@pytest.mark.parametrize("name", KEYS)
def test_a_key_of_a_wrong_type_is_not_removed(connection, saved, admin, dumps, name):
    """A logbook is only destroyed if all of it is what it should be."""
    key = keys_of(connection.backend, saved)[name]
    plant(admin, key)
    before = dumps()
    with pytest.raises(CorruptKey) as caught:
        connection.destroy_logbook(saved.uuid)
    assert caught.value.key == key
    assert dumps() == before


UNDECODABLE = {
    "book: name": ("book", "name", None),
    "book: name of a field": ("book", b"\xff", "x"),
    "book: metadata": ("book", "meta:x", "{"),
    "book: time": ("book", "created_at", "yesterday"),
    "flow: name": ("flow", "name", b"\xff"),
    "flow: run": ("flow", "run", "many"),
    "flow: ended": ("flow", "ended", "never"),
    "flow: metadata": ("flow", "meta:x", "{"),
    "atom: name": ("atom", "name", b"\xff"),
    "atom: type": ("atom", "type", "flow"),
    "atom: rev": ("atom", "rev", "many"),
    "atom: metadata": ("atom", "meta:x", b"\xff"),
    "atom: name of metadata": ("atom", b"meta:\xff", "1"),
    "atom: injected": ("atom", "injected:x", "{"),
    "atom: provides": ("atom", "provides", "{"),
    "result: results": ("result", "results", "{"),
    "result: failure": ("result", "failure", "{}"),
    "history: value": ("history", "entry:1", "{"),
    "history: number": ("history", "entry:x", "1"),
    "history: failure": ("history", "entry:1:failure:b", "{}"),
    "result: name of a field": ("result", b"value:\xff", "1"),
}


@pytest.mark.parametrize("damage", UNDECODABLE.values(), ids=UNDECODABLE)
def test_a_field_that_is_not_understood(connection, saved, admin, dumps, damage):
    """Reading names the key, and changes nothing."""
    name, field, value = damage
    key = keys_of(connection.backend, saved)[name]
    if value is None:
        admin.hdel(key, field)
    else:
        admin.hset(key, field, value)
    before = dumps()
    read = reads(connection, saved)
    if name == "book":
        calls = [read["get_logbook"], read["get_logbooks"]]
    elif name == "history":
        uuid = atom_of(saved, "r").uuid
        calls = [read["get_logbook"], lambda: connection.get_atom_details(uuid)]
    elif name == "flow":
        calls = [read["get_logbook"], read["get_flow_details"]]
    else:
        calls = list(read.values())
    for call in calls:
        with pytest.raises(CorruptKey) as caught:
            call()
        assert caught.value.key == key
    assert dumps() == before


def test_a_record_that_is_gone(connection, saved, admin):
    """Reading a flow names the key that it lacks."""
    key = keys_of(connection.backend, saved)["atom"]
    admin.delete(key)
    read = reads(connection, saved)
    for call in (read["get_logbook"], read["get_flow_details"]):
        with pytest.raises(CorruptKey) as caught:
            call()
        assert caught.value.key == key


def test_a_retry_with_the_uuid_of_a_task(connection, saved, dumps):
    """The kind of an atom does not change, and nothing else is written either."""
    before = dumps()
    flow = models.FlowDetail("flow", only_flow(saved).uuid)
    flow.meta = {"y": 1}
    flow.add(task_detail("new"))
    flow.add(models.RetryDetail("a", atom_of(saved, "a").uuid))
    with pytest.raises(Duplicate):
        connection.update_flow_details(flow)
    assert dumps() == before
