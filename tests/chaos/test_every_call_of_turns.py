"""A worker is killed, paused or drained at each of its calls, whatever that is about.

The flow has a part that is tried again, a decider that says no, and a failure in the
end that reverts everything. Its journal is played again by TaskFlow's selector and
completer, with all that the fault has added to it.
"""

from __future__ import annotations

import signal

import pytest

from tests.support.crew import Crew
from tests.support.crowded_flows import turns
from tests.support.eventually import eventually
from tests.support.failpoints import FailPoint
from tests.support.replay import Replay
from tests.support.scenarios import Stage
from tests.support.verdict import broken_records

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

FACTORY = "tests.support.crowded_flows:make_turns"
LEASE_S = 0.3

#: Such a flow cannot be done with fewer calls.
FEWEST_CALLS = 40
#: Flows that are played at the same time: most of it is waiting for leases to end.
AT_A_TIME = 16

STATES = dict.fromkeys(turns().names, "REVERTED") | {"no": "IGNORE"}


@pytest.fixture
def where(server):
    """Say when it happens: before a call on one server, after it on the other."""
    return {"redis": "before", "valkey": "after"}[server.kind]


class Trial:
    """One flow, whose first worker gets a signal at one of its calls.

    Args:
        stage: where flows are.
        point: the call.
    """

    def __init__(self, stage, point):
        name = f"{point.number.name.lower()}-{point.nth}"
        folder = stage.folder / name
        folder.mkdir()
        self.stage = Stage(stage.url, stage.admin, folder, name)
        options = {"lease_s": LEASE_S}
        self.crew = Crew(stage.url, name, folder, FACTORY, {}, options)
        self.victim = self.crew.start(failpoint=point)
        self.other = None

    def go_on(self):
        """Send another worker to where the first one is not, or sleeps."""
        self.other = self.crew.start()

    def lapsed(self):
        """Whether the first one's lease is over, or the whole flow."""
        striker = self.stage.striker
        workers = self.stage.admin.zrange(self.stage.keys.workers, 0, -1)
        here = [worker for worker in workers if f":{self.victim.pid}:" in worker]
        return striker.over or not here

    def judge(self):
        """Assert that the flow has ended as it should."""
        assert self.other.report()["outcome"] == "REVERTED"
        flow = self.stage.flow
        assert flow.states == STATES
        assert broken_records(flow) == []
        replay = Replay(turns(), {})
        replay.play(flow.journal)
        assert not replay.halted
        seen = {entry.new for entry in flow.journal}
        assert {"RETRYING", "IGNORE", "REVERTED"} <= seen


def _killed(trial):
    """It is dead, and nobody is told."""
    assert trial.victim.status() == -signal.SIGKILL
    trial.go_on()


def _paused(trial):
    """It sleeps past its lease, and goes on in the middle of what others do."""
    eventually(lambda: trial.victim.stopped, 30)
    trial.go_on()
    eventually(trial.lapsed, 30)
    trial.victim.signal(signal.SIGCONT)
    assert trial.victim.report()["outcome"] == "REVERTED"


def _drained(trial):
    """It finishes what it has, and leaves the rest to others."""
    assert trial.victim.report()["outcome"] in (None, "REVERTED")
    trial.go_on()


FAULTS = {
    signal.SIGKILL: _killed,
    signal.SIGSTOP: _paused,
    signal.SIGTERM: _drained,
}


def _number_of_calls(stage, where):
    """Count the calls of a worker that nothing happens to."""
    trial = Trial(stage, FailPoint(0, where))
    with trial.crew:
        calls = trial.victim.report()["calls"]
        trial.go_on()
        trial.judge()
    return calls


@pytest.mark.parametrize("number", FAULTS, ids=lambda number: number.name)
def test_every_call(number, where, stage):
    """The flow ends with the right states, and no atom is owned twice."""
    calls = _number_of_calls(stage, where)
    assert calls > FEWEST_CALLS
    for first in range(1, calls + 1, AT_A_TIME):
        points = range(first, min(first + AT_A_TIME, calls + 1))
        trials = [Trial(stage, FailPoint(nth, where, number=number)) for nth in points]
        try:
            for trial in trials:
                FAULTS[number](trial)
            for trial in trials:
                trial.judge()
        finally:
            for trial in trials:
                trial.crew.__exit__(None, None, None)
