"""Workers die, stop or come late at random moments of a flow of 200 atoms."""

from __future__ import annotations

import pytest

from tests.support.scenarios import (
    come_late,
    kill_at_random,
    kill_at_random_with_parent,
    pause,
    wake_and_go_on,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.mark.usefixtures("chaos_round")
def test_nobody_reports_deaths(stage, draw):
    """Leases end and are swept: the flow is done, and nothing twice without need."""
    fails, threads = draw.random() < 0.4, draw.choice([1, 3])
    kill_at_random(stage, draw, kills=draw.randint(2, 6), fails=fails, threads=threads)


@pytest.mark.usefixtures("chaos_round")
def test_parent_reports_deaths(stage, draw):
    """A parent tells the flow of each death, so that nobody waits for a lease."""
    kill_at_random_with_parent(stage, draw, kills=draw.randint(2, 4))


@pytest.mark.parametrize(
    ("ends", "state"),
    [
        ({}, "SUCCESS"),
        ({"a": "raise"}, "REVERTED"),
        ({"c": "raise"}, "REVERTED"),
        ({"c": "raise", "b": "raise-reverting"}, "FAILURE"),
    ],
    ids=["success", "first-fails", "last-fails", "revert-fails"],
)
def test_coming_late(stage, ends, state):
    """Whoever comes after the end gets the outcome, and changes nothing."""
    come_late(stage, ["a", "b", "c"], ends, state)


@pytest.mark.parametrize("wakes", ["during", "after"])
def test_paused_worker(stage, wakes):
    """A worker that slept past its lease is refused when it wakes up."""
    pause(stage, wakes=wakes)


def test_waking_up_alone(stage):
    """A worker that slept past its lease works on like any other."""
    wake_and_go_on(stage)
