"""Requests and replies are lost at random; nobody dies, so nothing runs twice."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.support.proxy import Mode, Proxy
from tests.support.scenarios import Stage
from tests.support.workloads import MIXED_ATOMS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LEASE_S = 10.0
MODES: tuple[Mode, ...] = ("drop_request", "drop_reply", "half_reply")


class Lossy(Proxy):
    """A proxy that spoils scripts at random.

    Args:
        server_port: where it passes on to.
        draw: decides what is spoiled, and how.
        share: how many of all scripts.
    """

    def __init__(self, server_port: int, draw: random.Random, share: float) -> None:
        self._draw = draw
        self._share = share
        self.modes: Counter[Mode] = Counter()
        super().__init__(server_port)

    def fate(self, request: bytes) -> Mode | None:
        """Decide what becomes of a request, and count it."""
        with self._lock:
            if b"EVALSHA" not in request or self._draw.random() >= self._share:
                return None
            mode = self._draw.choice(MODES)
            self.modes[mode] += 1
            return mode


@pytest.mark.usefixtures("chaos_round")
def test_lost_replies(stage, server, namespace, draw):
    """What was handed out and lost comes again; what was done is not done again."""
    with Lossy(server.port, draw, share=draw.choice([0.03, 0.1, 0.2])) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0?namespace={namespace}"
        lossy = Stage(url, stage.admin, stage.folder)
        with lossy.crew("mixed", LEASE_S, takes_s=0.0) as crew:
            for _ in range(3):
                crew.start()
            reports = [member.report() for member in crew.members]
        assert set(proxy.modes) == set(MODES), "nothing was lost"
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    # One that came when all was done has nothing to tell.
    assert sum(report["statistics"].get("stale", 0) for report in reports) == 0
    stage.assert_ended("SUCCESS")
    ran = Counter((note.atom, note.phase) for note in stage.notes)
    assert set(ran.values()) == {1}
    assert len(ran) == 2 * MIXED_ATOMS
