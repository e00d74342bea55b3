"""Compare and set when replies are lost: whoever moved a state is told so."""

from __future__ import annotations

import contextlib

import pytest
from taskflow import exceptions, states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.errors import FlowLost, InvalidState, LeaseLost, Locked, Refused
from redisflow.scripts import catalogue
from tests.support.proxy import Proxy

MODES = ["drop_reply", "half_reply", "drop_request"]
ATOM, FLOW = "atom_transition", "flow_transition"


class Meddling(Proxy):
    """Loses a reply, and lets others do something before the request comes again."""

    meddle = None

    def fate(self, request):
        """Spoil a request, or let it through late."""
        fate = super().fate(request)
        if fate is None and self.hits and self.meddle is not None:
            meddle, self.meddle = self.meddle, None
            meddle()
        return fate


@pytest.fixture
def proxy(server):
    """Stand between one of the storages and the server."""
    with Meddling(server.port) as proxy:
        yield proxy


@pytest.fixture
def one(proxy, namespace, storage):
    """Open a storage on the flow through the proxy; it has used the scripts before."""
    address = f"127.0.0.1:{proxy.port}/0"
    url = f"redis://{address}?namespace={namespace}&deadline_s=2"
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        one = Storage(models.FlowDetail("f", storage.flow_uuid), backend)
        one.transition_atom_state("a", states.PENDING)
        one.change_flow_state(states.PENDING)
        yield one


def lose(proxy, mode, script, times=1):
    """Lose the next replies, or requests, of a script."""
    proxy.arm(mode, match=catalogue()[script].sha.encode(), times=times)


@pytest.fixture
def moves(admin, storage):
    """Count the entries of the journal that are about a change to a state."""
    key = storage.backend.keys.of_flow(storage.flow_uuid).events

    def count(to):
        return [entry["to"] for _, entry in admin.xrange(key)].count(to)

    return count


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("times", [1, 3])
def test_who_moved_it_is_told_so(one, moves, proxy, mode, times):
    """True, and the state before: as if no reply had been lost; and it moved once."""
    lose(proxy, mode, ATOM, times)
    answer = one.transition_atom_state("a", states.RUNNING, expected=states.PENDING)
    assert (answer, proxy.hits) == ((True, states.PENDING), times)
    assert one.get_atom_state("a") == states.RUNNING
    lose(proxy, mode, FLOW, times)
    assert one.change_flow_state(states.RUNNING) == (True, states.PENDING)
    assert (one.get_flow_state(), proxy.hits) == (states.RUNNING, 2 * times)
    assert moves(states.RUNNING) == 2


@pytest.mark.parametrize("mode", MODES)
def test_who_was_too_late_is_told_so(one, storage, proxy, mode):
    """False: the change is in the journal, but it is somebody else's."""
    storage.transition_atom_state("a", states.RUNNING)
    storage.change_flow_state(states.RUNNING)
    lose(proxy, mode, ATOM)
    assert one.transition_atom_state("a", states.RUNNING) == (False, states.RUNNING)
    lose(proxy, mode, FLOW)
    assert one.change_flow_state(states.RUNNING) == (False, states.RUNNING)
    assert proxy.hits == 2


def test_an_earlier_move_of_ones_own_is_not_this_one(one, storage, proxy):
    """False: what this thread did before its last call is no answer to it."""
    one.transition_atom_state("a", states.RUNNING)
    storage.transition_atom_state("a", states.SUCCESS)
    storage.set_atom_state("a", states.RUNNING)
    lose(proxy, "drop_reply", ATOM)
    assert one.transition_atom_state("a", states.RUNNING) == (False, states.RUNNING)
    assert proxy.hits == 1


def test_others_go_on_before_it_is_sent_again(one, storage, proxy):
    """True: that the state is another one by now was its own doing first."""

    def go_on():
        for number in range(250):  # more than a page of the journal
            storage.set_atom_intention("a", (states.RETRY, states.EXECUTE)[number % 2])
        storage.transition_atom_state("a", states.SUCCESS)
        storage.change_flow_state(states.SUSPENDING)

    proxy.meddle = go_on
    one.change_flow_state(states.RUNNING)
    lose(proxy, "drop_reply", ATOM)
    assert one.transition_atom_state("a", states.RUNNING) == (True, states.PENDING)
    assert (proxy.hits, proxy.meddle) == (1, None)
    assert one.get_atom_state("a") == states.SUCCESS


def test_what_others_have_moved_back_is_not_moved_again(one, storage, moves, proxy):
    """True, and it stays where they have put it: one call moves it once."""

    def move_back():
        storage.transition_atom_state("a", states.PENDING)

    proxy.meddle = move_back
    lose(proxy, "drop_reply", ATOM)
    answer = one.transition_atom_state("a", states.IGNORE, expected=states.PENDING)
    assert answer == (True, states.PENDING)
    assert (proxy.hits, proxy.meddle) == (1, None)
    assert one.get_atom_state("a") == states.PENDING
    assert moves(states.IGNORE) == 1


