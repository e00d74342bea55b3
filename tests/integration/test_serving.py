"""Submitting flows, and a worker in this process that serves them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import redisflow
from redisflow.engine import serving, submissions
from redisflow.engine.course import Course
from redisflow.engine.factories import FactoryCall
from redisflow.engine.submissions import Submissions
from redisflow.errors import (
    ConfigError,
    StructureMismatch,
    SubmissionDiffers,
    ValueRefused,
)
from redisflow.keys import Keys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.submitted import FLOWS, served_by

pytestmark = pytest.mark.one_server


@pytest.fixture
def flows(tmp_path, monkeypatch):
    """Write a file of flows; gives its path. The current folder is the test's."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flows.py"
    path.write_text(FLOWS)
    return str(path)


@pytest.fixture
def submit(url, flows):
    """Submit a flow of that file."""

    def submit(name="factory", run_id="r1", **more):
        return redisflow.submit(f"{flows}:{name}", run_id=run_id, url=url, **more)

    return submit


@pytest.fixture
def serve(url, flows):
    """Start workers that serve flows of that file."""
    with served_by(url, flows) as start:
        yield start


@pytest.fixture
def field(admin, namespace):
    """Read a field of the flow of a run id."""

    def read(name, run_id="r1"):
        return admin.hget(keys_of(namespace, run_id).flow, name)

    return read


@pytest.fixture
def indexed(admin, namespace):
    """Read the uuids in the index of submitted flows."""
    return lambda: admin.zrange(Keys(namespace).submitted, 0, -1)


class Gates:
    """What the tasks of a gated flow wait for."""

    def __init__(self, folder):
        self.store = {"gate": f"{folder}/open-"}
        self._folder = folder

    def open(self, *numbers):
        """Let tasks go on."""
        for number in numbers:
            (self._folder / f"open-{number}").touch()


@pytest.fixture
def gates(tmp_path):
    """Give the gates of the test's flows."""
    return Gates(tmp_path)


@pytest.fixture
def engine(flows, url, gates, field):
    """Run gated flows as r1 with an engine of the test's own, in a thread."""
    threads = []

    def start(tasks):
        made = FactoryCall(f"{flows}:gated", (tasks,)).make_flow()
        engine = redisflow.load(made, run_id="r1", url=url, store=gates.store)
        threads.append(threading.Thread(target=engine.run))
        threads[0].start()
        eventually(lambda: field("state") == "RUNNING")

    yield start
    gates.open(*range(4))
    for thread in threads:
        thread.join()


def keys_of(namespace, run_id):
    """Name the keys of the flow of a run id."""
    return Keys(namespace).of_flow(flow_uuid_of(run_id, namespace))


# Submitting


def test_submitted_flow_stands_in_its_hash_and_in_the_index(
    submit, field, indexed, namespace, flows
):
    """A person reads what was submitted; the run id is returned."""
    assert (
        submit("work", factory_args=("a",), factory_kwargs={"n": 2}, max_attempts=2)
        == "r1"
    )
    assert field("submitted") == "1"
    assert field("submitted:factory") == f"{flows}:work"
    assert field("submitted:args") == '["a"]'
    assert field("submitted:kwargs") == '{"n":2}'
    assert field("submitted:options") == '{"max_attempts":2}'
    assert field("meta:run_id") == '"r1"'
    assert indexed() == [flow_uuid_of("r1", namespace)]


def test_flow_that_is_submitted_can_be_read_like_any(submit, backend, namespace):
    """What only the codec reads is no obstacle, and no metadata of the user."""
    submit(store={"x": 1})
    detail = backend.get_connection().get_flow_details(flow_uuid_of("r1", namespace))
    assert detail.meta == {"run_id": "r1"}
    storage = redisflow.Storage(detail, backend)
    assert storage.fetch("x") == 1


def test_run_id_is_made_up(submit, url):
    """None names the run at random, and the flow can be found by it."""
    run_id = submit(run_id=None)
    other = submit(run_id=None)
    again = redisflow.submit(submissions.Submissions, factory_args=(1,), url=url)
    assert len({run_id, other, again}) == 3


