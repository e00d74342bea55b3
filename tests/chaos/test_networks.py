"""The way between workers and server is bad while a flow runs, or is gone for one."""

from __future__ import annotations

import threading
from collections import Counter
from time import monotonic

import pytest

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import Unavailable
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.scenarios import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

LEASE_S = 10.0
TIMES = 6


@pytest.fixture
def proxy(server):
    """Stand between some of the workers and the server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def way(proxy, namespace):
    """Return the URL through the proxy, of clients that do not wait for long."""
    return (
        f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}"
        "&socket_timeout=0.3&deadline_s=5"
    )


@pytest.mark.parametrize(
    "mode", ["drop_request", "drop_reply", "half_reply", "late_reply", "blackhole"]
)
def test_bad_for_a_while(stage, proxy, way, mode):
    """What was sent in vain is sent again: nothing runs twice, and it is soon done."""
    proxy.late_s = 0.6
    with stage.crew("mixed", LEASE_S) as crew:
        crew.start(url=way)
        crew.start(url=way)
        crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        begun = monotonic()
        proxy.arm(mode, match=b"EVALSHA", times=TIMES)
        reports = [member.report() for member in crew.members]
        assert proxy.hits == TIMES, "nothing was spoiled"
        assert monotonic() - begun < 30
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    assert sum(report["statistics"]["stale"] for report in reports) == 0
    stage.assert_ended("SUCCESS", Counter())


@pytest.mark.parametrize("how", ["blackhole", "refuse"])
def test_gone_for_one(stage, proxy, way, how):
    """It gives up at its deadline with an error of ours; the others do without it."""
    lease_s = 1.0
    striker = stage.striker
    with stage.crew("mixed", lease_s, takes_s=0.02) as crew:
        victim = crew.start(url=way)
        for _ in range(2):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        begun = monotonic()
        if how == "blackhole":
            proxy.arm("blackhole", match=b"", times=None)
        else:
            proxy.refuse = True
            proxy.cut()
        assert {member.report()["outcome"] for member in crew.members[1:]} == {
            "SUCCESS"
        }
        # run() and the last look, each with its deadline, and one timeout more.
        assert victim.status(25) == 1, victim.log
        assert "Unavailable" in victim.log
        assert monotonic() - begun < 25
    flow = stage.flow
    lost = {atom for atom in flow.atoms for _ in flow.taken_back(atom)}
    assert len(lost) <= 1, "more was taken from it than it can hold"
    assert not striker.strikes
    stage.assert_ended("SUCCESS", Counter(lost))


def test_idle_connections_are_cut(stage):
    """Whoever comes back to a connection that was cut does not notice."""
    cuts = 0
    with stage.crew("mixed", LEASE_S, takes_s=0.02) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        while crew.alive:
            cuts += stage.admin.execute_command("CLIENT", "KILL", "TYPE", "normal")
            threading.Event().wait(0.1)  # time to connect again, for the last one too
        reports = [member.report() for member in crew.members]
    assert cuts > 30, "hardly anything was cut"
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    stage.assert_ended("SUCCESS", Counter())


def test_server_takes_no_more_clients(own, tmp_path):
    """maxclients: those who are connected go on; who comes too late is told why."""
    url = f"{own.url}?deadline_s=1"
    stage = Stage(url, own.client, tmp_path)
    gates = {"b": str(stage.gate("b"))}
    with stage.crew("line", 5.0, names=["a", "b", "c"], gates=gates) as crew:
        crew.start()
        eventually(lambda: stage.ran("b"), 30)
        connected = own.client.info("clients")["connected_clients"]
        own.client.config_set("maxclients", connected)
        late = crew.start()
        assert late.status() == 1
        assert "max number of clients" in late.log
        assert "Refused" in late.log
        stage.gate("b").touch()
        assert crew.members[0].report()["outcome"] == "SUCCESS"
        assert own.client.info("stats")["rejected_connections"] > 0
    stage.assert_ended("SUCCESS", Counter())


def test_redis_py_sends_nothing_again(admin, namespace, proxy, way):
    """One attempt of ours is one request: its lost reply is ours to judge."""
    key = f"{namespace}:count"
    with Client(parse_url(way)) as client:
        client.execute("PING")
        proxy.arm("drop_reply", match=b"INCR", times=1)
        with pytest.raises(Unavailable) as caught:
            client.execute("INCR", key, deadline_s=0)
    assert caught.value.outcome == "unknown"
    assert proxy.hits == 1
    assert admin.get(key) == "1"
