"""work_decide: what deciders have said is applied once, to the flow as it is now."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules

#: a and b have deciders; x comes after a, y after b, z after both of these.
LINKS = {
    "<f": ["a", "b"],
    "a": ["x"],
    "b": ["y"],
    "x": ["z"],
    "y": ["z"],
    "z": [">f"],
    ">f": [],
}


@pytest.fixture
def asked(flow):
    """Return a flow a -> b -> c whose b has deciders, and the item to ask them."""
    flow.line("a", "b", "c").ask("b").start("w1")
    flow.start("w2")
    return flow, flow.complete(flow.take().item, capacity=1).item


@pytest.fixture
def both(flow):
    """Return a running flow in which w1 asks for a, and w2 for b."""
    flow.graph(LINKS).ask("a", "b").start("w1")
    flow.start("w2")
    return flow, flow.take("w1").item, flow.take("w2").item


def test_atom_that_may_run_is_handed_out(asked):
    """OK: the same worker holds execute instead of decide, with a token of its own."""
    flow, item = asked
    rev = flow.rev
    assert (item.id, item.round, item.old_state) == ("00000002:decide", 0, "PENDING")

    handout = flow.handout(flow.decide(item))

    assert (handout.before, handout.rev, handout.state) == (rev, rev + 1, "RUNNING")
    assert (handout.next, handout.what) == ("WAIT", ["execute b"])
    assert (handout.item.token, handout.item.round) == (str(rev + 1), 1)
    assert flow.atom("b").items() >= {"state": "RUNNING", "owner": "w1"}.items()
    assert flow.claims() == {"00000002:execute": "w1"}
    (entry,) = flow.journal(since=rev)
    assert (entry["from"], entry["to"], entry["worker"]) == ("PENDING", "RUNNING", "w1")
    assert flow.members("ready") == []
    assert broken_rules(flow) == []
    flow.complete(handout.item)
    assert flow.drive() == ["execute c", "SUCCESS"]


def test_nay_for_the_atom_alone_opens_what_comes_after_it(asked):
    """OK with PLAN: it is left out, as if it were done; nobody owns it."""
    flow, item = asked
    rev = flow.rev

    assert flow.decide(item, "ATOM") == [
        *("OK", rev, rev + 1, "RUNNING", "PLAN", []),
    ]

    atom = {"state": "IGNORE", "intention": "IGNORE", "owner": ""}
    assert flow.atom("b").items() >= atom.items()
    assert flow.claims() == {}
    assert flow.hash("plan") == {"to_open": "2@1"}
    assert flow.hash("flow")["unfinished"] == "1"
    (entry,) = flow.journal(since=rev)
    assert (entry["from"], entry["to"], entry["worker"]) == ("PENDING", "IGNORE", "w1")
    assert broken_rules(flow) == []
    flow.step()
    assert flow.hash("plan") == {}
    assert flow.members("ready") == ["00000003:execute"]
    assert flow.drive() == ["execute c", "SUCCESS"]


@pytest.mark.parametrize(
    ("depth", "left_out"),
    [
        ("ATOM", {"a"}),
        ("NEIGHBORS", {"a", "b"}),
        ("FLOW", {"a", "b", "c"}),
        ("ALL", {"a", "b", "c", "d"}),
    ],
)
def test_nay_reaches_as_far_as_its_depth(flow, depth, left_out):
    """All that is left out is IGNORE; what is after it runs, and the run succeeds."""
    links = {"<f": ["a"], "a": ["b"], "b": ["c"], "c": [">g"], ">g": ["d"], "d": [">f"]}
    flow.graph(links | {">f": []}).ask("a").start()

    done = flow.drive(outcomes={"decide a": depth})

    rest = sorted(set("abcd") - left_out)
    assert done == ["decide a", *(f"execute {name}" for name in rest), "SUCCESS"]
    assert {n for n, state in flow.states().items() if state == "IGNORE"} == left_out
    assert broken_rules(flow) == []


def test_what_is_left_out_still_waits_for_others(both):
    """What is after both, z, does not pass before b is done, though ignored."""
    flow, first, second = both
    flow.decide(first, "ALL", "w1")
    flow.step()
    assert flow.states() == {
        **dict.fromkeys("axz", "IGNORE"),
        **dict.fromkeys("by", "PENDING"),
    }
    assert flow.hash("missing") == {"4": "1", "5": "1", "6": "1"}

    item = flow.handout(flow.decide(second, "", "w2")).item
    flow.complete(item, worker="w2")

    assert flow.drive() == ["execute y", "SUCCESS"]
    assert broken_rules(flow) == []


@pytest.mark.parametrize("depth", ["", "ATOM", "ALL"])
def test_repeated_answer_is_stale(asked, depth):
    """STALE: the second sending changes nothing, before the plan and after it."""
    flow, item = asked
    flow.decide(item, depth)
    for _ in range(2):
        before = flow.contents()

        assert flow.decide(item, depth) == ["STALE"]
        assert flow.contents() == before
        flow.step()
    if not depth:
        assert flow.take().what == ["execute b"]


def test_late_answer_is_stale(asked):
    """STALE: the item went to another worker, who asks anew."""
    flow, item = asked
    flow.sweep(dead="w1")
    again = flow.take("w2").item
    before = flow.contents()

    assert again.id == item.id
    for depth in ("", "ALL"):
        assert flow.decide(item, depth) == ["STALE"]
    assert flow.contents() == before
    assert flow.decide(again, "", "w2")[0] == "OK"


def test_atom_that_does_not_exist_has_no_claim(asked):
    """STALE: nothing is changed."""
    flow, item = asked
    before = flow.contents()

    claim = {"worker": "w1", "token": item.token, "item": item.id, "depth": ""}
    assert flow.on("d", "work_decide", **claim) == ["STALE"]
    assert flow.contents() == before


def test_yes_while_a_failure_is_resolved_is_put_back(both):
    """OK, but nothing is handed out: what the failure means may change the answer."""
    flow, first, second = both
    execute = flow.handout(flow.decide(second, "", "w2")).item
    flow.complete(execute, "FAILURE", worker="w2")
    flow.take("w2")
    rev = flow.rev

    reply = flow.decide(first, "", "w1")

    assert reply == ["OK", rev, rev + 1, "RUNNING", "WAIT", []]
    assert flow.atom("a").items() >= {"state": "PENDING", "owner": ""}.items()
    assert flow.members("ready") == ["00000001:decide"]
    assert broken_rules(flow) == []


def test_yes_while_the_flow_is_being_suspended_is_put_back(asked):
    """OK: it is not begun; the next run asks anew, since much may have changed."""
    flow, item = asked
    flow.call("flow_transition", to="SUSPENDING")
    rev = flow.rev

    assert flow.decide(item) == ["OK", rev, rev + 1, "SUSPENDING", "WAIT", []]

    assert flow.members("ready") == ["00000002:decide"]
    assert flow.drive() == ["SUSPENDED"]
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["decide b", "execute b", "execute c", "SUCCESS"]


def test_nay_while_the_flow_is_being_suspended_is_applied(asked):
    """OK: it is left out now, and the next run does not ask."""
    flow, item = asked
    flow.call("flow_transition", to="SUSPENDING")

    assert flow.decide(item, "ATOM")[3:5] == ["SUSPENDING", "PLAN"]

    assert flow.drive() == ["SUSPENDED"]
    flow.start("w1", run=2)
    assert flow.drive(run=2) == ["execute c", "SUCCESS"]


@pytest.mark.parametrize("depth", ["", "ATOM", "ALL"])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_answer_about_an_atom_that_is_to_be_reverted(both, depth, steps):
    """At any moment of a revert it is not begun, and keeps nobody from reverting."""
    flow, first, second = both
    execute = flow.handout(flow.decide(second, "", "w2")).item
    flow.complete(execute, "FAILURE", worker="w2")
    flow.resolve(flow.take("w2").item, "w2")
    for _ in range(steps):
        flow.call("plan_step")

    assert flow.decided(first, depth, "w1")[0] == "OK"

    assert broken_rules(flow) == []
    assert flow.atom("a")["owner"] == ""
    assert flow.drive() == ["revert b", "REVERTED"]
    assert broken_rules(flow) == []


@pytest.mark.parametrize("depth", ["", "ATOM", "ALL"])
def test_answer_comes_while_its_flow_is_reverted_for_another_try(flow, depth):
    """?r tries again though a's deciders were being asked: a is asked once more."""
    flow.layers(["?r"], ["a", "b"]).ask("a").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item)
    first = flow.take("w1").item
    flow.complete(flow.take("w2").item, "FAILURE", worker="w2")
    flow.resolve(flow.take("w2").item, "w2", "RETRY ?r")

    flow.decided(first, depth, "w1")

    assert broken_rules(flow) == []
    done = flow.drive()
    assert sorted(done[:-1]) == [
        *("decide a", "execute a", "execute b", "retry ?r", "revert b"),
    ]
    assert done[-1] == "SUCCESS"
    assert broken_rules(flow) == []


