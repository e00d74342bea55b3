"""The tables of transitions: Lua's agree with TaskFlow's for every pair of states."""

from __future__ import annotations

import pytest
from taskflow import exceptions, states

from tests.support.flow_view import uuid_of

FLOW_STATES = (
    states.PENDING,
    states.RUNNING,
    states.SUCCESS,
    states.FAILURE,
    states.REVERTED,
    states.SUSPENDING,
    states.SUSPENDED,
    states.RESUMING,
)
ATOM_STATES = (
    states.PENDING,
    states.RUNNING,
    states.SUCCESS,
    states.FAILURE,
    states.REVERTING,
    states.REVERTED,
    states.REVERT_FAILURE,
    states.RETRYING,
    states.IGNORE,
)


def flow_verdict(old: str, new: str) -> str:
    """Say what TaskFlow makes of a flow's transition."""
    try:
        return "MOVED" if states.check_flow_transition(old, new) else "IGNORED"
    except exceptions.InvalidState:
        return "INVALID"


def test_all_states_are_covered():
    """No state that TaskFlow's own tables name is left out here."""
    pairs = states._ALLOWED_FLOW_TRANSITIONS | states._IGNORED_FLOW_TRANSITIONS
    assert {state for pair in pairs for state in pair} == set(FLOW_STATES)
    pairs = states._ALLOWED_RETRY_TRANSITIONS
    assert {state for pair in pairs for state in pair} == set(ATOM_STATES)


@pytest.mark.parametrize("old", FLOW_STATES)
def test_flow_transitions_agree(new_flow, old):
    """MOVED, IGNORED and INVALID are TaskFlow's True, False and InvalidState."""
    found, expected = {}, {}
    for new in (*FLOW_STATES, "NONSENSE"):
        flow = new_flow()
        flow.create(state=old)
        found[new] = flow.call("flow_transition", to=new)[:2]
        expected[new] = [flow_verdict(old, new), old]

    assert found == expected


@pytest.mark.parametrize("old", ATOM_STATES)
@pytest.mark.parametrize(
    ("name", "allowed"),
    [("a", states.check_task_transition), ("?a", states.check_retry_transition)],
)
def test_atom_transitions_agree(flow, name, allowed, old):
    """A checked transition of a task or retry is made where TaskFlow allows it."""
    flow.create()
    flow.ensure(name)
    found, expected = {}, {}
    for new in (*ATOM_STATES, "NONSENSE"):
        flow.client.execute("HSET", flow.keys.atom(uuid_of(name)), "state", old)
        found[new] = flow.on(name, "atom_transition", state=new, checked=1)[0]
        expected[new] = "MOVED" if allowed(old, new) else "INVALID"
        if new == old:
            expected[new] = "SAME"

    assert found == expected
