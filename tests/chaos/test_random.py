"""Storms: several workers, several flows, and blows that are drawn from the seed.

    make chaos SEED=n SECONDS=60

One storm follows the other until the time is over; what is drawn for each follows from
the seed and its number alone. A failing storm tells how to repeat it, what happened
when, and how the journals ended.
"""

from __future__ import annotations

from time import monotonic

import pytest

from tests.support.storm.drawing import draw_storm
from tests.support.storm.judging import judge, tell
from tests.support.storm.raging import Tempest

pytestmark = pytest.mark.chaos


def pytest_generate_tests(metafunc):
    """Give the storms the time that they are to take, and what the last one needs."""
    if "seconds" in metafunc.fixturenames:
        seconds = metafunc.config.option.seconds
        marks = pytest.mark.timeout(seconds + 240)
        metafunc.parametrize("seconds", [pytest.param(seconds, marks=marks, id="")])


def _weather(seed, number, folder):
    """Let one storm happen; returns what its blows have met."""
    folder.mkdir()
    with Tempest(draw_storm(seed, number), folder) as tempest:
        try:
            tempest.rage()
            broken = judge(tempest)
            assert not broken, "\n".join(broken)
        except BaseException as error:
            error.add_note(
                f"to repeat: make chaos SEED={seed} STORM={number}\n{tell(tempest)}"
            )
            raise
        return tempest.happened


def test_storms(seed, seconds, request, tmp_path):
    """Every flow comes to a legal end, and nothing that was acknowledged is lost."""
    only = request.config.option.storm
    if only is not None:
        _weather(seed, only, tmp_path / f"storm-{only}")
        return
    until, number, met = monotonic() + seconds, 0, 0
    while monotonic() < until:
        met += bool(_weather(seed, number, tmp_path / f"storm-{number}"))
        number += 1
    # The flows of a storm may be over before its first blow, but not those of most.
    assert met > number / 2, f"{met} of {number} storms have met anything"


def test_same_seed_same_storm():
    """Seed and number say what is drawn; another number, or seed, is another storm."""
    storms = [draw_storm(seed, number) for seed in (1, 2) for number in (0, 1)]
    again = [draw_storm(seed, number) for seed in (1, 2) for number in (0, 1)]
    assert storms == again
    assert len({repr(storm) for storm in storms}) == len(storms)