@pytest.mark.parametrize("steps", [0, 1])
def test_two_nays_of_one_depth_reach_as_far_as_both(both, steps):
    """The second does not put an end to what the first has begun."""
    flow, first, second = both
    flow.decide(first, "NEIGHBORS", "w1")
    for _ in range(steps):
        flow.call("plan_step")
    flow.decided(second, "NEIGHBORS", "w2")

    assert broken_rules(flow) == []
    assert flow.drive() == ["execute z", "SUCCESS"]
    assert flow.states() == {**dict.fromkeys("abxy", "IGNORE"), "z": "SUCCESS"}


@pytest.mark.parametrize("depth", ["", "ATOM", "ALL"])
def test_answer_during_another_plan_waits_for_it(both, depth):
    """PLANNED: nothing is changed, and the item stays with its worker."""
    flow, first, second = both
    flow.decide(first, "ALL", "w1")
    rev, before = flow.rev, flow.contents()

    assert flow.decide(second, depth, "w2") == ["PLANNED", rev, rev]
    assert flow.contents() == before
    flow.step()
    assert flow.decide(second, depth, "w2")[0] == "OK"


@pytest.mark.parametrize("depths", [("NEIGHBORS", "ALL"), ("ALL", "NEIGHBORS")])
def test_two_nays_of_different_depths_come_one_after_the_other(both, depths):
    """Each reaches as far as it says."""
    flow, first, second = both
    flow.decide(first, depths[0], "w1")

    flow.decided(second, depths[1], "w2")

    assert broken_rules(flow) == []
    assert flow.drive() == ["SUCCESS"]
    assert flow.states() == dict.fromkeys("abxyz", "IGNORE")