@pytest.fixture
def fill(admin):
    """Take the server's memory away; given back in the end."""
    yield lambda: admin.config_set("maxmemory", 1)
    admin.config_set("maxmemory", 0)


@pytest.mark.parametrize("mode", MODES)
def test_refused_after_a_lost_reply_is_unknown(one, moves, proxy, fill, mode):
    """It cannot be sent again, so nobody knows whether the first sending was done."""
    proxy.meddle = fill
    lose(proxy, mode, ATOM)
    with pytest.raises(Refused, match="OOM") as caught:
        one.transition_atom_state("a", states.RUNNING)
    assert (proxy.hits, proxy.meddle, caught.value.outcome) == (1, None, "unknown")
    assert moves(states.RUNNING) == (0 if mode == "drop_request" else 1)
    with pytest.raises(Refused, match="OOM") as caught:
        one.transition_atom_state("a", states.RUNNING)
    assert caught.value.outcome == "not applied"


def test_one_in_doubt_is_not_taken_for_the_next(one, storage, proxy, fill, admin):
    """False: that it was moved before others moved it was an earlier call's doing."""
    proxy.meddle = fill
    lose(proxy, "drop_reply", ATOM)
    with pytest.raises(Refused):
        one.transition_atom_state("a", states.RUNNING)
    admin.config_set("maxmemory", 0)
    storage.transition_atom_state("a", states.SUCCESS)
    lose(proxy, "drop_request", ATOM)
    answer = one.transition_atom_state("a", states.RUNNING, expected=states.PENDING)
    assert answer == (False, states.SUCCESS)
    assert proxy.hits == 2


def test_a_refusal_in_doubt_stays_a_refusal(one, storage, proxy):
    """InvalidState where no sending has moved anything."""
    lose(proxy, "drop_reply", ATOM)
    with pytest.raises(InvalidState, match="from PENDING to REVERTED"):
        one.transition_atom_state("a", states.REVERTED)
    lose(proxy, "drop_reply", FLOW)
    with pytest.raises(InvalidState, match="not allowed"):
        one.change_flow_state(states.SUCCESS)
    assert proxy.hits == 2
    assert storage.get_atom_state("a") == states.PENDING


@pytest.fixture
def spoil(admin, storage):
    """Do what has the next script of the flow refused, in one of the three ways."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    far = 1 << 50
    section = {"held": "write", "writer": "p:1", "fence": 7, "deadline": far}
    ways = {
        Locked: lambda: admin.hset(keys.lock, mapping=section),
        LeaseLost: lambda: admin.hset(keys.lock, "fence", 7),
        FlowLost: lambda: admin.delete(keys.flow),
    }
    return ways.__getitem__


@pytest.mark.parametrize("doubtful", [True, False])
@pytest.mark.parametrize("kind", [Locked, LeaseLost, FlowLost])
def test_kept_out_after_a_lost_reply_is_unknown(one, proxy, spoil, kind, doubtful):
    """The first sending may have been done, though the second was refused."""
    one.update_flow_metadata({"x": 0})
    with contextlib.ExitStack() as section:
        if kind is LeaseLost:
            section.enter_context(pytest.raises(LeaseLost))
            section.enter_context(one.lock.write_lock())
        if doubtful:
            proxy.meddle = spoil(kind)
            lose(proxy, "drop_reply", "flow_update")
        else:
            spoil(kind)()
        with pytest.raises(kind) as caught:
            one.update_flow_metadata({"x": 1})
    assert proxy.hits == doubtful
    assert caught.value.outcome == ("unknown" if doubtful else "not applied")
    assert bool(getattr(caught.value, "__notes__", [])) == doubtful


def test_details_are_not_moved_again(one, storage, moves, proxy):
    """What others have made of a flow and an atom since stays."""
    connection = one.backend.get_connection()
    detail = connection.get_flow_details(one.flow_uuid)
    (atom,) = [each for each in detail if each.name == "a"]
    detail.meta["x"] = atom.meta["x"] = 1
    connection.update_flow_details(detail)
    connection.update_atom_details(atom)

    detail.state = states.RUNNING
    proxy.meddle = lambda: storage.change_flow_state(states.SUSPENDING)
    lose(proxy, "drop_reply", "flow_write")
    connection.update_flow_details(detail)
    assert (proxy.hits, proxy.meddle) == (1, None)
    assert storage.get_flow_state() == states.SUSPENDING
    assert moves(states.RUNNING) == 1

    atom.state, atom.results = states.SUCCESS, 1
    proxy.meddle = lambda: storage.reset("a")
    lose(proxy, "drop_reply", "atom_write")
    connection.update_atom_details(atom)
    assert (proxy.hits, proxy.meddle) == (2, None)
    assert storage.get_atom_state("a") == states.PENDING
    assert moves(states.SUCCESS) == 1
    with pytest.raises(exceptions.NotFound):
        storage.get("a")
