"""Workers that die, stop or come late; a small part of what tests/chaos does."""

from __future__ import annotations

import pytest

from tests.support.scenarios import (
    Stage,
    come_late,
    kill_at_random,
    pause,
    suspend_from_outside,
)
from tests.support.strikes import lots


@pytest.fixture
def stage(url, admin, tmp_path):
    """Give a place for one flow."""
    return Stage(url, admin, tmp_path)


def test_workers_killed_at_random(stage, seed, request):
    """Workers die with what they hold, and others finish the flow."""
    kill_at_random(stage, lots(request, seed), kills=3)


@pytest.mark.parametrize(
    ("names", "ends", "state"),
    [(["a", "b"], {}, "SUCCESS"), (["a", "b", "c"], {"b": "raise"}, "REVERTED")],
    ids=["success", "reverted"],
)
def test_coming_late(stage, names, ends, state):
    """Whoever comes after the end gets the outcome, and changes nothing."""
    come_late(stage, names, ends, state)


@pytest.mark.one_server
def test_suspend_from_outside(stage):
    """All workers stop with the task at hand; later others go on where they stopped."""
    suspend_from_outside(stage)


def test_paused_worker(stage):
    """A worker that slept past its lease is refused when it wakes up."""
    pause(stage, wakes="after")
