"""What becomes of a flow when its server has lost the end of what it acknowledged."""

from __future__ import annotations

import contextlib
import os

import pytest
from taskflow import states, task
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence import models

import redisflow
from redisflow import ReaderWriterLock, RedisBackend, Storage
from redisflow.errors import FlowLost, LeaseLost, NotFound
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS
from tests.support.storages import Noop


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """Start a server that appends to a file, and can be rewound."""
    with contextlib.closing(
        OwnServer(request.param, tmp_path / "server", "--appendonly", "yes")
    ) as server:
        yield server


@pytest.fixture
def url(own):
    """Name the server."""
    return f"{own.url}?deadline_s=20"


@pytest.fixture
def open_storage(url):
    """Open storages on one flow, each as another process has it."""
    with contextlib.ExitStack() as stack:
        detail = models.FlowDetail("f", "11111111-1111-1111-1111-111111111111")

        def open_storage():
            backend = RedisBackend.from_url(url)
            stack.callback(backend.close)
            return Storage(models.FlowDetail(detail.name, detail.uuid), backend)

        yield open_storage


def flow_hash(own, storage):
    """Read the hash of a flow as a person does."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    return own.client.hgetall(keys.flow)


def journal(own, storage):
    """Read the journal of a flow as a person does."""
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    return [entry for _id, entry in own.client.xrange(keys.events)]


# Storage


def test_what_was_lost_is_not_shown(own, open_storage):
    """Results, states, metadata and atoms are those that the server has."""
    storage = open_storage()
    storage.ensure_atoms([Noop("a"), Noop("b")])
    storage.save("a", "kept")
    mark = own.mark()
    storage.ensure_atom(Noop("c"))
    storage.save("b", "lost")
    storage.update_flow_metadata({"lost": True})
    assert storage.get("b") == "lost"

    own.rewind(mark)
    storage.update_atom_metadata("a", {"seen": True})

    assert storage.get("a") == "kept"
    assert storage.get_atom_state("b") == states.PENDING
    with pytest.raises(NotFound):
        storage.get("b")
    with pytest.raises(NotFound):
        storage.get_atom_state("c")
    assert "lost" not in storage.flow_meta
    names = {detail.name for detail in storage._flowdetail}
    assert names == {"a", "b"}


def test_epoch_grows_and_no_revision_is_given_twice(own, open_storage):
    """The journal tells who has noticed; rev goes on above all that was lost."""
    storage = open_storage()
    storage.ensure_atom(Noop("a"))
    mark = own.mark()
    for number in range(20):
        storage.update_flow_metadata({"n": number})
    lost = int(flow_hash(own, storage)["rev"])

    own.rewind(mark)
    storage.update_flow_metadata({"n": 0})

    after = flow_hash(own, storage)
    assert after["epoch"] == "2"
    assert after["server"] in own.run_ids
    assert int(after["rev"]) > lost
    (told,) = [entry for entry in journal(own, storage) if "server" in entry]
    assert (told["epoch"], told["server"]) == ("2", after["server"])
    assert int(told["rev"]) > lost


def test_reader_sees_revisions_go_back(own, open_storage):
    """One that only reads writes nothing, and yet believes nothing that was lost."""
    storage, reader = open_storage(), open_storage()
    storage.ensure_atom(Noop("a"))
    mark = own.mark()
    storage.save("a", "lost")
    assert reader.get("a") == "lost"

    own.rewind(mark)

    assert reader.get_atom_state("a") == states.PENDING
    with pytest.raises(NotFound):
        reader.get("a")
    assert flow_hash(own, storage)["epoch"] == "1"


def test_reader_sees_the_epoch_grow(own, open_storage):
    """Where others have written since, revisions do not go back: the epoch tells."""
    storage, reader = open_storage(), open_storage()
    storage.ensure_atoms([Noop("a"), Noop("b")])
    mark = own.mark()
    storage.save("a", "lost")
    assert reader.get("a") == "lost"
    own.rewind(mark)
    storage.save("b", "new")

    assert reader.get("b") == "new"
    assert reader.get_atom_state("a") == states.PENDING
    with pytest.raises(NotFound):
        reader.get("a")


def test_harmless_restart_costs_an_epoch_and_nothing_else(own, open_storage):
    """With all that it had, the flow goes on; nobody has to do anything again."""
    storage, other = open_storage(), open_storage()
    storage.ensure_atoms([Noop("a"), Noop("b")])
    storage.save("a", [1, 2])
    before = journal(own, storage)
    own.kill()
    own.start()

    storage.save("b", "new")
    other.update_flow_metadata({"seen": True})

    assert (storage.get("a"), storage.get("b")) == ([1, 2], "new")
    assert flow_hash(own, storage)["epoch"] == "2"
    assert journal(own, storage)[: len(before)] == before


def test_flow_that_was_lost_is_not_made_anew(own, open_storage):
    """FlowLost names its key; no other key of it comes back."""
    mark = own.mark()
    storage = open_storage()
    storage.ensure_atom(Noop("a"))

    own.rewind(mark)

    with pytest.raises(FlowLost) as raised:
        storage.save("a", "late")
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    assert raised.value.key == keys.flow
    with pytest.raises(FlowLost):
        storage.get_atom_state("a")
    assert own.client.keys(f"{keys.flow.removesuffix('flow')}*") == []


# Locks


@pytest.mark.parametrize("side", ["read_lock", "write_lock"])
def test_section_that_was_lost_is_over(own, url, side):
    """Its holder hears of it within its lease, and at the end; others may enter."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock = ReaderWriterLock(backend, "nightly", lease_s=1.0)
        with lock.write_lock():
            fence = lock.fence
        mark = own.mark()

        def lose() -> None:
            with getattr(lock, side)():
                fences.append(lock.fence or fence)
                own.rewind(mark)
                eventually(lock.lost.is_set)
                with pytest.raises(LeaseLost):
                    lock.check()

        fences: list[int] = []
        with pytest.raises(LeaseLost):
            lose()
        with lock.write_lock():
            assert lock.fence > fences[0]