def test_nay_does_not_put_an_end_to_the_revert_of_a_flow(flow):
    """The revert of ?r's flow goes on, and the nay outside it comes after its marks."""
    links = {"<f": ["?r", "a"], "?r": ["b"], "b": [">f"], "a": ["x"], "x": [">f"]}
    flow.graph(links | {">f": []}).ask("a").start("w1")
    flow.start("w2")
    items = {str(item): item for item in flow.take("w1", capacity=2).items}
    flow.complete(items["execute ?r"])
    failing = flow.take("w2").item
    flow.complete(failing, "FAILURE", worker="w2")
    flow.resolve(flow.take("w2").item, "w2", "RETRY ?r")

    flow.decided(items["decide a"], "ALL", "w1")

    assert broken_rules(flow) == []
    done = flow.drive()
    assert sorted(done[:-1]) == ["execute b", "retry ?r", "revert b"]
    assert done[-1] == "SUCCESS"
    assert flow.states() == {
        **dict.fromkeys(["?r", "b"], "SUCCESS"),
        **dict.fromkeys("ax", "IGNORE"),
    }


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("depth", ["", "ATOM"])
def test_answer_while_all_is_counted_anew_opens_nothing_too_early(flow, depth, steps):
    """After an edit a pass counts, 200 nodes a step: z waits for a and for q."""
    many = [f"t{number}" for number in range(200)]
    links = {"<f": ["q", *many, "a"], "q": ["z"], **{n: [">f"] for n in many}}
    links |= {"a": ["z"], "z": [">f"], ">f": []}
    flow.graph(links, {"a": 1}).ask("a").start()
    item = flow.take().item
    flow.on("t9", "atom_transition", state="SUCCESS")
    for _ in range(steps):
        flow.call("plan_step")

    assert flow.decided(item, depth)[0] == "OK"

    assert broken_rules(flow) == []
    flow.step()
    flow.take()  # what is not to be done stands no longer among what is ready
    assert flow.hash("missing")["203"] == ("1" if _left_out(flow, "a") else "2")
    done = flow.drive(capacity=50)
    assert done.index("execute z") > done.index("execute q")
    assert done.count("execute a") + _left_out(flow, "a") == 1
    assert done[-1] == "SUCCESS"
    assert broken_rules(flow) == []


@pytest.mark.parametrize("depth", ["", "ATOM", "ALL"])
def test_answer_about_an_atom_that_waits_again_is_not_applied(asked, depth):
    """OK, but a is done anew after an edit: only then are b's deciders asked again."""
    flow, item = asked
    flow.on("a", "atom_transition", state="PENDING")
    flow.step()

    reply = flow.decide(item, depth)

    assert (reply[0], reply[4:]) == ("OK", ["WAIT", []])
    assert flow.atom("b").items() >= {"state": "PENDING", "owner": ""}.items()
    assert broken_rules(flow) == []
    assert flow.drive() == [
        *("execute a", "decide b", "execute b", "execute c", "SUCCESS"),
    ]


def _left_out(flow, name):
    """Tell whether an atom is left out."""
    return flow.atom(name)["state"] == "IGNORE"
