"""What all chaos shares: a place for a flow, and lots drawn from the run's seed."""

from __future__ import annotations

import os

import pytest

from tests.support.scenarios import Stage
from tests.support.strikes import lots

#: How many times a random fault is tried. In CI it is the short form, in which deaths
#: have 20 schedules still: these on each of two servers, with a parent and without.
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "5" if os.environ.get("CI") else "20"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what asks for a round, each time with other lots."""
    if "chaos_round" in metafunc.fixturenames:
        metafunc.parametrize("chaos_round", range(ROUNDS))


@pytest.fixture
def stage(url, admin, tmp_path):
    """Give a place for one flow."""
    return Stage(url, admin, tmp_path)


@pytest.fixture
def draw(seed, request):
    """Draw lots, and say in the report of a failure how to draw the same again."""
    return lots(request, seed)
