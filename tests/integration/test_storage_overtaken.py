"""Reads of results that others change meanwhile: one revision, or none."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from taskflow import exceptions, states
from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR
from redisflow.errors import CorruptKey, Unavailable

pytestmark = pytest.mark.one_server


@pytest.fixture
def overtaken(storage, monkeypatch):
    """Have something done when the storage's next results are on their way."""

    def meanwhile(act, *, before=False):
        client = storage.backend.client
        send = client.execute_many

        def execute_many(commands):
            monkeypatch.undo()
            if before:
                act()
            replies = send(commands)
            if not before:
                act()
            return replies

        monkeypatch.setattr(client, "execute_many", execute_many)

    return meanwhile


def test_what_was_replaced_is_not_kept(storage, other, overtaken):
    """It is fetched, replaced by another process, and that is seen by a thread here."""
    other.save("a", 1)
    storage.get_atom_state("a")

    def replace():
        other.reset("a")
        other.save("a", 2)
        storage.get_atom_state("a")

    overtaken(replace)
    assert storage.get("a") == 2
    assert storage.get("a") == 2


def test_what_is_gone_is_not_found(storage, other, overtaken):
    """It is put back between the look at its state and that at its result."""
    other.save("a", 1)
    storage.get_atom_state("a")

    overtaken(lambda: other.reset("a"), before=True)
    with pytest.raises(exceptions.NotFound):
        storage.get("a")


def test_failure_that_is_gone_is_none(storage, other, overtaken):
    """Nobody is given a name without its failure."""
    try:
        raise RuntimeError("no")
    except RuntimeError:
        other.save("a", Failure(), states.FAILURE)
    storage.get_atom_state("a")

    overtaken(lambda: other.reset("a"), before=True)
    assert storage.get_execute_failures() == {}


def test_values_by_name_are_those_of_one_revision(storage, other, overtaken):
    """What is injected meanwhile is seen, with its name."""
    storage.get_flow_state()
    other.inject({"x": 1})

    overtaken(lambda: other.inject({"x": 2, "y": 3}), before=True)
    assert storage.fetch_all() == {"x": 2, "y": 3}


def test_names_are_known_after_a_failure_on_the_way(storage, other, monkeypatch):
    """The server is away when injected values are asked for; then they are there."""
    storage.get_flow_state()
    other.inject({"y": 1})
    client = storage.backend.client

    def away(_commands):
        raise Unavailable("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(client, "execute_many", away)
        with pytest.raises(Unavailable):
            storage.get_flow_state()

    assert storage.fetch("y") == 1


def test_own_entries_are_seen_in_what_others_have_changed(storage, other, monkeypatch):
    """A thread here has seen a foreign change while this one was on its way."""
    other.update_atom_metadata("a", {"x": 1})
    call = type(storage)._call

    def behind_others(self, name, **args):
        if name == "atom_update" and self is storage:
            monkeypatch.undo()
            other.update_atom_metadata("a", {"y": 2})
            storage.get_atom_state("a")
        return call(self, name, **args)

    monkeypatch.setattr(type(storage), "_call", behind_others)
    storage.update_atom_metadata("a", {"z": 3})

    storage.get_atom_state("a")
    meta = storage.mirror.atom("a").detail.meta
    assert {"x": 1, "y": 2, "z": 3}.items() <= meta.items()


@pytest.mark.parametrize("name", ["a", INJECTOR])
def test_an_atom_that_is_gone_is_named(storage, other, admin, name):
    """Somebody has deleted its key, and not its result: nothing waits for it."""
    other.save("a", 1)
    other.inject({"x": 1})
    storage.get_flow_state()
    uuid = storage.mirror.atom(name).uuid
    storage.mirror.atom(name).payloads.clear()
    key = storage.backend.keys.of_flow(storage.flow_uuid).atom(uuid)
    admin.delete(key)

    with pytest.raises(CorruptKey, match="is gone") as caught:
        storage.fetch("x") if name == INJECTOR else storage.get("a")
    assert caught.value.key == key


@pytest.mark.parametrize("rev", ["999999", "0", "many"])
def test_an_atom_with_a_revision_that_is_none_of_the_flows_is_named(
    storage, other, admin, rev
):
    """Somebody has written it: nobody waits for the flow to come to it."""
    other.save("a", 1)
    storage.get_flow_state()
    key = storage.backend.keys.of_flow(storage.flow_uuid).atom(
        storage.mirror.atom("a").uuid
    )
    admin.hset(key, "rev", rev)

    with pytest.raises(CorruptKey, match="another revision") as caught:
        storage.get("a")
    assert caught.value.key == key


def test_the_child_of_a_fork_does_not_wait_for_threads_that_it_has_not(storage, other):
    """A thread is reading when another one forks: the child reads for itself."""
    storage.get_atom_state("a")
    inside, go_on = threading.Event(), threading.Event()

    def read():
        with storage.mirror.lock:
            inside.set()
            go_on.wait(20)

    reader = threading.Thread(target=read)
    reader.start()
    assert inside.wait(20)
    other.set_atom_state("a", states.RUNNING)
    child = os.fork()
    if not child:
        signal.alarm(10)
        os._exit(0 if storage.get_atom_state("a") == states.RUNNING else 1)
    _, status = os.waitpid(child, 0)
    go_on.set()
    reader.join(20)
    assert status == 0
