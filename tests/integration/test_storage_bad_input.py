"""What a `Storage` cannot do: one typed error that names it, and no key changed."""

from __future__ import annotations

import pytest
from taskflow import exceptions, retry, states

from redisflow.errors import (
    CorruptKey,
    FlowLost,
    InvalidState,
    NotFound,
    SchemaTooNew,
    StoreError,
    ValueRefused,
)
from tests.support.storages import Noop, failure_of

FAILED = failure_of(OSError("disk"))
NOBODY = "nobody"


class Opaque:
    """What no codec can store."""


@pytest.fixture
def storage(storage):
    """Give the flow of the other tests a retry, results and values too."""
    storage.ensure_atoms([Noop("b"), retry.AlwaysRevert("r"), retry.AlwaysRevert("e")])
    storage.save("a", "result")
    storage.save("b", FAILED, states.FAILURE)
    storage.save("r", 1)
    storage.inject({"x": 1})
    storage.get_flow_state()
    return storage


#: Calls about an atom, by the methods' names.
OF_AN_ATOM = {
    "get_atom_uuid": lambda s, atom: s.get_atom_uuid(atom),
    "get_atom_state": lambda s, atom: s.get_atom_state(atom),
    "get_atoms_states": lambda s, atom: s.get_atoms_states(["a", atom]),
    "get_atom_intention": lambda s, atom: s.get_atom_intention(atom),
    "set_atom_state": lambda s, atom: s.set_atom_state(atom, states.RUNNING),
    "set_atom_intention": lambda s, atom: s.set_atom_intention(atom, states.REVERT),
    "transition_atom_state": lambda s, atom: s.transition_atom_state(
        atom, states.REVERTING
    ),
    "update_atom_metadata": lambda s, atom: s.update_atom_metadata(atom, {"x": 1}),
    "set_task_progress": lambda s, atom: s.set_task_progress(atom, 0.5),
    "get_task_progress": lambda s, atom: s.get_task_progress(atom),
    "get_task_progress_details": lambda s, atom: s.get_task_progress_details(atom),
    "save": lambda s, atom: s.save(atom, 1),
    "save a failure": lambda s, atom: s.save(atom, FAILED, states.FAILURE),
    "save_retry_failure": lambda s, atom: s.save_retry_failure(atom, "a", FAILED),
    "cleanup_retry_history": lambda s, atom: s.cleanup_retry_history(
        atom, states.PENDING
    ),
    "get_retry_history": lambda s, atom: s.get_retry_history(atom),
    "get": lambda s, atom: s.get(atom),
    "get_revert_result": lambda s, atom: s.get_revert_result(atom),
    "reset": lambda s, atom: s.reset(atom),
    "inject_atom_args": lambda s, atom: s.inject_atom_args(atom, {"x": 1}),
    "inject_atom_args in Redis": lambda s, atom: s.inject_atom_args(
        atom, {"x": 1}, transient=False
    ),
    "fetch_mapped_args": lambda s, atom: s.fetch_mapped_args({"x": "x"}, atom),
    "fetch_unsatisfied_args": lambda s, atom: s.fetch_unsatisfied_args(
        atom, {"x": "x"}
    ),
}


@pytest.mark.parametrize("call", OF_AN_ATOM.values(), ids=OF_AN_ATOM)
def test_an_unknown_atom(storage, dumps, call):
    """NotFound, TaskFlow's too, with the name."""
    before = dumps()
    with pytest.raises(NotFound, match=NOBODY) as caught:
        call(storage, NOBODY)
    assert isinstance(caught.value, exceptions.NotFound)
    assert not isinstance(caught.value, FlowLost)
    assert dumps() == before


WRONG_KINDS = {
    **dict.fromkeys(
        ("set_task_progress", "get_task_progress", "get_task_progress_details"), "r"
    ),
    **dict.fromkeys(
        ("save_retry_failure", "cleanup_retry_history", "get_retry_history"), "a"
    ),
}


@pytest.mark.parametrize(("method", "atom"), WRONG_KINDS.items(), ids=WRONG_KINDS)
def test_an_atom_of_the_other_kind(storage, dumps, method, atom):
    """TypeError, as in TaskFlow, with the name and what it is."""
    before = dumps()
    with pytest.raises(TypeError, match=f"'{atom}' is not a .* but a "):
        OF_AN_ATOM[method](storage, atom)
    assert dumps() == before


