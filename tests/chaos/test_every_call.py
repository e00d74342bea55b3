"""A worker is killed at each of its calls to the server, before and after it."""

from __future__ import annotations

import contextlib
import signal

import pytest

from tests.support.failpoints import FailPoint
from tests.support.scenarios import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

NAMES = ["a", "b", "c", "d"]
STATES = {"a": "REVERTED", "b": "REVERTED", "c": "REVERTED", "d": "PENDING"}
LEASE_S = 0.3

#: A flow of four atoms with a revert cannot be done with fewer calls.
FEWEST_CALLS = 15
#: Flows that are played at the same time.
AT_A_TIME = 8


@pytest.fixture
def crew_of(stage):
    """Make a crew on a flow of its own: four atoms, of which the third fails."""

    def crew_of(name: str):
        folder = stage.folder / name
        folder.mkdir()
        own = Stage(stage.url, stage.admin, folder, name)
        return own, own.crew("line", LEASE_S, names=NAMES, ends={"c": "raise"})

    return crew_of


def _assert_reverted(stage, deaths):
    """Assert that the flow has ended as it should, with one more run per death."""
    flow = stage.assert_ended("REVERTED")
    assert flow.states == STATES
    for name in NAMES:
        for kind in ("execute", "revert"):
            ran = [note for note in stage.ran(name) if note.kind == kind]
            assert len(ran) <= 1 + deaths


@pytest.mark.parametrize("where", ["before", "after"])
def test_alone(crew_of, where, chosen):
    """It dies alone with all that it holds; one that comes later ends the flow."""
    stage, crew = crew_of("undisturbed")
    with crew:
        calls = crew.start(failpoint=FailPoint(0, where)).report()["calls"]
    _assert_reverted(stage, deaths=0)
    assert calls > FEWEST_CALLS
    every = chosen(calls)
    for first in range(0, len(every), AT_A_TIME):
        with contextlib.ExitStack() as crews:
            trials = []
            for nth in every[first : first + AT_A_TIME]:
                stage, crew = crew_of(f"{where}-{nth}")
                crews.enter_context(crew)
                trials.append(
                    (stage, crew, crew.start(failpoint=FailPoint(nth, where)))
                )
            for _stage, crew, victim in trials:
                assert victim.status() == -signal.SIGKILL
                crew.start()
            for stage, crew, _victim in trials:
                assert crew.members[-1].report()["outcome"] == "REVERTED"
                _assert_reverted(stage, deaths=1)


@pytest.mark.parametrize("where", ["before", "after"])
def test_in_company(crew_of, where, chosen):
    """It dies among others, who go on without being told."""
    deaths = 0
    struck = chosen(2 * FEWEST_CALLS)
    for nth in struck:
        stage, crew = crew_of(f"{where}-{nth}")
        with crew:
            victim = crew.start(failpoint=FailPoint(nth, where))
            assert crew.start().report()["outcome"] == "REVERTED"
            died = victim.status() == -signal.SIGKILL
        _assert_reverted(stage, deaths=int(died))
        deaths += died
    assert deaths > len(struck) // 4
