"""Histories of retries: what two storages on one flow append, note and read."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest
from taskflow import exceptions, retry, states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.errors import InvalidState, NotFound, StoreError, ValueRefused
from redisflow.scripts import catalogue
from tests.support.proxy import Proxy
from tests.support.storages import failure_of

FAILED = failure_of(OSError("disk"))


@pytest.fixture
def storage(storage):
    """Add a retry "r" to the flow."""
    storage.ensure_atom(retry.AlwaysRevert("r", provides="tried"))
    return storage


def test_results_and_failures_are_seen_elsewhere(storage, other):
    """Another storage reads the history as it was written, entry by entry."""
    storage.save("r", {"try": 1})
    other.save_retry_failure("r", "a", FAILED)
    other.save("r", (2,))
    storage.save_retry_failure("r", "b:c", FAILED)
    for one in (storage, other):
        first, second = one.get_retry_history("r")
        assert first == ({"try": 1}, first[1])
        assert second == ((2,), second[1])
        assert first[1]["a"].matches(FAILED)
        assert second[1]["b:c"].matches(FAILED)
        assert one.fetch("tried") == (2,)
        assert one.get("r") == list(one.get_retry_history("r"))
        ((name, history),) = one.get_retry_histories()
        assert (name, len(history), history.failure) == ("r", 2, None)


def test_a_person_can_read_a_history(storage, admin):
    """Each entry is a field of its own, in JSON."""
    storage.save("r", {"try": 1})
    storage.save_retry_failure("r", "a", FAILED)
    key = storage.backend.keys.of_flow(storage.flow_uuid).result(
        storage.get_atom_uuid("r")
    )
    found = admin.hgetall(key)
    assert found["entry:1"] == '{"try":1}'
    assert "disk" in found["entry:1:failure:a"]


def test_the_details_show_the_history(storage, other):
    """The detail that a storage was given has the history once it was fetched."""
    other.save("r", 1)
    (found,) = storage.get_retry_history("r")
    detail = storage._flowdetail.find(storage.get_atom_uuid("r"))
    assert detail.results == [found]
    storage.save("r", 2)
    assert detail.results == [(1, {}), (2, {})]
    stored = storage.backend.get_connection().get_flow_details(storage.flow_uuid)
    assert stored.find(detail.uuid).results == [(1, {}), (2, {})]


def test_a_history_that_was_not_fetched_is_not_guessed(storage, other):
    """What is appended without a look at the history does not stand for all of it."""
    storage.save("r", 1)
    other.get_atom_state("r")
    other.save("r", 2)
    assert other.fetch("tried") == 2
    assert list(other.get_retry_history("r")) == [(1, {}), (2, {})]


def test_a_failure_of_the_retry_keeps_its_history(storage, other):
    """The failure is told beside the history, and goes with the next result."""
    storage.save("r", 1)
    storage.save("r", FAILED, states.FAILURE)
    assert storage.get_retry_history("r").failure is FAILED
    assert storage.get("r") is FAILED
    for one in (storage, other):
        history = one.get_retry_history("r")
        assert list(history) == [(1, {})]
        assert history.failure.matches(FAILED)
        assert list(one.get_failures()) == ["r"]
    other.save("r", 2)
    assert not storage.has_failures()
    assert storage.get_retry_history("r").failure is None
    assert len(storage.get_retry_history("r")) == 2


def test_results_of_a_reverted_retry(storage, other):
    """What revert returned stands beside the history."""
    storage.save("r", 1)
    storage.set_atom_intention("r", states.REVERT)
    storage.save("r", "undone", states.REVERTED)
    for one in (storage, other):
        assert one.get_revert_result("r") == "undone"
        assert list(one.get_retry_history("r")) == [(1, {})]
    other.save("r", FAILED, states.REVERT_FAILURE)
    assert list(storage.get_revert_failures()) == ["r"]
    assert list(storage.get_retry_history("r")) == [(1, {})]


def test_the_first_failure_of_an_atom_stays(storage, other):
    """In one entry an atom has one failure; a later entry may have another."""
    storage.save("r", 1)
    storage.save_retry_failure("r", "a", FAILED)
    other.save_retry_failure("r", "a", failure_of(ValueError()))
    other.save("r", 2)
    other.save_retry_failure("r", "a", failure_of(ValueError()))
    first, second = storage.get_retry_history("r")
    assert first[1]["a"] is FAILED
    assert second[1]["a"].check(ValueError)


def test_no_entry_no_failure(storage):
    """Without a result of the retry there is nothing to note a failure in."""
    with pytest.raises(StoreError, match="Unable to fetch") as caught:
        storage.save_retry_failure("r", "a", FAILED)
    assert isinstance(caught.value, exceptions.StorageFailure)
    assert caught.value.outcome == "not applied"


def test_cleaning_a_history_up(storage, other):
    """The history is gone everywhere, the state is the given one, all else stays."""
    storage.save("r", 1)
    storage.save("r", FAILED, states.FAILURE)
    other.get_retry_histories()
    storage.set_atom_intention("r", states.RETRY)
    storage.cleanup_retry_history("r", states.REVERTED)
    for one in (storage, other):
        history = one.get_retry_history("r")
        assert (list(history), history.failure.matches(FAILED)) == ([], True)
        expected = (states.REVERTED, states.RETRY)
        assert one.get_atoms_states(["r"]) == {"r": expected}
    other.save("r", 2)
    assert storage.fetch("tried") == 2


def test_a_reset_removes_everything(storage, other):
    """History, failures and results are gone; the next result is the first again."""
    storage.save("r", 1)
    storage.save("r", FAILED, states.FAILURE)
    other.reset("r")
    for one in (storage, other):
        history = one.get_retry_history("r")
        assert (list(history), history.failure) == ([], None)
        with pytest.raises(NotFound):
            one.get("r")
        with pytest.raises(NotFound):
            one.fetch("tried")
    storage.save("r", 2)
    assert list(other.get_retry_history("r")) == [(2, {})]


def test_only_retries_have_histories(storage):
    """A task is of the wrong kind, and an atom that does not exist is not found."""
    calls = [
        storage.get_retry_history,
        lambda name: storage.save_retry_failure(name, "r", FAILED),
        lambda name: storage.cleanup_retry_history(name, states.PENDING),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="is not a retry"):
            call("a")
        with pytest.raises(NotFound):
            call("?")
    with pytest.raises(TypeError, match="is not a task"):
        storage.set_task_progress("r", 0.5)
    with pytest.raises(TypeError, match="Failure"):
        storage.save_retry_failure("r", "a", "no failure")
    assert [name for name, _ in storage.get_retry_histories()] == ["r"]


def test_what_cannot_be_stored_appends_nothing(storage, other):
    """A refused value leaves the history, its state and its revision alone."""
    storage.save("r", 1)
    other.mirror.sync()
    rev = other.mirror.rev
    with pytest.raises(ValueRefused):
        storage.save("r", object())
    with pytest.raises(ValueRefused):
        storage.save_retry_failure("r", "\ud800", FAILED)
    with pytest.raises(InvalidState, match="not a state"):
        storage.cleanup_retry_history("r", "DONE")
    with pytest.raises(InvalidState, match="not a state"):
        storage.save("r", 1, "DONE")
    other.mirror.sync()
    assert other.mirror.rev == rev
    assert list(other.get_retry_history("r")) == [(1, {})]


def test_threads_of_one_storage_append_each_once(storage, other):
    """Threads that share a storage lose no result and append none twice."""

    def append(number):
        for step in range(20):
            storage.save("r", [number, step])
            storage.save_retry_failure("r", f"{number}-{step}", FAILED)

    threads = [threading.Thread(target=append, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in (storage, other):
        history = one.get_retry_history("r")
        assert sorted(history.provided_iter()) == [
            [number, step] for number in range(4) for step in range(20)
        ]
        assert len(list(history.outcomes_iter())) == 80


def test_a_child_of_a_fork_is_another_caller(storage, other):
    """After a fork both go on with one storage, and neither takes the other's turn."""
    storage.save("r", "before")
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            storage.save("r", "child")
        os._exit(0)
    os.waitpid(child, 0)
    storage.save("r", "parent")
    found = list(other.get_retry_history("r").provided_iter())
    assert found == ["before", "child", "parent"]


