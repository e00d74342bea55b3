"""A worker is killed when it holds what no atom is: a start, a plan, a decision."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.support.failpoints import FailPoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LEASE_S = 0.5
MANY = 1000
#: More than one call brings, and less than the machine minds.
SOME = 600
NAMES = ["a", "b", "c"]
LINE = ("line", {"names": NAMES})
FAILING = ("line", {"names": NAMES, "ends": {"c": "raise"}})
WIDE = ("wide", {"count": MANY})
LOADED = ("wide", {"count": SOME})
OPENED = ("independent", {"count": SOME})
WIDE_FAILING = ("wide", {"count": SOME, "last": "raise"})


def _plan_has(name):
    """Look for a field of the plan."""

    def look(stage):
        return stage.admin.hexists(stage.keys.plan, name)

    return look


def _holds(what):
    """Look for a claim of such an item."""

    def look(stage):
        return any(item.endswith(what) for item in stage.admin.hkeys(stage.keys.claims))

    return look


def _starting(stage):
    """Look for somebody who starts the run, with the structure half there."""
    known = stage.admin.hget(stage.keys.flow, "nodes")
    there = stage.admin.hlen(stage.keys.graph) - 1
    return stage.admin.hexists(stage.keys.flow, "starter") and 0 < there < int(known)


def _launching(stage):
    """Look for a start that has its structure."""
    return _plan_has("launch")(stage)


def _marking(stage):
    """Look for a plan that goes over all nodes."""
    return _plan_has("phases")(stage) and not _launching(stage)


MOMENTS = {
    "loading": (LOADED, FailPoint(2, "before", "graph_save"), _starting, "SUCCESS"),
    "loading-2": (LOADED, FailPoint(1, "after", "graph_save"), _starting, "SUCCESS"),
    "launching": (LOADED, FailPoint(1, "before", "plan_step"), _launching, "SUCCESS"),
    "launching-2": (OPENED, FailPoint(3, "after", "plan_step"), _launching, "SUCCESS"),
    "opening": (
        WIDE,
        FailPoint(1, "before", "plan_step", since="work_take"),
        _plan_has("to_open"),
        "SUCCESS",
    ),
    "opening-2": (
        WIDE,
        FailPoint(1, "after", "plan_step", since="work_take"),
        _plan_has("to_open"),
        "SUCCESS",
    ),
    "marking": (
        WIDE_FAILING,
        FailPoint(1, "before", "plan_step", since="work_resolve"),
        _marking,
        "REVERTED",
    ),
    "marking-2": (
        WIDE_FAILING,
        FailPoint(3, "after", "plan_step", since="work_resolve"),
        _marking,
        "REVERTED",
    ),
    "clearing": (
        WIDE_FAILING,
        FailPoint(6, "after", "plan_step", since="work_resolve"),
        _marking,
        "REVERTED",
    ),
    "resolving": (
        FAILING,
        FailPoint(1, "before", "work_resolve"),
        _holds(":resolve"),
        "REVERTED",
    ),
    "reverting": (
        FAILING,
        FailPoint(2, "before", "work_complete", since="work_resolve"),
        _holds(":revert"),
        "REVERTED",
    ),
    "finishing": (
        LINE,
        FailPoint(1, "before", "flow_finish"),
        _holds("finish"),
        "SUCCESS",
    ),
    "finishing-2": (
        FAILING,
        FailPoint(1, "before", "flow_finish"),
        _holds("finish"),
        "REVERTED",
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_moment(stage, moment):
    """Two others end what the dead one was about to do."""
    (factory, kwargs), failpoint, look, state = MOMENTS[moment]
    with stage.crew(factory, LEASE_S, **kwargs) as crew:
        assert crew.start(failpoint=failpoint).status() == -signal.SIGKILL
        assert look(stage), "it was killed at another moment"
        others = [crew.start() for _ in range(2)]
        assert [other.report()["outcome"] for other in others] == [state] * 2
    flow = stage.assert_ended(state)
    ran = Counter(
        (note.atom, note.kind) for note in stage.notes if note.phase == "begin"
    )
    twice = {what: count for what, count in ran.items() if count > 1}
    assert sum(twice.values()) <= 2, twice
    if state == "SUCCESS":
        assert set(flow.states.values()) == {"SUCCESS"}


@pytest.mark.parametrize(
    "failpoint",
    [
        FailPoint(1, "after", "flow_start"),
        FailPoint(1, "before", "plan_step"),
        FailPoint(1, "after", "plan_step"),
        FailPoint(2, "after", "plan_step"),
    ],
    ids=["started", "before-the-reset", "in-the-reset", "later-in-the-reset"],
)
def test_second_run_of_a_reverted_flow(stage, failpoint):
    """One is killed while it resets the atoms; they are reset, and run once more."""
    with stage.crew("wide", LEASE_S, count=400, last="raise") as crew:
        assert crew.start().report()["outcome"] == "REVERTED"
        victim = crew.start(rerun=True, failpoint=failpoint)
        assert victim.status() == -signal.SIGKILL
        assert crew.start(rerun=True).report()["outcome"] == "REVERTED"
    flow = stage.assert_ended("REVERTED")
    assert flow.fields["run"] == "2"
    ran = Counter(note.atom for note in stage.notes if note.kind == "execute")
    assert ran["last"] == 2, "the second run did nothing"