NO_STATE = {
    "set_atom_state": lambda s: s.set_atom_state("a", "DONE"),
    "transition_atom_state": lambda s: s.transition_atom_state("a", "DONE"),
    "set_atom_intention": lambda s: s.set_atom_intention("a", "DONE"),
    "save": lambda s: s.save("a", 1, "DONE"),
    "save of a retry": lambda s: s.save("r", 1, "DONE"),
    "reset": lambda s: s.reset("a", "DONE"),
    "cleanup_retry_history": lambda s: s.cleanup_retry_history("r", "DONE"),
    "set_flow_state": lambda s: s.set_flow_state("DONE"),
    "change_flow_state": lambda s: s.change_flow_state("DONE"),
}
#: From SUCCESS for the atom, from PENDING for the flow.
ILLEGAL = {
    "transition_atom_state": lambda s: s.transition_atom_state("a", "REVERTED"),
    "change_flow_state": lambda s: s.change_flow_state("SUCCESS"),
}


@pytest.mark.parametrize(
    "call",
    [*NO_STATE.values(), *ILLEGAL.values()],
    ids=[*NO_STATE, *(f"{name} (illegal)" for name in ILLEGAL)],
)
def test_a_state_that_cannot_be(storage, dumps, call):
    """InvalidState, TaskFlow's too, that names the state."""
    before = dumps()
    with pytest.raises(InvalidState, match=r"DONE|REVERTED|SUCCESS") as caught:
        call(storage)
    assert isinstance(caught.value, exceptions.InvalidState)
    assert dumps() == before


BAD_VALUES = {
    "save": (lambda s, bad: s.save("a", bad), "a"),
    "save of a retry": (lambda s, bad: s.save("r", bad), "r"),
    "save of a revert": (lambda s, bad: s.save("a", bad, states.REVERTED), "a"),
    "inject": (lambda s, bad: s.inject({"fine": 1, "bad": bad}), "bad"),
    "inject_atom_args": (
        lambda s, bad: s.inject_atom_args(
            "a", {"fine": 1, "bad": bad}, transient=False
        ),
        "bad",
    ),
    "update_atom_metadata": (
        lambda s, bad: s.update_atom_metadata("a", {"fine": 1, "bad": bad}),
        "bad",
    ),
    "update_flow_metadata": (
        lambda s, bad: s.update_flow_metadata({"fine": 1, "bad": bad}),
        "bad",
    ),
    "set_task_progress": (
        lambda s, bad: s.set_task_progress("a", 0.5, bad),
        "progress_details",
    ),
}


