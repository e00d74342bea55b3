"""Runs that go by themselves, some time after their end."""

from __future__ import annotations

import contextlib

import pytest
from taskflow import engines, task
from taskflow.patterns import linear_flow, unordered_flow

import redisflow
from redisflow.cli.app import invoke
from redisflow.doctor import check_flow
from redisflow.engine.worker import Worker
from redisflow.errors import ConfigError
from redisflow.keys import FlowKeys, flow_uuid_of
from redisflow.operations import Subject, reset_atom, set_result
from tests.support.aging import age_indexes
from tests.support.eventually import eventually

pytestmark = pytest.mark.one_server


class Noop(task.Task):
    """A task that does nothing."""

    def execute(self) -> None:
        """Do nothing."""


class Fail(task.Task):
    """A task that fails."""

    def execute(self) -> None:
        """Fail."""
        raise RuntimeError("as it should")


def load(url, *atoms, run_id="kept", **options):
    """Load an engine on a flow of these atoms."""
    flow = linear_flow.Flow("f").add(*(atoms or (Noop("a"), Noop("b"))))
    return redisflow.load(flow, run_id=run_id, url=url, **options)


def keys_of(admin, namespace, run_id="kept") -> list[str]:
    """Name the keys of a flow that are there."""
    return list(admin.scan_iter(f"{namespace}:{{{flow_uuid_of(run_id, namespace)}}}:*"))


def test_nothing_of_it_is_left(url, admin, namespace, backend):
    """All keys of the flow go at one moment, and `gc` takes what leads to it."""
    engine = load(url, retention_s=0.5)
    engine.run()
    assert {admin.pttl(key) > 0 for key in keys_of(admin, namespace)} == {True}
    assert check_flow(backend, engine.storage.flow_uuid) == []

    eventually(lambda: keys_of(admin, namespace) == [])

    age_indexes(admin, namespace)
    assert invoke(["gc", "--url", url]) == 0
    assert list(admin.scan_iter(f"{namespace}:*")) == []


def test_large_flow_goes_as_a_whole(url, admin, namespace):
    """More records than one script sets out."""
    flow = unordered_flow.Flow("f").add(*[Noop(f"n{n}") for n in range(500)])
    redisflow.load(flow, run_id="kept", url=url, retention_s=60).run()
    assert {admin.pttl(key) > 0 for key in keys_of(admin, namespace)} == {True}
    assert len(keys_of(admin, namespace)) > 1000


@pytest.mark.parametrize("atoms", [(Noop("a"), Fail("b")), ()])
def test_end_of_any_kind_sets_it_out(atoms, url, admin, namespace):
    """A reverted run goes, too; the backend's default counts where nothing is said."""
    with contextlib.suppress(RuntimeError):
        load(f"{url}&retention_s=60", *atoms).run()
    assert {admin.pttl(key) > 0 for key in keys_of(admin, namespace)} == {True}


def test_run_that_is_suspended_stays(url, admin, namespace):
    """It is not finished; once it is, it goes."""
    engine = load(url, retention_s=60)
    for _phase in engine.run_iter():
        engine.suspend()
    assert {admin.pttl(key) for key in keys_of(admin, namespace)} == {-1}
    load(url).run()
    assert {admin.pttl(key) > 0 for key in keys_of(admin, namespace)} == {True}


def test_next_run_keeps_it(url, admin, namespace):
    """Nothing expires while it runs, whatever the last run had set out."""
    load(url, retention_s=60).run()
    engine = load(url, rerun=True)
    phases = engine.run_iter()
    next(phases)
    next(phases)
    assert {admin.pttl(key) for key in keys_of(admin, namespace)} == {-1}
    assert list(phases)[-1] == "SUCCESS"
    assert {admin.pttl(key) > 0 for key in keys_of(admin, namespace)} == {True}


def test_submitting_it_again_keeps_it(url, admin, namespace):
    """What was acknowledged as submitted does not go before it was served."""
    uuid = flow_uuid_of("kept", namespace)
    redisflow.submit("shop:factory", run_id="kept", url=url, retention_s=60)
    keys = FlowKeys(namespace, uuid)
    admin.hset(keys.flow, mapping={"state": "SUCCESS", "ended": 1, "expires_at": 9e12})
    for key in keys_of(admin, namespace):
        admin.expire(key, 60)
    redisflow.submit("shop:factory", run_id="kept", url=url, retention_s=60, rerun=True)
    assert {admin.pttl(key) for key in keys_of(admin, namespace)} == {-1}


