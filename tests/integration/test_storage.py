"""`Storage`: TaskFlow's methods, two storages on one flow, and what a call costs."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import uuid

import pytest
from taskflow import exceptions, retry, states
from taskflow.persistence import models
from taskflow.storage import Storage as TaskFlowStorage

from redisflow import RedisBackend, Storage
from redisflow.errors import (
    Duplicate,
    FlowLost,
    InvalidState,
    NotFound,
    StaleToken,
    ValueRefused,
)
from tests.support.storages import Noop, failure_of


def flow_keys(storage, admin):
    """List the keys of a flow that hold anything."""
    pattern = storage.backend.keys.of_flow(storage.flow_uuid).flow.removesuffix("flow")
    return sorted(admin.scan_iter(f"{pattern}*"))


# The interface


PUBLIC = sorted(name for name in dir(TaskFlowStorage) if not name.startswith("_"))


@pytest.mark.parametrize("name", PUBLIC)
def test_it_has_what_taskflow_has(name):
    """Every public name of TaskFlow's storage is there, and called in the same way."""
    theirs, ours = getattr(TaskFlowStorage, name), getattr(Storage, name)
    assert callable(theirs) == callable(ours)
    assert isinstance(theirs, property) == isinstance(ours, property)
    if callable(theirs):
        assert list(_parameters(ours))[: len(_parameters(theirs))] == list(
            _parameters(theirs)
        )
        added = _parameters(ours).items() - _parameters(theirs).items()
        assert all(default is not inspect.Parameter.empty for _, default in added)
    elif not isinstance(theirs, property):
        assert ours == theirs


def _parameters(method):
    """Give name and default of each parameter."""
    found = inspect.signature(method).parameters.values()
    return {parameter.name: parameter.default for parameter in found}


def test_it_is_made_as_taskflow_makes_it():
    """The constructor takes what TaskFlow's takes."""
    assert _parameters(Storage) == _parameters(TaskFlowStorage)


def test_making_one_does_no_io(detail):
    """A storage on a server that does not exist is made without a word."""
    storage = Storage(detail, RedisBackend.from_url("redis://127.0.0.1:1/0"))
    assert (storage.flow_name, storage.flow_uuid) == ("f", detail.uuid)


def test_a_detail_never_stored_is_stored_at_first_use(backend, detail):
    """Details without a logbook get one when something is asked of them."""
    detail.meta = {"a": 1}
    storage = Storage(detail, backend)
    assert storage.get_flow_state() == states.PENDING
    assert storage.flow_meta == {"a": 1}
    stored = backend.get_connection().get_flow_details(detail.uuid)
    assert (stored.name, stored.meta, stored.state) == ("f", {"a": 1}, None)
    (book,) = backend.get_connection().get_logbooks()
    assert [flow.uuid for flow in book] == [detail.uuid]


def test_a_flow_that_is_gone_is_lost(storage, backend, detail, admin):
    """Calls on a flow whose keys were removed raise FlowLost and write nothing."""
    admin.delete(*flow_keys(storage, admin))
    calls = [
        storage.get_flow_state,
        lambda: storage.save("a", 1),
        lambda: storage.change_flow_state(states.RUNNING),
        lambda: storage.update_flow_metadata({"a": 1}),
        lambda: storage.inject({"x": 1}),
        lambda: storage.ensure_atom(Noop("b")),
    ]
    for call in calls:
        with pytest.raises(FlowLost):
            call()
    assert flow_keys(storage, admin) == []


# Details


def test_ensure_atoms_keeps_what_is_there(storage, other):
    """Asking again, here or elsewhere, gives the same uuids and touches nothing."""
    first = storage.get_atom_uuid("a")
    storage.save("a", 1)
    assert storage.ensure_atoms([Noop("a"), Noop("b")])[0] == first
    assert other.ensure_atoms([Noop("b"), Noop("a")])[1] == first
    assert other.get_atoms_states(["a", "b"]) == {
        "a": (states.SUCCESS, states.EXECUTE),
        "b": (states.PENDING, states.EXECUTE),
    }


def test_more_atoms_than_one_call_carries(storage):
    """Details of thousands of atoms are made in batches, in the order asked for."""
    names = [f"n{number}" for number in range(2500)]
    uuids = storage.ensure_atoms([Noop(name) for name in names])
    assert [storage.mirror.atom(name).uuid for name in names] == uuids
    assert len(set(uuids)) == len(names)


