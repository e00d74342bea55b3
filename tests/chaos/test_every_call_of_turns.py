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

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

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

    def dies(self):
        """It is dead, and nobody is told."""
        assert self.victim.status() == -signal.SIGKILL

    def stops(self):
        """It sleeps, with all that it holds."""
        eventually(lambda: self.victim.stopped, 30)

    def ends(self):
        """It finishes what it has, and leaves the rest to others."""
        assert self.victim.report()["outcome"] in (None, "REVERTED")

    def lapses(self):
        """Its lease is over, though nobody has looked."""
        eventually(lambda: self.stage.abandoned)

    def is_missed(self):
        """Its lease is over, and others have seen it; or the whole flow is over."""

        def missed():
            workers = self.stage.admin.zrange(self.stage.keys.workers, 0, -1)
            here = [worker for worker in workers if f":{self.victim.pid}:" in worker]
            return self.stage.striker.over or not here

        eventually(missed, 30)

    def goes_on(self):
        """Another worker comes to where the first one is not, or sleeps."""
        self.other = self.crew.start()

    def wakes(self):
        """It goes on in the middle of what others do, or after them."""
        self.victim.signal(signal.SIGCONT)

    def wakes_well(self):
        """It has seen the end, like all others."""
        assert self.victim.report()["outcome"] == "REVERTED"

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


KILL, STOP, DRAIN = signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM

#: The signal, and what happens then. Whoever comes before the lease is over joins the
#: run; later, it starts the run again.
COURSES = {
    "killed": (KILL, Trial.dies, Trial.goes_on),
    "killed-and-lapsed": (KILL, Trial.dies, Trial.lapses, Trial.goes_on),
    "paused": (
        *(STOP, Trial.stops, Trial.goes_on),
        *(Trial.is_missed, Trial.wakes, Trial.wakes_well),
    ),
    "drained": (DRAIN, Trial.ends, Trial.goes_on),
}


def _number_of_calls(stage, where):
    """Count the calls of a worker that nothing happens to."""
    trial = Trial(stage, FailPoint(0, where))
    with trial.crew:
        calls = trial.victim.report()["calls"]
        trial.goes_on()
        trial.judge()
    return calls


@pytest.mark.parametrize("course", COURSES)
def test_every_call(course, where, stage, chosen):
    """The flow ends with the right states, and no atom is owned twice."""
    number, *events = COURSES[course]
    calls = _number_of_calls(stage, where)
    assert calls > FEWEST_CALLS
    every = chosen(calls)
    for first in range(0, len(every), AT_A_TIME):
        points = (
            FailPoint(nth, where, number=number)
            for nth in every[first : first + AT_A_TIME]
        )
        trials = [Trial(stage, point) for point in points]
        try:
            for event in (*events, Trial.judge):
                for trial in trials:
                    event(trial)
        finally:
            for trial in trials:
                trial.crew.__exit__(None, None, None)
