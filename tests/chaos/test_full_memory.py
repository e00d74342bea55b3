"""The server has no memory left: what runs comes to its end, and nothing new begins."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter

import pytest
from redis.exceptions import OutOfMemoryError
from taskflow import states
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend, Storage
from redisflow.errors import Refused
from tests.support.eventually import eventually
from tests.support.workloads import line

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

LEASE_S = 0.8


@contextlib.contextmanager
def full(admin):
    """Leave the server no memory for a while."""
    admin.config_set("maxmemory", "1")
    try:
        with pytest.raises(OutOfMemoryError):
            admin.set("more", "x")
        yield
    finally:
        admin.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("fails", "state"),
    [(False, "SUCCESS"), (True, "REVERTED")],
    ids=["runs", "reverts"],
)
def test_what_runs_ends(stage, fails, state):
    """Atoms are taken, finished and reverted, leases renewed, and the run is ended."""
    with stage.crew("mixed", LEASE_S, fails=fails) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        with full(stage.admin):
            reports = [member.report() for member in crew.members]
            assert stage.admin.info("stats")["evicted_keys"] == 0
    assert [report["outcome"] for report in reports] == [state] * 3
    stage.assert_ended(state, Counter())


def test_what_holds_a_task_keeps_it(stage):
    """A task that lasts longer than its lease stays with its worker."""
    gates = {"b": str(stage.gate("b"))}
    with stage.crew("line", LEASE_S, names=["a", "b", "c"], gates=gates) as crew:
        for _ in range(2):
            crew.start()
        eventually(lambda: stage.ran("b"), 30)
        eventually(lambda: stage.admin.zcard(stage.keys.idle) == 1 + 1, 30)
        with full(stage.admin):
            threading.Event().wait(2.5 * LEASE_S)
            stage.gate("b").touch()
            reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 2
    stage.assert_ended("SUCCESS", Counter())


def test_nothing_new_begins(stage, url):
    """A new flow is refused with what it was refused for, and leaves no key."""
    flow = line(str(stage.notes_file), ["a"])
    with full(stage.admin):
        with pytest.raises(Refused, match="OOM") as caught:
            redisflow.load(flow, run_id="new", url=url)
        assert caught.value.outcome == "not applied"
        assert list(stage.admin.scan_iter()) == []


def test_whoever_suspends_is_heard(stage):
    """To stop what fills the memory takes none."""
    with stage.crew("mixed", LEASE_S, takes_s=0.02) as crew:
        for _ in range(2):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 2, 30)
        with (
            full(stage.admin),
            contextlib.closing(RedisBackend.from_url(stage.url)) as backend,
        ):
            flow = models.FlowDetail("mixed", stage.keys.flow_uuid)
            storage = Storage(flow, backend)
            assert storage.change_flow_state(states.SUSPENDING) == (True, "RUNNING")
            for member in crew.members:
                assert member.report()["outcome"] == "SUSPENDED"
            late = crew.start()
            assert late.report()["error"] == "Refused", late.log
        assert crew.start().report()["outcome"] == "SUCCESS"
    stage.assert_ended("SUCCESS", Counter())