def test_what_is_no_atom_is_refused(storage):
    """Something that is neither task nor retry is a TypeError."""
    with pytest.raises(TypeError, match="requested to ensure"):
        storage.ensure_atoms([Noop("b"), "c"])
    with pytest.raises(NotFound):
        storage.get_atom_uuid("b")


def test_a_name_of_another_type_is_a_duplicate(storage):
    """A retry cannot have the name of a task."""
    with pytest.raises(Duplicate):
        storage.ensure_atom(retry.AlwaysRevert("a"))


def test_version_and_type_are_kept(backend, detail):
    """The version of a task is stored as TaskFlow prints it."""
    atom = Noop("a")
    atom.version = (3, 11)
    Storage(detail, backend).ensure_atom(atom)
    (found,) = backend.get_connection().get_flow_details(detail.uuid)
    assert (found.version, type(found)) == ("3.11", models.TaskDetail)


def test_the_flow_detail_is_updated_in_place(storage, other, detail):
    """The details that the storage was given show what others have changed."""
    (before,) = detail
    other.change_flow_state(states.RUNNING)
    other.update_flow_metadata({"key": "value"})
    other.save("a", [1, 2])
    other.ensure_atom(Noop("b"))
    assert storage.get("a") == [1, 2]
    assert (detail.state, detail.meta) == (states.RUNNING, {"key": "value"})
    assert {atom.name: atom.state for atom in detail} == {
        "a": states.SUCCESS,
        "b": states.PENDING,
    }
    assert detail.find(before.uuid) is before
    assert (before.state, before.results) == (states.SUCCESS, [1, 2])


def test_a_loaded_detail_keeps_its_results(storage, backend, detail):
    """A detail that came with results shows them on, whatever is read of the states."""
    storage.ensure_atoms([Noop("a")])
    storage.save("a", "done")
    (book,) = backend.get_connection().get_logbooks()
    loaded = book.find(detail.uuid)
    again = Storage(loaded, backend)

    assert again.get_atom_state("a") == states.SUCCESS
    assert [atom.results for atom in loaded] == ["done"]
    storage.save("a", "done anew")
    assert again.get("a") == "done anew"
    assert [atom.results for atom in loaded] == ["done anew"]


UNKNOWN = {
    "get_atom_state": lambda s: s.get_atom_state("?"),
    "get_atoms_states": lambda s: s.get_atoms_states(["a", "?"]),
    "set_atom_state": lambda s: s.set_atom_state("?", states.RUNNING),
    "set_atom_intention": lambda s: s.set_atom_intention("?", states.REVERT),
    "transition_atom_state": lambda s: s.transition_atom_state("?", states.RUNNING),
    "save": lambda s: s.save("?", 1),
    "get": lambda s: s.get("?"),
    "reset": lambda s: s.reset("?"),
    "update_atom_metadata": lambda s: s.update_atom_metadata("?", {"a": 1}),
    "set_task_progress": lambda s: s.set_task_progress("?", 0.5),
    "inject_atom_args": lambda s: s.inject_atom_args("?", {"a": 1}),
    "fetch": lambda s: s.fetch("?"),
}


