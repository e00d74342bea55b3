"""The journal of a flow, read from positions, while it grows, and where it has gaps."""

from __future__ import annotations

import threading

import pytest
from taskflow import states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.errors import FlowLost
from redisflow.persistence.journal import Gap, Journal
from tests.support.storages import Noop


@pytest.fixture
def events(storage, backend):
    """Return the key of the journal of a flow with an atom "a"."""
    return backend.keys.of_flow(storage.flow_uuid).events


@pytest.fixture
def journal(storage, backend):
    """Read the flow's journal from anywhere."""
    return lambda since=None: Journal(backend, storage.flow_uuid, since=since)


def _move(storage, *new_states):
    for state in new_states:
        storage.set_atom_state("a", state)


def _all(journal):
    """Read all that is there."""
    found = []
    while part := journal.read():
        found += part
    return found


def _moves(entries):
    return [(entry.old, entry.new) for entry in entries if entry.atom]


def test_all_from_the_beginning(storage, journal):
    """None begins with the flow's creation; entries have ids, revs and times."""
    _move(storage, "RUNNING", "SUCCESS")
    entries = _all(journal())
    assert entries[0].old == ""
    assert entries[0].rev == 1
    assert _moves(entries)[-2:] == [("PENDING", "RUNNING"), ("RUNNING", "SUCCESS")]
    assert [entry.rev for entry in entries] == sorted({entry.rev for entry in entries})
    assert all(entry.time_ms == int(entry.id.split("-")[0]) for entry in entries)
    assert entries[-1].atom == storage.get_atom_uuid("a")


@pytest.mark.parametrize("by", ["id", "rev"])
def test_from_every_position(storage, journal, by):
    """What comes after any entry is read, whichever way that is named."""
    _move(storage, *["RUNNING", "SUCCESS", "PENDING"] * 3)
    entries = _all(journal())
    for number, entry in enumerate(entries):
        assert _all(journal(getattr(entry, by))) == entries[number + 1 :]


def test_from_a_revision_that_was_not_journaled(storage, journal):
    """A rev between two entries gives what comes after it; a later one nothing."""
    before = _all(journal())
    storage.update_flow_metadata({"x": 1})  # it has a rev, and no entry
    _move(storage, "RUNNING")
    assert len(_all(journal(before[-1].rev + 1))) == 1
    assert _all(journal(10_000)) == []
    assert _all(journal(0)) == [*before, *_all(journal(before[-1].id))]


def test_a_revision_among_many_of_one_moment(backend, journal, storage):
    """Entries that one script wrote have one time: all of them can be begun after."""
    storage.ensure_atoms([Noop(f"n{number}") for number in range(90)])
    entries = _all(journal())
    assert len({entry.time_ms for entry in entries[-40:]}) < 40
    for number in range(0, len(entries), 7):
        assert _all(journal(entries[number].rev)) == entries[number + 1 :]


def test_only_what_is_to_come(storage, journal):
    """With "now" all that happened is left out."""
    reader = journal("now")
    assert reader.read() == []
    _move(storage, "RUNNING")
    assert _moves(_all(reader)) == [("PENDING", "RUNNING")]


@pytest.mark.parametrize("since", ["yesterday", "5", "1-", "-"])
def test_what_is_no_position(journal, since):
    """Text that names no entry is refused at once."""
    with pytest.raises(ValueError, match="neither an entry's id nor 'now'"):
        journal(since)


@pytest.mark.parametrize("number", [0, 1, 3, 1000])
def test_the_last_entries(storage, journal, number):
    """`tail` goes to where the last n begin, if there are so many."""
    _move(storage, "RUNNING", "SUCCESS")
    entries = _all(journal())
    reader = journal()
    reader.tail(number)
    assert _all(reader) == entries[-number or len(entries) :]


