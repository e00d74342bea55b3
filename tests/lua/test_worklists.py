"""Worklists of plans: however many nodes wait, each step touches a bounded part."""

from __future__ import annotations

import re

import pytest

from tests.support.flow_rules import broken_rules, missing_by_states
from tests.support.flow_view import uuid_of

SPINE, LEAVES = 30, 20


@pytest.fixture(name="comb")
def _comb(flow):
    """Make a line of tasks, each with many leaves, under a controller; one failed."""
    names = [f"s{number:02}" for number in range(SPINE)]
    links = {"<f": ["?r"], "?r": names[:1]}
    for name, following in zip(names, [*names[1:], "bad"], strict=True):
        leaves = [f"{name}-{number:02}" for number in range(LEAVES)]
        links |= {name: [*leaves, following], **{leaf: [">f"] for leaf in leaves}}
    flow.graph(links | {"bad": [">f"], ">f": []}).start()
    bad = None
    while bad is None or flow.members("ready"):
        for item in flow.take(capacity=50, holding=[bad] if bad else []).items:
            if item.name == "bad":
                bad = item
            else:
                flow.complete(item)
    flow.complete(bad, "FAILURE")
    return flow


def worklist(flow, name):
    """Return the nodes of a worklist by its parts, the upper one first."""
    plan = flow.hash("plan")
    upper = plan.get(name, "")
    below = int((re.search(r"\+(\d+)$", upper) or [0, 0])[1])
    parts = [upper, *(plan[f"{name}:{part}"] for part in range(below, 0, -1))]
    known = {field for field in plan if field.startswith(f"{name}:")}
    assert known == {f"{name}:{part}" for part in range(1, below + 1)}
    return [re.findall(r"(\d+)@", part) for part in parts]


def step(flow):
    """Make a step of the plan; returns the worklists after it, by name."""
    answer = flow.call("plan_step")
    names = ("frontier", "to_open", "to_hold", "to_clear")
    return answer[0], {name: worklist(flow, name) for name in names}


def test_parts_have_a_bounded_number_of_nodes_and_lose_none(comb):
    """A walk over many leaves, and the counting after it, go through several parts."""
    comb.resolve(comb.take().item, how="RETRY ?r")
    answer, most = "MORE", dict.fromkeys(["frontier", "to_hold"], 0)
    while answer == "MORE":
        answer, lists = step(comb)
        for name, parts in lists.items():
            nodes = [node for part in parts for node in part]
            assert len(nodes) == len(set(nodes))
            assert all(len(part) <= 100 for part in parts)
            most[name] = max(most.get(name, 0), len(parts))

    assert most["frontier"] > 1
    assert most["to_hold"] > 1
    assert comb.hash("plan") == {}
    assert {atom["intention"] for atom in comb.atoms_of(comb.atoms).values()} == {
        "REVERT",
        "RETRY",
    }
    assert comb.hash("missing").items() >= missing_by_states(comb).items()
    assert broken_rules(comb) == []


def test_a_new_count_leaves_no_part_behind(comb):
    """An edit while there are several parts: all is counted anew, without them."""
    comb.resolve(comb.take().item, how="RETRY ?r")
    lists = {"to_hold": [[]]}
    while len(lists["to_hold"]) < 3:
        answer, lists = step(comb)
        assert answer == "MORE"

    comb.on("s00-00", "atom_transition", state="", intention="EXECUTE")

    assert [field for field in comb.hash("plan") if field.startswith("to_")] == []
    comb.step()
    assert comb.hash("plan") == {}
    assert broken_rules(comb) == []


def test_it_all_is_undone_and_done_again(comb):
    """Through all those parts the run comes to its end."""
    comb.resolve(comb.take().item, how="RETRY ?r")

    done = comb.drive(capacity=50)

    count = SPINE * (LEAVES + 1) + 1
    assert [what.split()[0] for what in done[:count]] == ["revert"] * count
    assert done[count] == "retry ?r"
    assert sorted(done[count + 1 :]) == sorted(
        ["SUCCESS", *(f"execute {name}" for name in comb.atoms if name != "?r")]
    )


def test_reverts_that_end_while_others_are_counted_are_all_looked_for(flow):
    """More of them than one part holds: what each raises, the worklist takes back."""
    leaves = [f"b{number:03}" for number in range(150)]
    links = {"<f": ["?r"], "?r": ["?s"], "?s": ["a"], "a": leaves}
    flow.graph({**links, **{leaf: [">f"] for leaf in leaves}, ">f": []}).start("w1")
    flow.start("w2")
    for _ in "rsa":
        flow.complete(flow.take().item)
    flow.step()
    *others, last = flow.take(capacity=150).items
    for item in others:
        flow.complete(item)
    flow.complete(last, "FAILURE")
    flow.resolve(flow.take().item, how="RETRY ?s")
    flow.step()
    *reverting, slow = flow.take(capacity=150).items
    # Another failure, as after an edit, asks for more to be undone meanwhile.
    flow.client.execute("HSET", flow.keys.claims, "00000002:resolve", "w2 9")
    claim = {"worker": "w2", "token": "9", "item": "00000002:resolve"}
    flow.call("work_resolve", strategy="RETRY", controller=uuid_of("?r"), **claim)
    assert step(flow)[0] == "MORE"

    for item in reverting:
        flow.complete(item, "REVERTED")

    assert [len(part) for part in worklist(flow, "to_clear")] == [49, 100]
    flow.step()
    assert flow.hash("missing")["3:revert"] == "1"
    flow.complete(slow, "REVERTED")
    assert broken_rules(flow) == []
    assert flow.drive(capacity=5)[:3] == ["revert a", "revert ?s", "retry ?r"]