@pytest.mark.parametrize("call", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_name_is_not_found(storage, call):
    """Names of no atom raise what TaskFlow raises."""
    with pytest.raises(exceptions.NotFound):
        call(storage)


# States


def test_atom_states_and_intentions(storage, other):
    """States and intentions are set without a table, and seen elsewhere."""
    assert storage.get_atom_intention("a") == states.EXECUTE
    storage.set_atom_state("a", states.REVERTING)
    storage.set_atom_intention("a", states.REVERT)
    for one in (storage, other):
        assert one.get_atoms_states(["a"]) == {"a": (states.REVERTING, states.REVERT)}
        assert one.get_atom_state("a") == states.REVERTING
        assert one.get_atom_intention("a") == states.REVERT


def test_transition_atom_state_compares_and_sets(storage, other):
    """It moves the atom once, only from what is expected, only where it may."""
    assert storage.transition_atom_state("a", states.RUNNING) == (True, states.PENDING)
    assert other.transition_atom_state("a", states.RUNNING) == (False, states.RUNNING)
    expected = states.PENDING
    answer = other.transition_atom_state("a", states.SUCCESS, expected=expected)
    assert answer == (False, states.RUNNING)
    with pytest.raises(InvalidState, match="from RUNNING to PENDING"):
        other.transition_atom_state("a", states.PENDING)
    expected = states.RUNNING
    answer = other.transition_atom_state("a", states.SUCCESS, expected=expected)
    assert answer == (True, states.RUNNING)
    assert storage.get_atom_state("a") == states.SUCCESS


def test_change_flow_state(storage, other):
    """The flow moves as TaskFlow's table says, and tells from where."""
    assert storage.change_flow_state(states.RUNNING) == (True, states.PENDING)
    assert other.change_flow_state(states.RUNNING) == (False, states.RUNNING)
    assert other.change_flow_state(states.SUSPENDING) == (True, states.RUNNING)
    with pytest.raises(exceptions.InvalidState, match="is not allowed"):
        storage.change_flow_state(states.PENDING)
    assert storage.get_flow_state() == states.SUSPENDING


# Metadata and progress


def test_metadata_merges(storage, other):
    """Entries of the same name are replaced, all others stay."""
    storage.update_atom_metadata("a", {"x": 1, "y": 2})
    other.update_atom_metadata("a", [("y", 3), ("z", (4,))])
    storage.update_atom_metadata("a", None)
    (atom,) = storage.backend.get_connection().get_flow_details(storage.flow_uuid)
    assert atom.meta == {"x": 1, "y": 3, "z": (4,)}
    other.update_flow_metadata({"x": 1, "y": 2})
    storage.update_flow_metadata([("y", None)])
    assert other.flow_meta == storage.flow_meta == {"x": 1, "y": None}


def test_progress(storage, other):
    """Progress and its details are those that any process has told last."""
    assert storage.get_task_progress("a") == 0.0
    assert storage.get_task_progress_details("a") is None
    storage.set_task_progress("a", 0.5, {"step": 1})
    storage.set_task_progress("a", 0.8)
    assert other.get_task_progress("a") == 0.8
    assert other.get_task_progress_details("a") == {
        "at_progress": 0.5,
        "details": {"step": 1},
    }
    other.set_task_progress("a", 0.9, {})
    assert storage.get_task_progress_details("a") is None


# Results


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        -0.0,
        2**80,
        "text",
        "\ud800",
        b"bytes",
        [],
        {},
        (1, (2,)),
        {3, 4},
        frozenset({1}),
        {1: "a", (2, 3): "b"},
        {"$tuple": [1]},
        decimal.Decimal("1.10"),
        dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
        dt.timedelta(microseconds=1),
        uuid.UUID(int=7),
        1 + 2j,
        float("inf"),
    ],
    ids=ascii,
)
def test_values_come_back_equal_and_of_the_same_type(storage, other, value):
    """What another process reads is equal to what was saved, down to its types."""
    storage.save("a", value)
    for one in (storage, other):
        found = one.get("a")
        assert found == value
        assert (type(found), repr(found)) == (type(value), repr(value))


def test_a_value_that_cannot_be_stored(storage, admin):
    """It is refused with its path, and nothing is written."""
    before = {key: admin.dump(key) for key in flow_keys(storage, admin)}
    with pytest.raises(ValueRefused) as caught:
        storage.save("a", {"hosts": [1, object()]})
    assert (caught.value.path, caught.value.type_name) == ("$['hosts'][1]", "object")
    with pytest.raises(ValueRefused):
        storage.inject({"good": 1, "bad": object()})
    with pytest.raises(ValueRefused):
        storage.update_atom_metadata("a", {"bad": object()})
    assert {key: admin.dump(key) for key in flow_keys(storage, admin)} == before
    assert storage.get_atom_state("a") == states.PENDING


def test_the_first_result_wins(storage, other):
    """A second storage is refused; the first one may replace its own result."""
    storage.save("a", "first")
    for state, result in ((states.SUCCESS, 2), (states.FAILURE, failure_of(OSError()))):
        with pytest.raises(StaleToken) as caught:
            other.save("a", result, state)
        assert caught.value.atom == "a"
    storage.save("a", "better")
    assert other.get("a") == storage.get("a") == "better"
    assert not other.has_failures()