@pytest.mark.parametrize(("store", "name"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_value_that_cannot_be_stored(storage, dumps, store, name):
    """ValueRefused, with the name, the path inside the value and the type there."""
    before = dumps()
    with pytest.raises(ValueRefused) as caught:
        store(storage, {"hosts": [1, Opaque()]})
    error = caught.value
    assert (error.name, error.path.endswith("['hosts'][1]")) == (name, True)
    assert error.type_name.endswith("Opaque")
    assert isinstance(error, exceptions.StorageFailure)
    assert dumps() == before


NO_FAILURE = {
    "save": lambda s: s.save("a", "no failure", states.FAILURE),
    "save of a revert": lambda s: s.save("a", None, states.REVERT_FAILURE),
    "save_retry_failure": lambda s: s.save_retry_failure("r", "a", OSError()),
}


@pytest.mark.parametrize("call", NO_FAILURE.values(), ids=NO_FAILURE)
def test_a_failure_that_is_none(storage, dumps, call):
    """TypeError: whoever reads it later relies on it."""
    before = dumps()
    with pytest.raises(TypeError, match="Failure"):
        call(storage)
    assert dumps() == before


def test_a_failure_before_any_entry(storage, dumps):
    """StoreError, TaskFlow's StorageFailure, that names the retry."""
    before = dumps()
    with pytest.raises(StoreError, match="'e' is empty") as caught:
        storage.save_retry_failure("e", "a", FAILED)
    assert isinstance(caught.value, exceptions.StorageFailure)
    assert dumps() == before


def about(name):
    """Make a call of one that is about an atom, about "a"."""
    return lambda storage: OF_AN_ATOM[name](storage, "a")


#: Calls that are right but for what they find on the server.
READS = {
    **{name: about(name) for name in OF_AN_ATOM if name.startswith("get")}
    | {name: about(name) for name in ("fetch_mapped_args", "fetch_unsatisfied_args")},
    "get_retry_history": lambda s: s.get_retry_history("r"),
    "get_retry_histories": lambda s: s.get_retry_histories(),
    "fetch": lambda s: s.fetch("x"),
    "fetch_all": lambda s: s.fetch_all(),
    "get_flow_state": lambda s: s.get_flow_state(),
    "flow_meta": lambda s: s.flow_meta,
    "has_failures": lambda s: s.has_failures(),
    "get_failures": lambda s: s.get_failures(),
    "get_revert_failures": lambda s: s.get_revert_failures(),
}
WRITES = {
    **{
        name: about(name)
        for name in OF_AN_ATOM
        if name not in {*READS, *WRONG_KINDS, "inject_atom_args"}
    },
    "set_task_progress": lambda s: s.set_task_progress("a", 0.5),
    "save_retry_failure": lambda s: s.save_retry_failure("r", "a", FAILED),
    "cleanup_retry_history": lambda s: s.cleanup_retry_history("r", states.PENDING),
    "save of a retry": lambda s: s.save("r", 2),
    "ensure_atom": lambda s: s.ensure_atom(Noop("c")),
    "inject": lambda s: s.inject({"x": 2}),
    "change_flow_state": lambda s: s.change_flow_state(states.RUNNING),
    "set_flow_state": lambda s: s.set_flow_state(states.RUNNING),
    "update_flow_metadata": lambda s: s.update_flow_metadata({"x": 1}),
}
LOCKS = {
    "write_lock": lambda s: s.lock.acquire_write_lock(),
    "read_lock": lambda s: s.lock.acquire_read_lock(),
}


def test_a_flow_of_a_newer_schema(storage, other, admin, dumps):
    """SchemaTooNew from a live storage and from a new one, with key and number."""
    key = storage.backend.keys.of_flow(storage.flow_uuid).flow
    admin.hset(key, "schema", 2)
    before = dumps()
    for name, call in (READS | WRITES).items():
        for one in (storage, other):
            with pytest.raises(SchemaTooNew) as caught:
                call(one)
            assert (caught.value.key, caught.value.schema) == (key, 2), name
            assert dumps() == before, name


def test_a_flow_deleted_underneath(storage, dumps):
    """FlowLost from every call, with the key; not one key comes back."""
    key = storage.backend.keys.of_flow(storage.flow_uuid).flow
    storage.backend.get_connection().clear_all()
    for name, call in (READS | WRITES | LOCKS).items():
        with pytest.raises(FlowLost) as caught:
            call(storage)
        assert caught.value.key == key, name
        assert dumps() == {}, name


#: What is not journaled.
_QUIET = {
    *("ensure_atom", "inject", "inject_atom_args in Redis", "save_retry_failure"),
    *("set_task_progress", "update_atom_metadata", "update_flow_metadata"),
}

#: The calls that cannot do without a key of a flow.
NEED = {
    "flow": READS | WRITES,
    "changes": READS,
    "events": WRITES.keys() - _QUIET,
    "lock": WRITES | LOCKS,
    "atoms": {"ensure_atom"},
    "atom": {"set_atom_state", "save", "reset", "update_atom_metadata"},
    "result": {"save", "reset"},
}


@pytest.mark.parametrize("planted", NEED)
def test_a_key_of_a_wrong_type(storage, admin, dumps, planted):
    """CorruptKey that names it from whoever needs it, and nothing is changed."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    uuid = storage.get_atom_uuid("a")
    of_atom = {"atom": keys.atom(uuid), "result": keys.result(uuid)}
    key = of_atom.get(planted) or getattr(keys, planted)
    admin.delete(key)
    admin.set(key, "in the way")
    before = dumps()
    for name in sorted(NEED[planted]):
        with pytest.raises(CorruptKey) as caught:
            (READS | WRITES | LOCKS)[name](storage)
        assert caught.value.key == key, name
        assert dumps() == before, name