def test_submitting_twice_is_as_good_as_once(submit, field):
    """The same again changes nothing; arguments that are equal are the same."""
    kwargs = {"name": "a", "n": {"b": 1, "c": 2}}
    submit("work", factory_kwargs=kwargs, store={"x": 1})
    again = {"n": {"c": 2, "b": 1}, "name": "a"}
    assert submit("work", factory_kwargs=again, store={"x": 1}) == "r1"
    assert field("submitted:kwargs") == '{"n":{"b":1,"c":2},"name":"a"}'
    assert field("submitted") == "1"


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"name": "gated"}, "factory"),
        ({"factory_args": ("b",)}, "args[0]"),
        ({"factory_args": ("a", 1)}, "args[1]"),
        ({"factory_kwargs": {"n": True}}, "kwargs['n']"),
        ({"max_attempts": 5}, "options['max_attempts']"),
        ({"store": {"x": 2}}, "store['x']"),
    ],
)
def test_submitting_something_else_is_refused(submit, dumps, indexed, change, differs):
    """A typed error names what differs; the flow is as it was."""
    same = {
        "name": "work",
        "factory_args": ("a",),
        "factory_kwargs": {"n": 1},
        "store": {"x": 1},
    }
    submit(**same)
    before = dumps()

    with pytest.raises(SubmissionDiffers) as caught:
        submit(**same | change, rerun=True)

    assert (caught.value.run_id, caught.value.differs) == ("r1", (differs,))
    assert dumps() == before


def test_what_cannot_be_submitted_leaves_nothing(submit, admin, url):
    """Values, options, factories and run ids are looked at before all else."""
    with pytest.raises(ValueRefused):
        submit(factory_args=(object(),))
    with pytest.raises(ValueRefused, match="give large values to the flow's store"):
        submit(factory_args=("x" * 300_000,))
    with pytest.raises(ValueRefused):
        submit(store={"x": object()})
    with pytest.raises(ConfigError, match="executor is no option of a submitted flow"):
        submit(executor="threads")
    with pytest.raises(ConfigError, match="max_attempts is at least 1"):
        submit(max_attempts=0)
    with pytest.raises(ConfigError, match="a run id has"):
        submit(run_id="")
    with pytest.raises(ConfigError, match="top level"):
        redisflow.submit(lambda: None, url=url)
    with pytest.raises(ConfigError, match="too many positional"):
        redisflow.submit(served_by, factory_args=(1, 2, 3), url=url)
    assert admin.dbsize() == 0


# Serving


def test_worker_serves_what_is_submitted_before_and_after(
    serve, submit, field, indexed
):
    """One that waited is served, one that comes is heard of; both leave the index."""
    submit(store={"x": 1})
    worker = serve()
    eventually(lambda: field("state") == "SUCCESS")
    submit(run_id="r2", store={"x": 2})
    eventually(lambda: field("state", "r2") == "SUCCESS", within_s=serving.LOOK_S / 2)
    eventually(lambda: indexed() == [])
    eventually(lambda: worker.told("r2: SUCCESS after"))


def test_burst_ends_when_nothing_is_left(serve, submit, field, indexed):
    """A worker with --once serves all that waits, and ends."""
    for number in range(3):
        submit(run_id=f"r{number}", store={"x": number})
    serve(flows=2, burst=True).join()
    assert [field("state", f"r{number}") for number in range(3)] == ["SUCCESS"] * 3
    assert indexed() == []


def test_entries_that_are_dropped_hide_no_others(  # noqa: PLR0917  # fixtures
    serve, submit, field, admin, namespace, monkeypatch
):
    """What moves up in the index while it is read is read nevertheless."""
    monkeypatch.setattr(submissions, "_PAGE", 2)
    gone = {f"gone-{number}": number + 1 for number in range(4)}
    admin.zadd(Keys(namespace).submitted, gone)
    submit(store={"x": 1})
    serve(burst=True).join()
    assert field("state") == "SUCCESS"


def test_ended_run_is_started_again_on_request_alone(serve, submit, field, indexed):
    """Without rerun the outcome stays, with it the next run is served."""
    submit(store={"x": 1})
    serve(burst=True).join()
    submit()
    submit(store={"x": 2})
    with pytest.raises(SubmissionDiffers):
        submit("failing")
    serve(burst=True).join()
    assert (field("run"), field("submitted"), indexed()) == ("1", "1", [])

    submit("failing", rerun=True)
    worker = serve(burst=True)
    worker.join()
    assert (field("run"), field("state")) == ("2", "REVERTED")
    assert worker.told("r1: REVERTED after") == [worker.lines[-1]]
    assert "the disk is full" in worker.lines[-1]


