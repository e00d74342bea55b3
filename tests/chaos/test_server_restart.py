"""The server is killed in the middle of a run, and comes back with what it had."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections import Counter

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.scenarios import Stage
from tests.support.servers import KINDS, absent, executable
from tests.support.workloads import MIXED_ATOMS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

LEASE_S = 5.0


class Restartable:
    """A server of our own that appends to a file, and is killed without warning.

    Args:
        kind: of the server.
        folder: for its data.
    """

    def __init__(self, kind, folder):
        self._folder = folder
        self._program = executable(kind)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.run_ids = set()
        self._process = None

    def start(self):
        """Start it, and wait until it has read its file."""
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "appendonly": "yes",
            "save": "",
            "logfile": "server.log",
        }
        words = [
            word
            for name, value in options.items()
            for word in (f"--{name}", str(value))
        ]
        self._process = subprocess.Popen([self._program, *words])
        with contextlib.closing(redis.Redis.from_url(self.url)) as client:
            self.run_ids.add(eventually(lambda: _run_id(client), 30))

    def kill(self):
        """Kill it; what it had acknowledged was written by then."""
        self._process.kill()
        self._process.wait()


def _run_id(client):
    """Ask a server for its run id; None while it cannot answer."""
    try:
        return client.info("server")["run_id"]
    except redis.RedisError:
        return None


@pytest.fixture(params=KINDS)
def restartable(request, tmp_path):
    """Start a server that can be killed."""
    if executable(request.param) is None:
        absent(f"{request.param}-server")
    folder = tmp_path / "server"
    folder.mkdir()
    server = Restartable(request.param, folder)
    server.start()
    yield server
    server.kill()


def test_server_killed(restartable, tmp_path, draw):
    """Workers wait for it and go on; nothing that was acknowledged is lost."""
    schedule = sorted(draw.sample(range(10, 170), 2))
    url = f"{restartable.url}?deadline_s=20"
    with contextlib.closing(
        redis.Redis.from_url(restartable.url, decode_responses=True)
    ) as admin:
        stage = Stage(url, admin, tmp_path)
        with stage.crew("mixed", LEASE_S) as crew:
            for _ in range(3):
                crew.start()
            for begun in schedule:
                eventually(lambda: len(stage.notes) >= 2 * begun, 60)  # noqa: B023
                restartable.kill()
                threading.Event().wait(draw.uniform(0, 2))
                restartable.start()
            reports = [member.report() for member in crew.members]
            told = Counter(name for each in crew.members for name in each.acknowledged)
        assert len(restartable.run_ids) == 1 + len(schedule)
        assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
        flow = stage.assert_ended("SUCCESS", Counter())
        assert len(flow.atoms) == MIXED_ATOMS
        assert told == Counter(dict.fromkeys(flow.atoms, 1))
