"""Requests that a network keeps until long after they were sent again."""

from __future__ import annotations

import contextlib
import threading

import pytest
from taskflow import retry, states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.errors import Unavailable
from redisflow.scripts import catalogue
from tests.integration.test_storage_costs import WRITES
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.storages import Noop


@pytest.fixture
def proxy(server):
    """Stand between one of the storages and the server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def one(proxy, namespace, storage):
    """Open a storage on the flow through the proxy; it has used the scripts before."""
    address = f"127.0.0.1:{proxy.port}/0"
    url = f"redis://{address}?namespace={namespace}&deadline_s=5"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        one = Storage(models.FlowDetail("f", storage.flow_uuid), backend)
        one.ensure_atom(retry.AlwaysRevert("r"))
        one.save("r", 0)
        one.get_flow_state()
        yield one


@pytest.fixture
def contents(admin, namespace):
    """Read all keys of the namespace."""
    return lambda: {key: admin.dump(key) for key in admin.keys(f"{namespace}:*")}


def held_back(proxy, mode="late_request", match="EVALSHA"):
    """Keep the next request from the server."""
    proxy.arm(mode, match=match.encode())


def test_what_others_have_moved_back_stays_there(one, storage, contents, proxy):
    """The first sending comes when the second was done and undone: it moves nothing."""
    one.transition_atom_state("a", states.PENDING)
    held_back(proxy)
    assert one.transition_atom_state("a", states.IGNORE) == (True, states.PENDING)
    storage.transition_atom_state("a", states.PENDING)
    before = contents()

    proxy.deliver()

    assert (proxy.hits, contents()) == (1, before)
    held_back(proxy)
    assert one.change_flow_state(states.RUNNING) == (True, states.PENDING)
    storage.change_flow_state(states.SUCCESS)
    before = contents()

    proxy.deliver()

    assert (proxy.hits, contents()) == (2, before)


def test_who_was_told_no_does_not_move_it_later(one, storage, contents, proxy):
    """Refused at the second sending, it is not done by the first one either."""
    storage.transition_atom_state("a", states.IGNORE)
    held_back(proxy)
    answer = one.transition_atom_state("a", states.RUNNING, expected=states.PENDING)
    assert answer == (False, states.IGNORE)
    storage.transition_atom_state("a", states.PENDING)
    before = contents()

    proxy.deliver()

    assert (proxy.hits, contents()) == (1, before)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_late_write_does_nothing(one, storage, contents, proxy, write):
    """Whatever it was, what others have made since stays as it is."""
    write(one)
    one.reset("a")
    one.save("r", 0)
    held_back(proxy)
    write(one)
    storage.reset("a")
    storage.save("a", "theirs")
    storage.set_flow_state(states.PENDING)
    storage.update_flow_metadata({"x": "theirs"})
    storage.update_atom_metadata("a", {"x": "theirs", "progress": 1.0})
    storage.inject({"x": "theirs"})
    storage.inject_atom_args("a", {"x": "theirs"}, transient=False)
    storage.save("r", "theirs")
    before = contents()

    proxy.deliver()

    assert (proxy.hits, contents()) == (1, before)


@pytest.mark.slow
def test_what_was_given_up_does_not_undo_what_came_after(one, contents, proxy):
    """The next answer to the same process ends what it was in doubt of."""
    one.update_flow_metadata({"x": "first"})
    held_back(proxy)
    proxy.refuse = True
    with pytest.raises(Unavailable) as caught:
        one.update_flow_metadata({"x": "given up"})
    assert caught.value.outcome == "unknown"
    proxy.refuse = False
    one.update_flow_metadata({"x": "new"})
    before = contents()

    proxy.deliver()

    assert (proxy.hits, contents()) == (1, before)
    assert one.flow_meta == {"x": "new"}


def test_what_another_thread_waits_for_is_sent_anew(one, proxy):
    """It is older than what is in doubt, so it is refused; but its sender is there."""
    one.save("a", 0)
    held_back(proxy, "held_request", catalogue()["atom_save"].sha)
    thread = threading.Thread(target=one.save, args=("a", "waited for"))
    thread.start()
    eventually(lambda: proxy.hits == 1)
    held_back(proxy, "drop_reply", catalogue()["flow_update"].sha)
    one.update_flow_metadata({"x": 1})
    assert proxy.hits == 2

    proxy.deliver()
    thread.join()

    assert one.get("a") == "waited for"


def test_one_thread_moves_it_to_and_fro(one, proxy):
    """As often as it asks, whatever is lost: each request is one of its own."""
    moves = 0
    for _ in range(5):
        for state in (states.IGNORE, states.PENDING):
            held_back(proxy, "drop_reply")
            moves += one.transition_atom_state("a", state)[0]
    assert (moves, proxy.hits) == (10, 10)


def test_two_storages_of_one_thread_and_many_threads(one, proxy, namespace):
    """Each move is told to the one who made it, and to nobody else."""
    backend = one.backend
    storages = [one, Storage(models.FlowDetail("f", one.flow_uuid), backend)]
    for number in range(20):
        one.ensure_atom(Noop(f"t{number}"))
    moved = []

    def move(name):
        for storage in storages:
            done, _ = storage.transition_atom_state(name, states.RUNNING)
            if done:
                moved.append(name)

    proxy.arm("drop_reply", match=catalogue()["atom_transition"].sha.encode(), times=30)
    threads = [threading.Thread(target=move, args=(f"t{n}",)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert proxy.hits == 30
    assert sorted(moved) == sorted(f"t{number}" for number in range(20))


def test_what_was_interrupted_does_not_undo_what_came_after(
    one, storage, proxy, monkeypatch
):
    """Ctrl-C, or a signal's handler: nobody waits for the answer any more."""
    one.transition_atom_state("a", states.PENDING)
    held_back(proxy)

    def interrupt(*_args, **_kwargs):
        eventually(lambda: proxy.hits == 1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("redis.connection.AbstractConnection.read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.transition_atom_state("a", states.IGNORE)
    assert one.transition_atom_state("a", states.RUNNING) == (True, states.PENDING)
    one.set_atom_state("a", states.PENDING)

    proxy.deliver()

    assert storage.get_atom_state("a") == states.PENDING