def test_earlier_section_of_the_same_thread_is_not_this_one(own, url):
    """The server goes back to another section of this thread: this one is over."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock = ReaderWriterLock(backend, "nightly", lease_s=1.0)
        with lock.write_lock():
            mark = own.mark()

        def lose() -> None:
            with lock.write_lock():
                own.rewind(mark)
                eventually(lock.lost.is_set)

        with pytest.raises(LeaseLost):
            lose()


# Engines


class Rewinding(task.Task):
    """A task during which, when it runs first, the server is rewound.

    Args:
        name: of the task, and of what it provides.
        ran: told of each execution.
        rewind: what the first of them does.
    """

    def __init__(self, name, ran, rewind=None):
        super().__init__(name, provides=name)
        self._ran = ran
        self._rewind = rewind

    def execute(self):
        """Note the execution, and rewind the server if it is the first."""
        self._ran.append(self.name)
        if self._rewind is not None and self._ran.count(self.name) == 1:
            self._rewind()
        return self._ran.count(self.name)


@pytest.fixture
def load(url):
    """Load engines on one run."""
    with contextlib.ExitStack() as stack:

        def load(flow, **options):
            engine = redisflow.load(flow, run_id="nightly", url=url, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield load


def take_part(engine, how):
    """Run an engine to the end of its run."""
    if how == "run":
        engine.run()
    else:
        list(engine.run_iter())
    return engine.storage


WAYS = pytest.mark.parametrize("how", ["run", "run_iter"])


@WAYS
def test_claim_was_lost(own, load, how):
    """The result is refused; the task runs again under another token."""
    ran, tokens, marks = [], [], []

    def note():
        tokens.append(redisflow.current().token)

    class Marking(Rewinding):
        def execute(self):
            marks.append(own.mark())
            return super().execute()

    class Claimed(Rewinding):
        def execute(self):
            note()
            return super().execute()

    first = Marking("a", ran)
    second = Claimed("b", ran, lambda: own.rewind(marks[0]))
    engine = load(linear_flow.Flow("f").add(first, second))
    storage = take_part(engine, how)

    assert storage.get_flow_state() == states.SUCCESS
    # The mark is in the middle of a: its claim has survived, its result has not.
    assert ran == ["a", "b", "a", "b"]
    assert storage.fetch_all() == {"a": 2, "b": 2}
    assert len(set(tokens)) == 2
    assert int(tokens[1]) > int(tokens[0])
    assert engine.statistics["stale"] + engine.statistics["lost"] >= 1
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    aside = own.client.hgetall(keys.result(storage.get_atom_uuid("b")))
    assert f"late:{tokens[0]}" in aside


@WAYS
def test_start_of_the_run_was_lost(own, load, how):
    """It is started once more, by whoever is there; listeners hear of it once."""
    ran, marks, told = [], [], []
    flow = linear_flow.Flow("f").add(
        Rewinding("a", ran, lambda: own.rewind(marks[0])), Rewinding("b", ran)
    )
    engine = load(flow)
    marks.append(own.mark())
    engine.notifier.register("*", lambda state, details: told.append(state))

    storage = take_part(engine, how)

    assert ran == ["a", "a", "b"]
    assert storage.fetch_all() == {"a": 2, "b": 1}
    assert told == [states.RUNNING, states.SUCCESS]
    assert flow_hash(own, storage)["epoch"] == "2"


def test_end_of_the_run_was_lost(own, load):
    """The flow is RUNNING again and nobody is there: the next engine does the rest."""
    ran, marks = [], []

    class Marking(Rewinding):
        def execute(self):
            marks.append(own.mark())
            return super().execute()

    flow = linear_flow.Flow("f").add(Rewinding("a", ran), Marking("b", ran))
    engine = load(flow, lease_s=0.5)
    engine.run()
    own.rewind(marks[0])
    assert flow_hash(own, engine.storage)["state"] == states.RUNNING

    again = load(flow, lease_s=0.5)
    again.run()

    assert ran == ["a", "b", "b"]
    assert again.storage.fetch_all() == {"a": 1, "b": 2}


def test_values_were_lost(own, load):
    """What only the user has cannot be made again: FlowLost, and nothing half done."""
    ran, marks = [], []
    flow = linear_flow.Flow("f").add(
        Rewinding("a", ran, lambda: own.rewind(marks[0])),
        task.FunctorTask(lambda given: given, name="b"),
    )
    load(linear_flow.Flow("f").add(Rewinding("a", ran)))
    marks.append(own.mark())
    engine = load(flow, store={"given": 1})

    with pytest.raises(FlowLost, match="lost values"):
        engine.run()

    storage = engine.storage
    assert storage.get_flow_state() in (None, states.PENDING)
    keys = storage.backend.keys.of_flow(storage.flow_uuid)
    assert own.client.hkeys(keys.claims) == ["-"]


def test_whole_flow_was_lost(own, load):
    """FlowLost: nothing of it comes back by itself."""
    ran, marks = [], [own.mark()]
    flow = linear_flow.Flow("f").add(Rewinding("a", ran, lambda: own.rewind(marks[0])))
    engine = load(flow)

    with pytest.raises(FlowLost):
        engine.run()

    keys = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid)
    assert own.client.keys(f"{keys.flow.removesuffix('flow')}*") == []


def test_several_tasks_at_a_time(own, load):
    """All that were lost run again; what was done before stays done."""
    ran, marks = [], []

    class Marking(Rewinding):
        def execute(self):
            marks.append(own.mark())
            return super().execute()

    many = unordered_flow.Flow("many").add(
        *(Rewinding(f"t{n}", ran) for n in range(8)),
        Rewinding("rewinds", ran, lambda: own.rewind(marks[0])),
    )
    flow = linear_flow.Flow("f").add(Rewinding("first", ran), Marking("a", ran), many)
    engine = load(flow, executor="threads", max_workers=3)

    engine.run()

    assert engine.storage.get_flow_state() == states.SUCCESS
    assert ran.count("first") == 1
    assert ran.count("rewinds") == 2
    assert set(ran) == set(engine.storage.fetch_all())
    assert flow_hash(own, engine.storage)["epoch"] == "2"


def test_claim_that_is_left_is_not_taken_for_one_that_was_lost(own, load):
    """One was kept and one lost: as many as are held here, and yet not the same."""
    ran, marks = [], []

    class Marking(Rewinding):
        def execute(self):
            marks.append(own.mark())
            return super().execute()

    def rewind():
        own.rewind(marks[0])
        eventually(lambda: ran.count("a") == 2)  # while this one still runs

    flow = linear_flow.Flow("f").add(Marking("a", ran), Rewinding("b", ran, rewind))
    engine = load(flow, lease_s=0.6, executor="threads", max_workers=2)

    engine.run()

    assert ran[:3] == ["a", "b", "a"]
    assert engine.storage.fetch_all()["a"] == 2
    assert engine.statistics["lost"] == 1


def test_forgotten_worker_registers_again(own, load):
    """While its task goes on it is among the workers, and nobody takes over from it."""
    ran, marks, seen = [], [], []

    def rewind():
        own.rewind(marks[0])
        keys = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid)
        eventually(lambda: flow_hash(own, engine.storage)["state"] == states.RUNNING)
        seen.append(own.client.zrange(keys.workers, 0, 0))

    flow = linear_flow.Flow("f").add(Rewinding("a", ran, rewind))
    engine = load(flow, lease_s=0.6, executor="threads", max_workers=1)
    marks.append(own.mark())

    engine.run()

    ((worker,),) = seen
    assert str(os.getpid()) in worker
    assert engine.storage.fetch_all() == {"a": 2}