def test_a_reset_opens_a_new_round(storage, other):
    """After a reset any storage may be the first one again."""
    storage.save("a", 1)
    storage.reset("a")
    with pytest.raises(NotFound):
        other.get("a")
    assert other.get_atoms_states(["a"]) == {"a": (states.PENDING, states.EXECUTE)}
    other.save("a", 2)
    assert storage.get("a") == 2


def test_reset_of_an_atom_in_that_state_does_nothing(storage, received):
    """An atom that is where it should be keeps its metadata and its revision."""
    storage.update_atom_metadata("a", {"x": 1})
    rev = storage.mirror.rev
    storage.reset("a")
    storage.get_flow_state()
    assert storage.mirror.rev == rev
    storage.save("a", 1)
    storage.reset("a", states.SUCCESS)
    assert storage.get("a") == 1


def test_no_result_before_there_is_one(storage):
    """Asking too early is NotFound, for execute and for revert."""
    for read in (storage.get, storage.get_execute_result, storage.get_revert_result):
        with pytest.raises(NotFound, match="is not known"):
            read("a")


def test_results_of_revert(storage, other):
    """What revert returned stands beside what made the task fail."""
    failed = failure_of(OSError("disk"))
    storage.save("a", failed, states.FAILURE)
    storage.set_atom_intention("a", states.REVERT)
    storage.set_atom_state("a", states.REVERTING)
    storage.save("a", ["undone"], states.REVERTED)
    for one in (storage, other):
        assert one.get_revert_result("a") == ["undone"]
        assert one.get_failures()["a"].matches(failed)
        assert one.get_revert_failures() == {}


# Failures


def test_failures_of_this_process_keep_their_tracebacks(storage):
    """Those raised here are the very objects, with traceback and exception."""
    failed = failure_of(OSError("disk"))
    storage.save("a", failed, states.FAILURE)
    assert storage.get("a") is failed
    assert storage.get_failures() == {"a": failed}
    assert storage.get_execute_failures()["a"].exc_info[2] is not None


def test_failures_are_seen_by_other_storages(storage, other):
    """Another process gets the failure as text, and can tell what it was."""
    assert not other.has_failures()
    failed = failure_of(OSError("disk"))
    storage.save("a", failed, states.FAILURE)
    assert other.has_failures()
    found = other.get("a")
    assert found.matches(failed)
    assert (found.exception, found.exception_str) == (None, "disk")
    assert "failure_of" in found.traceback_str
    assert list(other.get_failures()) == ["a"]
    storage.reset("a")
    assert not other.has_failures()
    assert other.get_failures() == {}


def test_failures_of_revert_are_seen(storage, other):
    """A failed revert is a failure of its own."""
    storage.set_atom_intention("a", states.REVERT)
    failed = failure_of(RuntimeError("worse"))
    storage.save("a", failed, states.REVERT_FAILURE)
    assert other.has_failures()
    assert other.get_failures() == {}
    assert other.get_revert_failures()["a"].matches(failed)
    assert other.get_revert_result("a").matches(failed)
    assert storage.get_revert_result("a") is failed


def test_a_failed_state_wants_a_failure(storage):
    """Any other result of FAILURE is a mistake of the caller."""
    with pytest.raises(TypeError):
        storage.save("a", "no failure", states.FAILURE)
    assert storage.get_atom_state("a") == states.PENDING


# Values by name


def test_inject_and_fetch(storage, other):
    """Injected values are found by name, here and elsewhere, newer ones first."""
    storage.inject({"x": 1, "y": (2,)})
    storage.inject([("x", 3)])
    for one in (storage, other):
        assert one.fetch("x") == 3
        assert one.fetch_all() == {"x": 3, "y": (2,)}


def test_values_injected_at_once_stay_all(storage, other):
    """Two storages that inject different names lose none."""
    storage.fetch_all()
    other.fetch_all()
    storage.inject({"x": 1})
    other.inject({"y": 2})
    assert storage.fetch_all() == other.fetch_all() == {"x": 1, "y": 2}


