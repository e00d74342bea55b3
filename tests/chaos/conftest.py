"""What all chaos shares: a place for a flow, and lots drawn from the run's seed."""

from __future__ import annotations

import os

import pytest

from tests.support.own_server import OwnServer
from tests.support.scenarios import Stage
from tests.support.servers import KINDS
from tests.support.strikes import lots

#: How many times a random fault is tried. In CI it is the short form, in which deaths
#: have 20 schedules still: these on each of two servers, with a parent and without.
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "5" if os.environ.get("CI") else "20"))

#: In CI one call in so many is struck, from one that the seed chooses.
STRIDE = 3 if os.environ.get("CI") else 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what asks for a round, each time with other lots."""
    if "chaos_round" in metafunc.fixturenames:
        metafunc.parametrize("chaos_round", range(ROUNDS))


@pytest.fixture
def stage(url, admin, tmp_path):
    """Give a place for one flow."""
    return Stage(url, admin, tmp_path)


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """Start a server that appends to a file, and can be treated badly."""
    options = ("--appendonly", "yes", "--enable-debug-command", "yes")
    server = OwnServer(request.param, tmp_path / "server", *options)
    yield server
    server.close()


@pytest.fixture
def draw(seed, request):
    """Draw lots, and say in the report of a failure how to draw the same again."""
    return lots(request, seed)


@pytest.fixture
def chosen(draw):
    """Choose which of a worker's calls are struck, each in a flow of its own."""

    def chosen(calls):
        return range(draw.randint(1, STRIDE), calls + 1, STRIDE)

    return chosen
