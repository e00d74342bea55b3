"""note_act: what is done to a flow from outside, by whom and why, is journaled."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules
from tests.support.flows import submitted

#: Who asks, as which of its requests, and why.
ASKED = {"who": "db1:7:ann/3", "reason": "new data"}


def suspend(flow):
    """Suspend a flow that runs."""
    flow.line("a", "b").start()
    rest = {"to": "SUSPENDING", "act": "suspend", "since": flow.rev}
    return lambda: flow.call("flow_transition", **ASKED, **rest)


def cancel(flow):
    """Cancel a run that has begun."""
    flow.line("a", "b").start()
    return lambda: flow.call("flow_cancel", **ASKED)


def submit(flow):
    """Leave a flow to workers."""
    flow.line("a").create()
    return lambda: submitted(flow, "r1", **ASKED, act="submit")


def reset(flow):
    """Put back a task that is done."""
    flow.line("a", "b").start()
    flow.drive()
    rest = {"act": "reset", "since": flow.rev}
    return lambda: flow.on("a", "atom_restart", **ASKED, **rest)


def set_result(flow):
    """Give a task a result that it does not have."""
    flow.line("a", "b").start()
    rest = {"act": "set-result", "since": flow.rev, "state": "SUCCESS", "payload": "7"}
    return lambda: flow.on("a", "atom_override", **ASKED, **rest)


ACTS = [suspend, cancel, submit, reset, set_result]


def acts(flow):
    """Give what was done from outside, of all that is in the journal."""
    return [entry for entry in flow.journal() if "act" in entry]


@pytest.mark.parametrize("who", ["db1:7:corp/ann", "db1:7:corp/ann/3", "db1:ab/9.12"])
def test_who_asks_is_named_without_the_request(flow, who):
    """A request has a number of its own behind it; a user's name may have a slash."""
    flow.line("a", "b").start()
    flow.call("flow_cancel", **{**ASKED, "who": who})

    assert acts(flow)[0]["worker"] == {"db1:ab/9.12": "db1:ab"}.get(
        who, "db1:7:corp/ann"
    )


@pytest.mark.parametrize("prepare", ACTS)
def test_act_comes_before_what_it_changes(flow, prepare):
    """An entry of the flow that moves nothing, with a revision of its own."""
    act = prepare(flow)
    rev, (*before, last) = flow.rev, flow.journal()

    assert act()[0] in ("OK", "MOVED")

    entry, *_ = flow.journal()[len(before) + 1 :]
    told = {"act": prepare.__name__.replace("_", "-"), "reason": "new data"}
    assert entry.items() >= (told | {"worker": "db1:7:ann", "atom": ""}).items()
    assert (entry["from"], entry["to"], int(entry["rev"])) == (
        last["to"],
        last["to"],
        rev + 1,
    )
    assert len(acts(flow)) == 1
    assert broken_rules(flow) == []


@pytest.mark.parametrize("prepare", ACTS)
def test_sent_again_it_is_noted_once(flow, prepare):
    """Where the answer was lost, what is there already is not done again."""
    act = prepare(flow)
    act()
    flow.sent = "p 2 2"
    act()
    assert len(acts(flow)) == 1


@pytest.mark.parametrize(
    ("prepare", "status"),
    [(suspend, "IGNORED"), (cancel, "ENDED"), (submit, "ENDED"), (reset, "LIVE")],
)
def test_act_that_is_refused_leaves_no_note(flow, prepare, status):
    """Nothing was done."""
    act = prepare(flow)
    if prepare is reset:
        flow.start(run=2)
    else:
        flow.start()
        flow.drive()
    before = flow.contents()

    assert act()[0] == status
    assert flow.contents() == before


def test_result_that_is_refused_leaves_no_note(flow):
    """HELD: a worker has the task."""
    act = set_result(flow)
    flow.take()
    before = flow.contents()

    assert act()[0] == "HELD"
    assert flow.contents() == before


def test_transition_that_nobody_calls_an_act_is_no_act(flow):
    """Workers' own transitions say all by themselves."""
    flow.line("a").start()
    flow.call("flow_transition", to="SUSPENDING", who="w1/1")
    assert acts(flow) == []
