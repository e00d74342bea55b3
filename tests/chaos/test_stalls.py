"""Server or worker stand still for longer than a lease, and are not dead."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter

import pytest
import redis

from redisflow import RedisBackend
from tests.support.eventually import eventually
from tests.support.scenarios import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

LEASE_S = 1.0
STILL_S = 2.5 * LEASE_S


def _by_signal(own):
    """Stop its process."""
    own.freeze(STILL_S)


def _by_sleep(own):
    """Let it sleep in the middle of a command."""
    with redis.Redis(port=own.port, socket_timeout=4 * STILL_S) as client:
        client.execute_command("DEBUG", "SLEEP", STILL_S)


@pytest.mark.parametrize("timeout_s", [0.4, 5.0], ids=["impatient", "patient"])
@pytest.mark.parametrize("stall", [_by_signal, _by_sleep])
def test_server_stands_still(own, tmp_path, stall, timeout_s):
    """All leases are over at once, and nobody is declared dead for it."""
    url = f"{own.url}?deadline_s=10&socket_timeout={timeout_s}"
    stage = Stage(url, own.client, tmp_path)
    with stage.crew("independent", LEASE_S, count=3, takes_s=2 * STILL_S) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        deadlines = own.client.zrange(stage.keys.workers, 0, 2, withscores=True)
        stall(own)
        seconds, us = own.client.time()
        now_ms = seconds * 1000 + us // 1000
        assert all(at < now_ms for _, at in deadlines), "no lease was over"
        eventually(lambda: living(stage) == 3, 2 * LEASE_S)  # still in their tasks
        reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    flow = stage.assert_ended("SUCCESS", Counter())
    assert not [name for name in flow.atoms if flow.taken_back(name)]


def living(stage):
    """Count the workers whose leases are not over, by the server's clock."""
    seconds, us = stage.admin.time()
    now_ms = seconds * 1000 + us // 1000
    return stage.admin.zcount(stage.keys.workers, now_ms, "(inf")


def test_script_of_somebody_else_is_slow(own, tmp_path):
    """BUSY is waited for: nobody kills the script, and no lease is lost."""
    own.client.config_set("busy-reply-threshold", "50")
    url = f"{own.url}?deadline_s=10"
    stage = Stage(url, own.client, tmp_path)
    spin = "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return n"
    with (
        stage.crew("mixed", 5 * LEASE_S, takes_s=0.01) as crew,
        redis.Redis(port=own.port, socket_timeout=30) as stranger,
    ):
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        for _ in range(4):
            stranger.eval(spin, 0, 10_000_000)
            threading.Event().wait(0.05)
        reports = [member.report() for member in crew.members]
        told = own.client.info("errorstats")
        asked = own.client.info("commandstats")
    assert told["errorstat_BUSY"]["count"] > 0, "it was not slow enough"
    assert "cmdstat_script|kill" not in asked
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    stage.assert_ended("SUCCESS", Counter())


def test_scripts_are_forgotten_all_the_time(own, tmp_path):
    """SCRIPT FLUSH between and under the calls: nobody sees anything of it."""
    stage = Stage(own.url, own.client, tmp_path)
    flushes = 0
    with stage.crew("mixed", 10 * LEASE_S) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        while crew.alive:
            own.client.script_flush()
            flushes += 1
        reports = [member.report() for member in crew.members]
        told = own.client.info("errorstats")
    assert flushes > 50
    assert told["errorstat_NOSCRIPT"]["count"] > 50, "no script was missed"
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    assert [member.log for member in crew.members] == [""] * 3
    stage.assert_ended("SUCCESS", Counter())


def test_task_does_not_leave_the_interpreter_alone(stage):
    """Python code that computes for longer than a lease keeps its lease."""
    with stage.crew("line", LEASE_S, names=["a", "b"], ends={"a": "compute"}) as crew:
        crew.start()
        eventually(lambda: stage.ran("a"), 30)
        other = crew.start()
        assert other.report()["outcome"] == "SUCCESS"
        assert crew.members[0].report()["statistics"]["stale"] == 0
    flow = stage.assert_ended("SUCCESS", Counter())
    assert flow.taken_back("a") == []


def test_worker_is_given_its_own_task_again(stage):
    """Declared dead though it lives, it runs the task twice; the first one is late."""
    gates = {"b": str(stage.gate("b"))}
    with (
        stage.crew("line", 2.0, names=["a", "b", "c"], gates=gates) as crew,
        contextlib.closing(RedisBackend.from_url(stage.url)) as backend,
    ):
        member = crew.start(executor="threads", max_workers=2)
        eventually(lambda: stage.ran("b"), 30)
        worker = stage.admin.zrange(stage.keys.workers, 0, 0)[0]
        scripts = backend.scripts_of(stage.keys.flow_uuid)
        scripts.call("worker_sweep", dead=worker, max_attempts=3, payload=b"null")
        eventually(lambda: len(stage.ran("b")) == 2, 20)
        stage.gate("b").touch()
        report = member.report()
    assert report["outcome"] == "SUCCESS"
    assert report["statistics"]["stale"] == 1
    stage.assert_ended("SUCCESS", Counter({"b": 1}))


def test_task_holds_the_interpreter(stage):
    """A C call that lets no other thread run renews no lease: it is taken over."""
    with stage.crew("line", LEASE_S, names=["a", "b"], ends={"a": "hold"}) as crew:
        crew.start()
        eventually(lambda: stage.ran("a"), 30)
        crew.start()
        reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 2
    assert sum(report["statistics"]["stale"] for report in reports) >= 1
    flow = stage.assert_ended("SUCCESS")
    ended = [claim for claim in flow.claims["a"] if claim.end]
    assert len(ended) == 1
    assert len(flow.claims["a"]) > 1, "nobody took it over"