def test_waiting_for_what_comes(storage, journal):
    """A blocking read returns when an entry comes."""
    reader = journal("now")
    assert reader.read() == []
    found = []
    thread = threading.Thread(target=lambda: found.extend(reader.read(20)))
    thread.start()
    _move(storage, "RUNNING")
    thread.join(15)
    assert _moves(found) == [("PENDING", "RUNNING")]


def test_the_third_protocol(url, storage):
    """Replies of RESP3 are read as well."""
    backend = RedisBackend.from_url(f"{url}&protocol=3")
    reader = Journal(backend, storage.flow_uuid)
    assert reader.read(1)[0].rev == 1
    _move(storage, "RUNNING")
    assert _moves(reader.read(5)) == [("PENDING", "RUNNING")]
    backend.close()


def test_it_is_over_when_the_flow_has_ended(storage, journal):
    """`over`: all was read and the flow is in a final state; more makes it go on."""
    reader = journal()
    _all(reader)
    assert not reader.over
    storage.change_flow_state(states.RUNNING)
    storage.change_flow_state(states.SUCCESS)
    assert reader.read()
    assert not reader.over
    assert reader.read(20) == []
    assert reader.over
    _move(storage, "RUNNING")
    assert len(reader.read()) == 1
    assert not reader.over


# What is missing


def test_a_journal_that_was_trimmed(storage, journal, admin, events):
    """Entries are gone before they were read: a gap, then what is left."""
    reader = journal()
    first = _all(reader)
    _move(storage, "RUNNING", "SUCCESS", "PENDING")
    kept = _all(journal())[-1]
    admin.xtrim(events, minid=kept.id, approximate=False)
    assert _all(reader) == [Gap("trimmed", first[-1].id), kept]
    assert _all(journal()) == [Gap("trimmed", "0-0"), kept]


def test_a_journal_that_was_trimmed_up_to_the_position(storage, journal, admin, events):
    """Only what was read is gone: nothing is missing."""
    reader = journal()
    _all(reader)
    _move(storage, "RUNNING")
    (new,) = _all(journal(reader.position))
    admin.xtrim(events, minid=new.id, approximate=False)
    assert _all(reader) == [new]


def test_a_flow_that_was_removed(storage, journal, connection):
    """FlowLost, for one who reads on and for one who begins."""
    reader = journal()
    _all(reader)
    connection.destroy_logbook(next(iter(connection.get_logbooks())).uuid)
    with pytest.raises(FlowLost):
        reader.read()
    with pytest.raises(FlowLost):
        journal().read()


def test_a_flow_that_was_made_anew(backend, storage, detail, journal, admin):
    """After FLUSHALL and a new flow of the same uuid: a gap, then all of that."""
    reader = journal()
    _move(storage, "RUNNING", "SUCCESS")
    last = _all(reader)[-1]
    admin.flushdb()
    again = Storage(models.FlowDetail("f", detail.uuid), backend)
    again.ensure_atom(Noop("a"))
    gap, *entries = _all(reader)
    assert gap == Gap("recreated", last.id)
    assert entries == _all(journal())
    assert _all(journal(last.id)) == [gap, *entries]


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_has_lost_the_last_entries(storage, journal, admin, dumps, known):
    """After a failover: a gap; what was read and is there is not read once more."""
    _move(storage, "RUNNING")
    before = dumps()
    _move(storage, "SUCCESS")
    reader = journal()
    lost = _all(reader)[-1]
    for key, value in before.items():
        admin.restore(key, 0, value, replace=True)
    reader = reader if known else journal(lost.id)
    assert reader.read() == [Gap("rewound", lost.id)]
    assert reader.read() == []
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    admin.hincrby(keys.flow, "epoch", 1)
    detail = models.FlowDetail("f", storage.flow_uuid)
    Storage(detail, storage.backend).set_atom_state("a", "FAILURE")
    (entry,) = _all(reader)
    assert (entry.new, entry.epoch) == ("FAILURE", 2)
