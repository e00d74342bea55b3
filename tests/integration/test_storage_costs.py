"""What calls of a `Storage` cost: round trips, and what they transfer."""

from __future__ import annotations

import pytest
from taskflow import retry, states
from taskflow.storage import Storage as TaskFlowStorage

from tests.support.storages import Noop, failure_of

FAILED = failure_of(OSError("disk"))

#: What needs no server: it is known, or stays in this process.
FREE = {
    "backend": lambda s: s.backend,
    "flow_name": lambda s: s.flow_name,
    "flow_uuid": lambda s: s.flow_uuid,
    "injector_name": lambda s: s.injector_name,
    "lock": lambda s: s.lock,
    "inject (transient)": lambda s: s.inject({"x": 1}, transient=True),
    "inject_atom_args (transient)": lambda s: s.inject_atom_args("a", {"x": 1}),
}

WRITES = {
    "save": lambda s: s.save("a", {"some": ["result"]}),
    "save (of a retry)": lambda s: s.save("r", 1),
    "save_retry_failure": lambda s: s.save_retry_failure("r", "a", FAILED),
    "cleanup_retry_history": lambda s: s.cleanup_retry_history("r", states.PENDING),
    "ensure_atom": lambda s: s.ensure_atom(Noop("a")),
    "ensure_atoms": lambda s: s.ensure_atoms([Noop("a"), Noop("a")]),
    "set_flow_state": lambda s: s.set_flow_state(states.RUNNING),
    "set_atom_state": lambda s: s.set_atom_state("a", states.RUNNING),
    "set_atom_intention": lambda s: s.set_atom_intention("a", states.REVERT),
    "transition_atom_state": lambda s: s.transition_atom_state("a", states.RUNNING),
    "update_atom_metadata": lambda s: s.update_atom_metadata("a", {"x": 1, "y": 2}),
    "update_flow_metadata": lambda s: s.update_flow_metadata({"x": 1, "y": 2}),
    "set_task_progress": lambda s: s.set_task_progress("a", 0.5, {"x": 1}),
    "change_flow_state": lambda s: s.change_flow_state(states.RUNNING),
    "inject": lambda s: s.inject({"x": 1, "y": 2}),
    "reset": lambda s: s.reset("a", states.REVERTED),
    "inject_atom_args": lambda s: s.inject_atom_args("a", {"x": 1}, transient=False),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_is_one_round_trip(storage, received, write):
    """The server receives one command, a script."""
    storage.ensure_atom(retry.AlwaysRevert("r"))
    storage.save("r", 0)
    write(storage)  # the first use of a script also loads it
    storage.save("r", 0)
    storage.reset("a")
    storage.get_flow_state()
    assert received(lambda: write(storage)) == ["EVALSHA"]


def test_whoever_waits_is_told_in_the_same_round_trip(storage, received, admin):
    """The script leaves the hint for a worker that waits."""
    storage.change_flow_state(states.RUNNING)
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    admin.zadd(keys.idle, {"w": 1})

    asked = received(lambda: storage.change_flow_state(states.SUSPENDING))

    assert asked == ["EVALSHA"]
    assert admin.lrange(keys.wake("w"), 0, -1) == ["look"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_atom_that_takes_nothing(storage, other, received, admin, workers):
    """Among others it begins without asking what they have done meanwhile."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    lives = {f"w{number}": 2**50 for number in range(workers)}
    storage.set_atom_state("a", states.RUNNING)
    admin.zadd(keys.workers, lives)
    storage.get_flow_state()
    other.set_atom_state("a", states.PENDING)
    storage.mirror.suspect()

    with storage.pinned():
        asked = received(lambda: storage.fetch_mapped_args({}, "a"))
    assert asked == (["EVALSHA"] if workers == 1 else [])
    assert storage.get_atom_state("a") == states.PENDING


READS = {
    "get_flow_state": lambda s: s.get_flow_state(),
    "flow_meta": lambda s: s.flow_meta,
    "get_atom_state": lambda s: s.get_atom_state("a"),
    "get_atoms_states": lambda s: s.get_atoms_states(["a", "b"]),
    "get_atom_uuid": lambda s: s.get_atom_uuid("a"),
    "get_atom_intention": lambda s: s.get_atom_intention("a"),
    "get": lambda s: s.get("a"),
    "get_execute_result": lambda s: s.get_execute_result("a"),
    "get_execute_result (of a retry)": lambda s: s.get_execute_result("r"),
    "get_revert_result": lambda s: s.get_revert_result("d"),
    "get_failures": lambda s: s.get_failures(),
    "get_execute_failures": lambda s: s.get_execute_failures(),
    "get_revert_failures": lambda s: s.get_revert_failures(),
    "get_retry_history": lambda s: s.get_retry_history("r"),
    "get_retry_histories": lambda s: s.get_retry_histories(),
    "has_failures": lambda s: s.has_failures(),
    "get_task_progress": lambda s: s.get_task_progress("a"),
    "get_task_progress_details": lambda s: s.get_task_progress_details("a"),
    "fetch": lambda s: s.fetch("x"),
    "fetch_all": lambda s: s.fetch_all(),
    "fetch_mapped_args": lambda s: s.fetch_mapped_args({"x": "x"}, "a"),
    "fetch_unsatisfied_args": lambda s: s.fetch_unsatisfied_args("a", {"x": "x"}),
}


def test_every_method_is_counted():
    """No public name of TaskFlow's storage is left out of these tests."""
    counted = {name.partition(" ")[0] for name in (*FREE, *WRITES, *READS)}
    public = {name for name in dir(TaskFlowStorage) if not name.startswith("_")}
    assert counted == public | {"transition_atom_state"}


@pytest.mark.parametrize("call", FREE.values(), ids=FREE)
def test_what_needs_no_server_does_not_ask_it(storage, received, call):
    """What never changes, and what stays in this process, costs nothing."""
    assert received(lambda: call(storage)) == []


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_is_one_round_trip(storage, other, received, read):
    """With nothing changed a read asks once; a result is fetched once."""
    storage.ensure_atoms([Noop("b"), Noop("c", provides="r"), Noop("d")])
    storage.ensure_atom(retry.AlwaysRevert("r", provides="tried"))
    storage.save("a", "result")
    storage.save("c", "result")
    storage.save("b", FAILED, states.FAILURE)
    storage.save("d", FAILED, states.REVERT_FAILURE)
    storage.save("r", 1)
    storage.save_retry_failure("r", "b", FAILED)
    storage.inject({"x": 1})
    for one in (storage, other):
        read(one)
        assert received(lambda one=one: read(one)) == ["EVALSHA"]


def test_new_atoms_are_shown_without_asking_for_them(storage, other, received):
    """What is made of the answer is what another process reads of the server."""
    storage.get_flow_state()
    new = [Noop("b"), Noop("c", provides=["x", "y"]), retry.AlwaysRevert("r")]
    storage.ensure_atoms([Noop("z")])  # the first use of a script also loads it

    asked = received(lambda: storage.ensure_atoms([*new, Noop("a"), Noop("b")]))

    assert asked == ["EVALSHA"]
    other.get_flow_state()
    for name in ("b", "c", "r", "z"):
        shown, read = (one.mirror.atoms[name] for one in (storage, other))
        assert shown.detail.to_dict() == read.detail.to_dict()
        fields = ("type", "place", "rev", "failed", "owner", "provides", "entries")
        for field in (*fields, "round", "attempt", "node", "payloads"):
            assert getattr(shown, field) == getattr(read, field), (name, field)


def test_a_read_brings_what_has_changed_and_no_more(storage, other, admin):
    """After one change among many atoms, a read carries one atom."""
    storage.ensure_atoms([Noop(f"n{number}") for number in range(500)])
    other.get_flow_state()
    storage.set_atom_state("n7", states.RUNNING)
    before = admin.info("stats")["total_net_output_bytes"]
    assert other.get_atom_state("n7") == states.RUNNING
    assert admin.info("stats")["total_net_output_bytes"] - before < 12_000


def test_states_do_not_carry_results(storage, other, admin):
    """Reading the state of an atom with a large result does not transfer it."""
    storage.save("a", "x" * 1_000_000)
    before = admin.info("stats")["total_net_output_bytes"]
    assert other.get_atom_state("a") == states.SUCCESS
    assert other.has_failures() is False
    assert admin.info("stats")["total_net_output_bytes"] - before < 100_000


def test_histories_come_together(storage, other, received):
    """Histories of many retries are fetched in one round trip, once they are wanted."""
    names = [f"r{number}" for number in range(20)]
    storage.ensure_atoms([retry.AlwaysRevert(name) for name in names])
    for name in names:
        storage.save(name, name)
        storage.save_retry_failure(name, "a", FAILED)
    other.get_atoms_states(names)
    asked = received(other.get_retry_histories)
    assert asked == ["EVALSHA", *["HGETALL", "HGET"] * len(names)]  # in one pipeline
    assert received(lambda: other.get_retry_history("r7")) == ["EVALSHA"]
