"""Tasks that take their process with them cost three workers, and no more."""

from __future__ import annotations

import signal

import pytest

from tests.support.eventually import eventually
from tests.support.scenarios import local_run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

NAMES = ["a", "poison", "b"]
LEASE_S = 0.5


def _assert_given_up(stage, state, atom, kind):
    """Assert that an atom was tried three times, and failed with WorkerLost."""
    flow = stage.assert_ended(state)
    attempts = [note.attempt for note in stage.ran(atom) if note.kind == kind]
    assert attempts == [0, 1, 2]
    field = "failure" if kind == "execute" else "revert_failure"
    assert "WorkerLost" in flow.results[atom][field]
    assert stage.ran("b") == []
    return flow


@pytest.mark.parametrize(
    ("kind", "ends", "state"),
    [
        ("execute", {"poison": "die"}, "REVERTED"),
        ("revert", {"poison": "raise", "a": "die-reverting"}, "FAILURE"),
    ],
    ids=["execute", "revert"],
)
@pytest.mark.parametrize("late", [False, True], ids=["at-once", "after-the-lease"])
def test_nobody_reports(stage, kind, ends, state, late):
    """After three workers that nobody misses the atom has failed.

    One that comes at once joins the run of the dead; later, it starts the run again.
    """
    with stage.crew("line", LEASE_S, names=NAMES, ends=ends) as crew:
        for _ in range(3):
            assert crew.start().status() == -signal.SIGKILL
            if late:
                eventually(lambda: stage.abandoned)
        report = crew.start().report()
    assert report["outcome"] == state
    assert report["error"], "nothing was raised"
    atom = {"execute": "poison", "revert": "a"}[kind]
    flow = _assert_given_up(stage, state, atom, kind)
    if state == "REVERTED":
        assert flow.states == {"a": "REVERTED", "poison": "REVERTED", "b": "PENDING"}


def test_parent_reports(stage):
    """A parent replaces three workers, and then the flow reverts."""
    with local_run(stage, "line", names=NAMES, ends={"poison": "die"}) as local:
        assert local.run() == "REVERTED"
        assert local.deaths == 3
        with pytest.raises(Exception, match="has cost 3 workers"):
            local.raise_failures()
    _assert_given_up(stage, "REVERTED", "poison", "execute")