@pytest.fixture
def suspend(backend, namespace):
    """Suspend r1 once one of its atoms runs."""

    def change():
        connection = backend.get_connection()
        detail = connection.get_flow_details(flow_uuid_of("r1", namespace))
        assert any(atom.state == "RUNNING" for atom in detail)
        redisflow.Storage(detail, backend).change_flow_state("SUSPENDING")
        return True

    return lambda: eventually(change)


def test_suspended_run_is_resumed(serve, submit, field, suspend, gates):
    """Submitting it once more goes on with the atoms that were left."""
    submit("gated", store=gates.store)
    worker = serve()
    suspend()
    gates.open(0)
    eventually(lambda: worker.told("r1: SUSPENDED"))
    gates.open(1)
    submit("gated")
    eventually(lambda: field("state") == "SUCCESS")
    assert field("submitted") == "2"


def test_suspended_run_that_nobody_has_ended_is_not_gone_on_with(  # noqa: PLR0917  # fixtures
    serve, submit, field, suspend, gates, monkeypatch
):
    """Its worker was gone before it could end it: the next one ends it."""
    monkeypatch.setattr(Course, "_settle", lambda _course: None)
    submit("gated", store=gates.store)
    worker = serve()
    suspend()
    worker.serving.drain()
    gates.open(0)
    worker.join()
    assert field("state") == "SUSPENDING"

    other = serve()

    eventually(lambda: other.told("r1: SUSPENDED"))
    assert (field("state"), field("unfinished")) == ("SUSPENDED", "1")


def test_flow_that_is_not_allowed_is_left_alone(serve, submit, field, url, indexed):
    """It is not imported, told once, and waits for others; the rest is served."""
    Path("evil.py").write_text("open('imported', 'w').close()")
    for number, reference in enumerate(("evil.py", "os:system")):
        redisflow.submit(
            reference, run_id=f"evil{number}", url=url, factory_args=("true",)
        )
    submit("os.system", run_id="evil2", factory_args=("touch imported",))
    submit(store={"x": 1})
    worker = serve()
    eventually(lambda: field("state") == "SUCCESS")
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")

    for run_id in ("evil0", "evil1", "evil2"):
        eventually(lambda run_id=run_id: worker.told(f"{run_id}: left alone"))
        assert not field("state", run_id)
    assert not Path("imported").exists()
    eventually(lambda: len(indexed()) == 3)  # the worker looks after the end
    assert len(worker.told("left alone")) == 3


def test_factory_that_raises_is_not_tried_in_a_loop(serve, submit, field):
    """The worker goes on with others, and tries again when it is submitted again."""
    submit("raises")
    worker = serve()
    eventually(lambda: worker.told("r1: left alone for 30 s"))
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")
    assert Path("notes").read_text() == "raises\n"

    submit("raises")
    eventually(lambda: worker.told("r1: left alone for 30 s")[1:])
    assert "no such host" in worker.lines[-1]
    assert Path("notes").read_text() == "raises\n" * 2


def test_factory_that_finds_nothing_is_not_taken_for_a_removed_flow(serve, submit):
    """What it looks for is not the flow: it is left alone like any that raises."""
    submit("misses")
    worker = serve()
    eventually(lambda: worker.told("r1: left alone for 30 s"))
    assert Path("notes").read_text() == "misses\n"


def test_missing_argument_is_told_and_can_be_given(serve, submit, field):
    """A flow without a value that it needs waits; submitting it with it is enough."""
    submit()
    worker = serve()
    eventually(lambda: worker.told("r1: left alone"))
    assert "MissingDependencies" in worker.lines[-1]
    submit(store={"x": 1})
    eventually(lambda: field("state") == "SUCCESS")


def test_flow_without_work_for_one_more_is_not_joined(serve, submit, engine, field):
    """Who has the one task that is left needs no company; room is kept for others."""
    engine(1)
    submit("gated", factory_args=(1,))
    worker = serve()
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")
    assert not worker.told("r1: joining")


def test_mismatch_does_not_end_the_worker(serve, submit, engine, field):
    """Joining work of another structure is refused, told, and not repeated."""
    engine(3)
    submit("gated", factory_args=(2,))
    worker = serve()
    eventually(lambda: worker.told("r1: left alone"))
    assert StructureMismatch.__name__ in worker.lines[-1]
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")
    assert len(worker.told("r1: left alone")) == 1