@pytest.fixture
def lossy(server, namespace, storage):
    """Open a storage on the same flow through a proxy that can lose replies."""
    with Proxy(server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}"
        backend = RedisBackend.from_url(url)
        yield proxy, Storage(models.FlowDetail("f", storage.flow_uuid), backend)
        backend.close()


@pytest.mark.parametrize("mode", ["drop_reply", "half_reply", "drop_request"])
def test_what_is_sent_again_is_done_once(storage, lossy, mode):
    """Every request of one storage loses its reply while another one appends, too."""
    proxy, one = lossy
    one.get_retry_histories()
    for number in range(5):
        proxy.arm(mode, match=b"EVALSHA")
        one.save("r", f"one {number}")
        storage.save("r", f"two {number}")
        proxy.arm(mode, match=b"EVALSHA")
        one.save_retry_failure("r", "a", FAILED)
    assert proxy.hits == 10
    history = storage.get_retry_history("r")
    assert list(history.provided_iter()) == [
        f"{who} {number}" for number in range(5) for who in ("one", "two")
    ]
    assert [list(failures) for _, failures in history] == [[], ["a"]] * 5
    proxy.arm(mode, match=b"EVALSHA")
    one.cleanup_retry_history("r", states.PENDING)
    assert (proxy.hits, list(storage.get_retry_history("r"))) == (11, [])


class Meddling(Proxy):
    """Loses a reply, and lets another storage append before the request comes again."""

    def __init__(self, server_port, meddle):
        self.meddle = meddle
        super().__init__(server_port)

    def fate(self, request):
        """Lose the reply of a request that appends."""
        fate = super().fate(request)
        if fate is None and self.hits and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle()
        return fate


def test_others_come_between_a_request_and_its_repetition(storage, server, namespace):
    """An entry that another appends meanwhile neither hides nor doubles this one."""
    storage.save("r", "before")  # the server knows the script from here on
    sha = catalogue()["retry_save"].sha.encode()
    with Meddling(server.port, lambda: storage.save("r", "other")) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}"
        with contextlib.closing(RedisBackend.from_url(url)) as backend:
            one = Storage(models.FlowDetail("f", storage.flow_uuid), backend)
            one.get_retry_histories()
            proxy.arm("drop_reply", match=sha)
            one.save("r", "one")
            assert (proxy.hits, proxy.meddle) == (1, None)
    provided = storage.get_retry_history("r").provided_iter()
    assert list(provided) == ["before", "one", "other"]
