"""plan_step: a change of many records, a part at a time, by whoever comes."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules, missing_by_states
from tests.support.flow_view import uuid_of

MANY = [f"t{number:04}" for number in range(1000)]


def test_nothing_planned_is_done(flow):
    """DONE: without a plan nothing happens, however often it is asked."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("plan_step") == ["DONE", []]
    assert flow.contents() == before


def test_last_step_of_a_launch_tells_the_transition(flow):
    """DONE: who makes the last step tells its engine that the flow runs; once."""
    flow.line("a").create()
    flow.ensure("a")
    flow.come("w1")
    flow.load("w1")
    flow.call("flow_launch", worker="w1")
    steps = [flow.call("plan_step")]
    while steps[-1] == ["MORE"]:
        steps.append(flow.call("plan_step"))

    assert steps[-1] == ["DONE", ["PENDING", "RUNNING"]]
    assert flow.call("plan_step") == ["DONE", []]


def test_wide_fan_out_is_opened_in_steps(flow):
    """MORE: the cursor stays with the plan, and nothing is handed out meanwhile."""
    flow.layers(["a"], MANY).start()
    handout = flow.complete(flow.take().item, capacity=5)
    assert (handout.items, handout.next) == ([], "PLAN")
    assert flow.take().next == "PLAN"

    assert flow.call("plan_step") == ["MORE"]
    assert 30 < len(flow.members("ready")) < 1000
    assert flow.step() >= 1

    assert len(flow.members("ready")) == 1000
    assert flow.hash("plan") == {}
    assert broken_rules(flow) == []


def test_two_callers_share_one_cursor(flow):
    """Steps of several workers in turn do together what one would have done."""
    flow.layers(["a"], MANY, ["z"]).start()
    flow.complete(flow.take().item)
    workers = [f"w{number % 2}" for number in range(40)]
    answers = [flow.call("plan_step", who=worker)[0] for worker in workers]

    assert answers == sorted(answers, reverse=True)
    assert "MORE" in answers
    assert flow.members("ready") == [
        f"{number:08}:execute" for number in range(2, 1002)
    ]
    assert flow.hash("missing") == {"1002": "1000", "1003": "1"}


def test_plan_survives_its_worker(flow):
    """Another worker carries on where the dead one stopped."""
    flow.layers(["a"], MANY).start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item)
    flow.call("plan_step", who="w1")
    flow.lapse("w1")
    flow.sweep()

    assert flow.take("w2").next == "PLAN"
    flow.step("w2")

    assert len(flow.members("ready")) == 1000


def test_idle_workers_hear_when_it_is_done(flow):
    """DONE leaves a hint to all that wait, and they wait no longer."""
    flow.layers(["a"], MANY).start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    flow.take("w2")
    assert flow.complete(item, capacity=1).next == "PLAN"
    answers = [flow.call("plan_step")]
    while answers[-1] == ["MORE"]:
        answers.append(flow.call("plan_step"))

    assert answers[-1] == ["DONE", []]
    assert list(flow.hints()) == ["w2"]
    assert flow.members("idle") == []


def test_gate_in_the_middle_of_a_wide_fan_out_is_passed(flow):
    """Gates that open late in a plan open what is behind them, too."""
    gates = [f"<{number}" for number in range(450)]
    links = {"<f": gates, **{gate: ["z"] for gate in gates}, "z": [">f"], ">f": []}
    flow.graph(links).start()

    assert flow.drive() == ["execute z", "SUCCESS"]


def test_marking_and_counting_for_a_revert_take_several_steps(flow):
    """Everything is told to revert, then offered, in parts of a bounded size."""
    flow.fan(*MANY).start()
    done = flow.take(capacity=3)
    for item in done.items[:2]:
        flow.complete(item)
    flow.complete(done.items[2], "FAILURE")
    flow.resolve(flow.take().item)

    assert flow.step() > 5
    assert {flow.atom(name)["intention"] for name in MANY[::100]} == {"REVERT"}
    assert [item[-7:] for item in flow.members("ready")] == [":revert"] * 3
    assert flow.drive(capacity=3)[-1] == "REVERTED"