def test_transient_values_stay_in_their_process(storage, other):
    """They need not be storable, and nobody else sees them."""
    thing = object()
    storage.inject({"x": thing}, transient=True)
    assert storage.fetch("x") is thing
    assert storage.fetch_all() == {"x": thing}
    with pytest.raises(NotFound):
        other.fetch("x")


def test_results_by_name(backend, detail, other):
    """Names lead to parts of results, also for who does not have the code."""
    storage = Storage(detail, backend)
    storage.ensure_atoms(
        [
            Noop("whole", provides="w"),
            Noop("pair", provides=("first", "second")),
            Noop("keys", provides={"k"}),
        ]
    )
    storage.save("whole", [1])
    storage.save("pair", (2, 3))
    storage.save("keys", {"k": 4})
    reader = Storage(models.FlowDetail("f", detail.uuid), other.backend)
    found = {"w": [1], "first": 2, "second": 3, "k": 4}
    assert storage.fetch_all() == reader.fetch_all() == found
    storage.ensure_atom(Noop("again", provides="w"))
    with pytest.raises(NotFound):  # as in TaskFlow: one of its providers is pending
        reader.fetch("w")
    storage.save("again", [5])
    assert reader.fetch("w") == [1]
    assert reader.fetch("w", many_handler=list) == [[1], [5]]
    assert reader.fetch_all()["w"] == [[1], [5]]


def test_a_result_without_the_promised_part(storage):
    """A name whose index the result lacks is not found."""
    storage.ensure_atom(Noop("pair", provides=("first", "second")))
    storage.save("pair", (1,))
    assert storage.fetch("first") == 1
    with pytest.raises(NotFound):
        storage.fetch("second")
    assert storage.fetch_all() == {"first": 1}


def test_fetch_mapped_args(storage, other):
    """Arguments come from what was injected into the atom first, then by name."""
    storage.inject({"x": 1, "y": 2})
    wanted = {"one": "x", "two": "y"}
    assert storage.fetch_mapped_args(wanted, "a") == {"one": 1, "two": 2}
    storage.inject_atom_args("a", {"x": "transient"})
    storage.inject_atom_args("a", {"x": "stored", "y": "stored"}, transient=False)
    found = storage.fetch_mapped_args(wanted, "a")
    assert found == {"one": "transient", "two": "stored"}
    assert other.fetch_mapped_args(wanted, "a") == {"one": "stored", "two": "stored"}
    assert storage.fetch_mapped_args({}, "a") == {}


def test_fetch_mapped_args_with_a_scope(backend, detail):
    """The nearest scope with the name decides, not the order of saving."""
    storage = Storage(detail, backend)
    storage.ensure_atoms(
        [Noop("far", provides="x"), Noop("near", provides="x"), Noop("a")]
    )
    storage.save("far", "far")
    storage.save("near", "near")
    levels = [["near"], ["far"]]
    found = storage.fetch_mapped_args({"x": "x"}, "a", scope_walker=levels)
    assert found == {"x": "near"}
    levels = [["far"]]
    found = storage.fetch_mapped_args({"x": "x"}, "a", scope_walker=iter(levels))
    assert found == {"x": "far"}


def test_unsatisfied_and_optional_arguments(storage):
    """What nothing will provide is named, unless it is optional."""
    storage.inject({"x": 1})
    wanted = {"one": "x", "two": "y", "three": "z"}
    assert storage.fetch_unsatisfied_args("a", wanted) == {"two", "three"}
    left = storage.fetch_unsatisfied_args("a", wanted, optional_args=["three"])
    assert left == {"two"}
    with pytest.raises(exceptions.NotFound):
        storage.fetch_mapped_args(wanted, "a")
    with pytest.raises(exceptions.NotFound):
        storage.fetch_mapped_args(wanted, "a", optional_args=["three"])
    storage.inject({"y": 2})
    found = storage.fetch_mapped_args(wanted, "a", optional_args=["three"])
    assert found == {"one": 1, "two": 2}


def test_several_providers_have_one_order_everywhere(storage, other):
    """Of several values of a name every storage takes that of the first provider."""
    storage.ensure_atoms([Noop("one", provides="x"), Noop("two", provides="x")])
    storage.save("two", 2)
    storage.save("one", 1)
    assert storage.fetch_all()["x"] == [1, 2]
    assert other.fetch_all()["x"] == [1, 2]
    assert other.fetch("x") == 1