def test_full_worker_leaves_a_flow_without_work_for_one_that_nobody_serves(
    serve, submit, engine, field, gates
):
    """A flow that waits for another worker's task does not keep others waiting."""
    engine(2)
    submit("gated")
    worker = serve(flows=1)
    eventually(lambda: worker.told("r1: joining"))
    gates.open(1)
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")
    assert worker.told("r1: left")
    assert field("state") == "RUNNING"


def test_drained_worker_finishes_what_it_has(serve, submit, field, admin, gates):
    """It takes no more, and the flow goes on without it."""
    submit("gated", store=gates.store)
    worker = serve()
    eventually(lambda: field("unfinished") == "2")
    assert admin.keys("*:servers")
    worker.serving.drain()
    gates.open(0)
    worker.join()
    assert worker.lines[-1].endswith(": left")
    assert field("state") in ("RUNNING", "PENDING")
    assert not admin.keys("*:servers")
    gates.open(1)
    serve(burst=True).join()
    assert field("state") == "SUCCESS"


def test_idle_worker_costs_next_to_nothing(serve, monkeypatch, admin, namespace):
    """A look is five commands at most, a wait included; then it waits for a hint."""
    monkeypatch.setattr(serving, "LOOK_S", 0.25)
    serve()
    eventually(lambda: admin.zcard(Keys(namespace).servers))
    admin.config_resetstat()
    counted = eventually(lambda: _calls(admin, blpop=5))
    looks = counted["blpop"] + 1
    assert sum(counted.values()) <= 5 * looks, counted


def _calls(admin, *, blpop):
    """Count the calls of commands since the last reset, once it waited so often."""
    calls = {
        name.removeprefix("cmdstat_"): stat["calls"]
        for name, stat in admin.info("commandstats").items()
        if name not in ("cmdstat_info", "cmdstat_config|resetstat")
    }
    return calls if calls.get("blpop", 0) >= blpop else None


# The index


def test_index_heals_itself(serve, submit, indexed, admin, namespace):
    """Entries of flows that are gone, or that nobody has marked, do not stay."""
    index = Keys(namespace).submitted
    submit(store={"x": 1})
    admin.zadd(index, {"gone": 1, flow_uuid_of("r1", namespace): 2})
    serve(burst=True).join()
    assert indexed() == []


def test_entry_whose_submitter_is_on_its_way_stays(
    serve, indexed, admin, namespace, backend
):
    """A minute is enough for a submitter to mark what it has put into the index."""
    late = backend.client.now_ms() - submissions.GRACE_MS / 2
    admin.zadd(Keys(namespace).submitted, {"coming": late})
    serve(burst=True).join()
    assert indexed() == ["coming"]


def test_dropping_an_open_flow_puts_it_back(submit, indexed, backend, namespace):
    """Whoever drops an entry looks again: it may have been submitted meanwhile."""
    submit()
    Submissions(backend).drop(flow_uuid_of("r1", namespace))
    assert indexed() == [flow_uuid_of("r1", namespace)]


def test_damaged_flow_does_not_keep_others_waiting(
    serve, submit, field, admin, namespace
):
    """A key of another type, a newer schema, a lost field: each is told, once."""
    for number in range(6):
        submit(run_id=f"bad{number}", store={"x": 1})
    keys = [keys_of(namespace, f"bad{number}") for number in range(6)]
    admin.delete(keys[0].flow)
    admin.set(keys[0].flow, "in the way")
    admin.hset(keys[1].flow, "schema", 999)
    admin.hdel(keys[2].flow, "submitted:args")
    admin.hset(keys[3].flow, "submitted:args", "5")
    admin.hset(keys[4].flow, "submitted:options", "[1]")
    admin.hset(keys[5].flow, "submitted:factory", b"\xff")
    submit(store={"x": 1})
    worker = serve()
    eventually(lambda: field("state") == "SUCCESS")
    submit(run_id="r2", store={"x": 1})
    eventually(lambda: field("state", "r2") == "SUCCESS")
    assert len(worker.told("left alone")) == 6


def test_clearing_a_namespace_clears_the_index(
    serve, submit, connection, admin, namespace
):
    """clear_all, and the removal of a logbook, take submitted flows along."""
    submit()
    (book,) = connection.get_logbooks(lazy=True)
    connection.destroy_logbook(book.uuid)
    assert admin.keys("*") == []
    submit()
    admin.zadd(Keys(namespace).servers, {"w": 1})
    connection.clear_all()
    assert admin.keys("*") == []
