"""The server's clock jumps; the clocks of workers mean nothing."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support import own_server
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.scenarios import SLACK_S, Stage
from tests.support.servers import KINDS, absent

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

LEASE_S = 1.5
JUMP_S = 4.0
SOURCE = Path(own_server.__file__).with_name("clockjump.c")


class Clock:
    """A server whose clock can be set.

    Args:
        kind: of the server.
        folder: for its data.
    """

    def __init__(self, kind, folder):
        compiler = shutil.which("cc") or absent("a C compiler")
        library, self._off = folder / "clockjump.so", folder / "off"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True
        )
        self._off.write_text("0", encoding="utf-8")
        self.server = OwnServer(
            kind,
            folder / "server",
            environment={"LD_PRELOAD": str(library), "CLOCKJUMP": str(self._off)},
        )

    def jump(self, seconds):
        """Put the clock ahead of the true time by so much, and see that it is."""
        self._off.write_text(str(int(seconds * 1000)), encoding="utf-8")
        eventually(lambda: abs(self._ahead_s() - seconds) < 1)

    def _ahead_s(self):
        seconds, _ = self.server.client.time()
        return seconds - time.time()  # noqa: TID251  what it is ahead of


@pytest.fixture(params=KINDS)
def clock(request, tmp_path):
    """Start a server whose clock can be set."""
    clock = Clock(request.param, tmp_path)
    yield clock
    clock.server.close()


@pytest.fixture
def stage(clock, tmp_path):
    """Give a place for one flow."""
    return Stage(clock.server.url, clock.server.client, tmp_path)


@pytest.mark.parametrize("ahead", [1, -1], ids=["ahead", "back"])
def test_jump_under_those_who_live(stage, clock, ahead):
    """At most an atom is taken over without need, and each result counts once."""
    with stage.crew("mixed", LEASE_S, takes_s=0.01) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        clock.jump(ahead * JUMP_S)
        eventually(lambda: len(stage.notes) > 200, 30)
        clock.jump(0)
        reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    flow = stage.assert_ended("SUCCESS")
    assert sum(len(flow.taken_back(name)) for name in flow.atoms) <= 2 * 3


def test_jump_back_after_a_death(stage, clock):
    """What the dead one held lies about for its lease and the jump, and no longer."""
    gates = {"b": str(stage.gate("b"))}
    with stage.crew("line", LEASE_S, names=["a", "b"], gates=gates) as crew:
        victim = crew.start()
        eventually(lambda: stage.ran("b"), 30)
        other = crew.start()
        eventually(lambda: stage.admin.zcard(stage.keys.workers) == 1 + 2, 30)
        victim.kill()
        clock.jump(-JUMP_S)
        eventually(lambda: len(stage.ran("b")) == 2, LEASE_S + JUMP_S + 2 * SLACK_S)
        stage.gate("b").touch()
        assert other.report()["outcome"] == "SUCCESS"
    stage.assert_ended("SUCCESS", Counter({"b": 1}))


def test_jump_ahead_does_not_lose_a_task(stage, clock):
    """Everybody's lease is over at once: whoever renews first is not swept."""
    gates = {"b": str(stage.gate("b"))}
    with stage.crew("line", LEASE_S, names=["a", "b", "c"], gates=gates) as crew:
        crew.start()
        eventually(lambda: stage.ran("b"), 30)
        crew.start()
        eventually(lambda: stage.admin.zcard(stage.keys.idle) == 1 + 1, 30)
        clock.jump(3600)
        threading.Event().wait(2 * LEASE_S)
        stage.gate("b").touch()
        reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 2
    flow = stage.assert_ended("SUCCESS")
    assert len(flow.taken_back("b")) <= 1
    assert [claim.end for claim in flow.claims["b"]][-1] == "SUCCESS"