def test_completion_during_a_pass_is_counted_once(flow):
    """A node completed before or behind the cursor opens its successors, once."""
    flow.layers(MANY[:300], ["z"]).start()
    items = flow.take(capacity=200).items
    flow.on(MANY[299], "atom_transition", state="SUCCESS")
    flow.complete(items[0])
    flow.call("plan_step")
    flow.complete(items[1])
    flow.complete(items[199])
    flow.step()

    assert flow.hash("missing")["301"] == "296"
    for item in items[2:199]:
        flow.complete(item)
    assert flow.drive(capacity=200)[-2:] == ["execute z", "SUCCESS"]
    assert broken_rules(flow) == []


def test_node_done_half_way_through_its_links_holds_none_of_them_back(flow):
    """A pass that had to stop at a's many links finds a done when it goes on."""
    names = [*MANY, "z"]
    links = {"<f": ["a", "b"], "a": MANY, "b": ["z"], **{n: [">f"] for n in names}}
    flow.graph(links | {">f": []}).start()
    first, second = flow.take(capacity=2).items
    flow.on("z", "atom_transition", intention="IGNORE", state="")
    flow.on("z", "atom_transition", intention="EXECUTE", state="")
    assert flow.call("plan_step") == ["MORE"]
    assert int(flow.hash("plan")["offset"]) > 1

    flow.complete(first)
    flow.step()

    assert flow.hash("missing") == missing_by_states(flow)
    assert len(flow.members("ready")) == len(MANY)
    flow.complete(second)
    assert flow.drive(capacity=100)[-2:] == ["execute z", "SUCCESS"]
    assert broken_rules(flow) == []


def test_node_reverted_half_way_through_its_links_holds_none_of_them_back(flow):
    """The same backwards: all that z depends on may be reverted once z is."""
    flow.layers(MANY[:450], ["z"]).start("w1")
    flow.start("w2")
    for _ in range(3):
        for item in flow.take(capacity=200).items:
            flow.complete(item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    item = flow.take().item
    flow.on(MANY[0], "atom_transition", intention="EXECUTE", state="")
    flow.on(MANY[0], "atom_transition", intention="REVERT", state="")
    while int(flow.hash("plan").get("offset", 1)) == 1:
        assert flow.call("plan_step") == ["MORE"]

    flow.complete(item, "REVERTED")
    flow.step()

    assert len(flow.members("ready")) == 450
    assert flow.drive(capacity=100)[-1] == "REVERTED"
    assert broken_rules(flow) == []


# What a controller's turn undoes


def controlled(flow, sets):
    """Make sets of a controller and its task, side by side, between two gates."""
    names = [(f"?r{number}", f"t{number}") for number in range(sets)]
    links = {"<f": [controller for controller, _ in names]}
    for controller, task in names:
        links |= {controller: [task], task: [">f"]}
    return flow.graph(links | {">f": []}).start()


@pytest.mark.parametrize("sets", [3, 150])
def test_only_what_comes_after_the_controller_is_counted(flow, sets):
    """As many steps in a small flow as in a large one; a wide gate takes one more."""
    controlled(flow, sets)
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item, how="RETRY ?r0")

    assert flow.step() <= 5

    assert flow.members("ready")[0] == "00000002:revert"
    assert flow.hash("missing")["1:revert"] == "1"
    assert broken_rules(flow) == []
    flow.complete(flow.take().item, "REVERTED")
    flow.retry(flow.take().item)
    assert flow.step() <= 3
    assert broken_rules(flow) == []


def test_what_no_longer_passes_holds_back_behind_gates(flow):
    """With a undone, c waits for the gate behind a once more, not only for b."""
    links = {"<f": ["?r"], "?r": ["a", "b"], "a": ["<g"], "<g": [">g"], ">g": ["c"]}
    flow.graph(links | {"b": ["c"], "c": [">f"], ">f": []}).start()
    flow.complete(flow.take().item)
    first, second = flow.take(capacity=2).items
    assert (first.name, second.name) == ("a", "b")
    flow.complete(first)
    assert flow.hash("missing")["6"] == "1"
    flow.complete(second, "FAILURE")

    flow.resolve(flow.take().item, how="RETRY ?r")
    flow.step()

    waits = {"2": "1", "3": "1", "4": "1", "5": "1", "6": "2", "7": "1"}
    assert flow.hash("missing").items() >= waits.items()
    assert broken_rules(flow) == []
    assert flow.drive() == [
        *("revert a", "revert b", "retry ?r"),
        *("execute a", "execute b", "execute c", "SUCCESS"),
    ]


