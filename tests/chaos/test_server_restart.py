"""The server is killed in the middle of a run, and comes back with what it had."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.scenarios import Stage
from tests.support.servers import KINDS
from tests.support.workloads import MIXED_ATOMS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

LEASE_S = 5.0
#: A server that reads its file answers once in 1,024 commands: eight times here.
BALLAST = 8192


@pytest.fixture(params=KINDS)
def restartable(request, tmp_path):
    """Start a server that appends to a file, and takes two seconds to read it."""
    slowly = ("--appendonly", "yes", "--key-load-delay", "250")
    server = OwnServer(request.param, tmp_path / "server", *slowly)
    with server.client.pipeline(transaction=False) as ballast:
        for _ in range(BALLAST):
            ballast.incr("ballast")
        ballast.execute()
    yield server
    server.close()


def test_server_killed(restartable, tmp_path, draw):
    """Workers wait for it and go on; nothing that was acknowledged is lost."""
    schedule = sorted(draw.sample(range(10, 170), 2))
    url = f"{restartable.url}?deadline_s=20"
    stage = Stage(url, restartable.client, tmp_path)
    with stage.crew("mixed", LEASE_S) as crew:
        for _ in range(3):
            crew.start()
        for begun in schedule:
            eventually(lambda: len(stage.notes) >= 2 * begun, 60)  # noqa: B023
            restartable.kill()  # what it had acknowledged was written by then
            threading.Event().wait(draw.uniform(0, 2))
            restartable.start()
        reports = [member.report() for member in crew.members]
        told = Counter(name for each in crew.members for name in each.acknowledged)
        loading = restartable.client.info("errorstats").get("errorstat_LOADING")
    assert len(restartable.run_ids) == 1 + len(schedule)
    assert loading, "nobody came while it was loading"
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    flow = stage.assert_ended("SUCCESS", Counter())
    assert len(flow.atoms) == MIXED_ATOMS
    assert told == Counter(dict.fromkeys(flow.atoms, 1))