@pytest.mark.parametrize("retention_s", [-1, 0, "soon", float("nan"), float("inf")])
def test_what_is_no_time_is_refused(retention_s, url):
    """ConfigError, before anything is written."""
    with pytest.raises(ConfigError, match="retention_s"):
        load(url, retention_s=retention_s)
    with pytest.raises(ConfigError, match="retention_s"):
        redisflow.RedisBackend.from_url(f"{url}&retention_s={retention_s}")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_thousand_flows_leave_nothing(url, admin, namespace):
    """Half of them go by themselves, half are removed: no key is left."""
    for number in range(1000):
        load(
            url, Noop("a"), run_id=f"r{number}", retention_s=2 + 60 * (number % 2)
        ).run()
    assert invoke(["rm", "--name", "r*", "--yes", "--url", url, "-o", "json"]) == 0
    eventually(lambda: not list(admin.scan_iter(f"{namespace}:{{*")))
    age_indexes(admin, namespace)
    assert invoke(["gc", "--url", url]) == 0
    assert list(admin.scan_iter(f"{namespace}:*")) == []


def test_a_run_of_the_same_name_is_a_new_one(url, admin, namespace, backend):
    """Its age is its own, and not that of the flow that has expired."""
    load(url, retention_s=0.3).run()
    eventually(lambda: keys_of(admin, namespace) == [])
    age_indexes(admin, namespace)

    engine = load(url)

    score = admin.zscore(backend.keys.flows, engine.storage.flow_uuid)
    seconds, _ = admin.time()
    assert score > (seconds - 60) * 1000


def test_a_reset_keeps_it(url, admin, namespace, backend):
    """What was put back to be run again does not go, nor a part of it."""
    engine = load(url, retention_s=1.0)
    engine.run()
    reset_atom(Subject(backend, engine.storage.flow_uuid), "a")

    assert {admin.pttl(key) for key in keys_of(admin, namespace)} == {-1}
    load(url).run()


def _set_result(engine, backend):
    subject = Subject(backend, engine.storage.flow_uuid)
    set_result(subject, "a", 7)


def _inject(engine, _backend):
    engine.storage.inject({"x": 1})


def _reset(engine, _backend):
    engine.reset()


def _run_by_another_engine(engine, backend):
    detail = backend.get_connection().get_flow_details(engine.storage.flow_uuid)
    flow = linear_flow.Flow("f").add(Noop("a"), Noop("b"))
    engines.load(flow, flow_detail=detail, backend=backend, engine="serial").run()


@pytest.mark.parametrize(
    "change", [_set_result, _inject, _reset, _run_by_another_engine]
)
def test_whatever_changes_it_keeps_it(change, url, admin, namespace, backend):
    """What somebody has changed, or runs, does not go beneath their hands."""
    engine = load(url, retention_s=60)
    engine.run()
    change(engine, backend)
    assert {admin.pttl(key) for key in keys_of(admin, namespace)} == {-1}
    assert check_flow(backend, engine.storage.flow_uuid) == []


@pytest.fixture
def abandoned(url, monkeypatch, admin, namespace):
    """Let a large run end whose worker dies before all of it is set out to go."""

    def abandon(atoms):
        flow = unordered_flow.Flow("f").add(*atoms)
        engine = redisflow.load(flow, run_id="kept", url=url, retention_s=0.5)
        with monkeypatch.context() as patched:
            patched.setattr(Worker, "_expire", lambda *_: None)
            engine.run()
        uuid = engine.storage.flow_uuid
        eventually(lambda: not admin.exists(FlowKeys(namespace, uuid).flow))
        assert len(keys_of(admin, namespace)) > 100
        return engine

    return abandon


def test_what_a_dead_worker_has_left_is_collected(abandoned, url, admin, namespace):
    """The records over the first 200 are named until they go."""
    abandoned([Noop(f"n{number}") for number in range(300)])
    age_indexes(admin, namespace)
    assert invoke(["gc", "--url", url]) == 0
    assert list(admin.scan_iter(f"{namespace}:*")) == []


def test_what_a_dead_worker_has_left_is_in_nobodys_way(abandoned, url, backend):
    """A new run of that name is as if there had never been one."""
    abandoned([Noop(f"n{number}") for number in range(300)])
    engine = load(url)
    engine.run()
    assert check_flow(backend, engine.storage.flow_uuid) == []
    assert len(engine.storage.get_atoms_states(["a", "b"])) == 2