def test_revert_that_ends_while_it_is_counted_is_counted_once(flow):
    """Between two steps of a plan that counts b as well, b is reverted."""
    links = {"<f": ["?r"], "?r": ["?s"], "?s": ["a"], "a": ["b"], "b": [">f"]}
    flow.graph(links | {">f": []}).start("w1")
    flow.start("w2")
    for _ in "rs":
        flow.complete(flow.take().item)
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item, how="RETRY ?s")
    flow.step()
    reverting = flow.take().item
    assert str(reverting) == "revert b"
    # Another failure, as after an edit, asks for more to be undone meanwhile.
    flow.client.execute("HSET", flow.keys.claims, "00000002:resolve", "w2 9")
    claim = {"worker": "w2", "token": "9", "item": "00000002:resolve"}
    reply = flow.call(
        "work_resolve", strategy="RETRY", controller=uuid_of("?r"), **claim
    )
    assert reply[0] == "OK"
    assert flow.call("plan_step", who="w2")[0] == "MORE"

    flow.complete(reverting, "REVERTED", capacity=0)
    assert flow.hash("plan")["to_clear"] == "4@1"
    flow.step()

    assert "to_clear" not in flow.hash("plan")
    assert flow.hash("missing").get("3:revert") is None
    assert flow.hash("missing")["2:revert"] == "1"
    assert broken_rules(flow) == []
    assert flow.drive()[:4] == ["revert a", "revert ?s", "retry ?r", "execute ?s"]


# What comes to its end while a pass is on


def test_a_revert_that_ends_during_a_pass_releases_nothing_too_early(flow):
    """A gate that the pass has not come to holds back what is before it."""
    bunch = [f"b{number}" for number in range(25)]
    flow.graph(
        {
            "<f": ["p"],
            "p": ["<u"],
            "<u": ["<s1", "<s2"],
            "<s1": bunch,
            **{name: [">s1"] for name in bunch},
            ">s1": [">u"],
            "<s2": ["s"],
            "s": ["t"],
            "t": [">s2"],
            ">s2": [">u"],
            ">u": ["z"],
            "z": [">f"],
            ">f": [],
        }
    ).start("w1")
    flow.start("w2")
    flow.take("w1", capacity=50)
    held = []
    while not held:
        for item in flow.take("w1", capacity=50).items:
            if str(item) == "execute z":
                held.append(item)
            else:
                flow.complete(item)
    flow.complete(held.pop(), "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    reverts = {str(item): item for item in flow.take("w1", capacity=50).items}
    last, other = reverts.pop("revert b20"), reverts.pop("revert t")
    for item in reverts.values():
        flow.complete(item, "REVERTED")

    flow.call("flow_cancel", who="me")
    while flow.hash("plan")["phases"] != "backward":
        flow.call("plan_step", who="me")
    flow.call("plan_step", who="me")
    flow.complete(last, "REVERTED")
    flow.step()

    assert flow.members("ready") == []
    assert broken_rules(flow) == []
    flow.complete(other, "REVERTED")
    assert flow.drive() == ["revert s", "revert p", "REVERTED"]


def test_a_success_between_the_passes_opens_what_comes_after_it(flow):
    """Counted as holding in the pass forward, done before the end of the one back."""
    flow.graph(
        {
            "<f": ["?r", "z", "q"],
            "?r": ["a"],
            "a": [">f"],
            "z": ["z2"],
            "z2": [">f"],
            "q": [">f"],
            ">f": [],
        }
    ).start("w1")
    flow.start("w2")
    items = {str(item): item for item in flow.take("w1", capacity=5).items}
    flow.complete(items["execute ?r"])
    flow.complete(items["execute q"])
    flow.complete(flow.take("w2").item, "FAILURE", worker="w2")
    flow.resolve(flow.take("w2").item, "w2", how="RETRY ?r")
    flow.step()
    flow.on("q", "atom_reset", state="PENDING")
    assert flow.hash("plan")["phases"] == "forward,backward"
    flow.call("plan_step", who="me")
    assert flow.hash("plan")["phases"] == "backward"

    flow.complete(items["execute z"])
    flow.step()

    assert "00000005:execute" in flow.members("ready")
    assert broken_rules(flow) == []
