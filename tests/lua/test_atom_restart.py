"""atom_restart: an atom and what comes after it, put back to the beginning."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules
from tests.support.kept_flows import ended as flow_ended
from tests.support.kept_flows import lasting


def restart(flow, name, **args):
    """Put an atom back."""
    return flow.on(name, "atom_restart", **args)


def ended(flow, *names):
    """Run a line to its end, with results."""
    flow.line(*names).start()
    flow.drive()
    return flow


def test_all_that_comes_after_it_starts_anew(flow):
    """OK: a plan puts back the rest, results go, what came before stays."""
    ended(flow, "a", "b", "c")

    assert restart(flow, "b") == ["OK", 1]
    flow.step("operator")

    assert flow.states() == {"a": "SUCCESS", "b": "PENDING", "c": "PENDING"}
    assert [flow.result(name) != {} for name in "abc"] == [True, False, False]
    assert broken_rules(flow) == []
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["execute b", "execute c", "SUCCESS"]


def test_alone_it_is_the_only_one(flow):
    """OK: with alone, nothing is planned."""
    ended(flow, "a", "b", "c")

    assert restart(flow, "b", alone=1) == ["OK", 0]

    assert flow.states() == {"a": "SUCCESS", "b": "PENDING", "c": "SUCCESS"}
    assert broken_rules(flow) == []


def test_plan_of_others_comes_first(flow):
    """PLAN: whoever carries it on may call again."""
    ended(flow, "a", "b", "c")
    restart(flow, "b")
    before = flow.contents()

    assert restart(flow, "a") == ["PLAN"]
    assert flow.contents() == before
    flow.step()
    assert restart(flow, "a")[0] == "OK"


def test_workers_at_work_are_in_its_way(flow):
    """LIVE: not while somebody is alive; HELD: not before the dead are swept."""
    flow.line("a", "b").start()
    flow.take()
    before = flow.contents()
    assert restart(flow, "b") == ["LIVE", 1]
    assert flow.contents() == before

    flow.lapse("w1")
    before = flow.contents()
    assert restart(flow, "b") == ["HELD"]
    assert flow.contents() == before
    flow.sweep()
    assert restart(flow, "b")[0] == "OK"


def test_who_is_not_in_the_structure_has_nothing_after_it(flow):
    """LOOSE and UNKNOWN: nothing is changed."""
    ended(flow, "a")
    flow.call("atom_ensure", rest=["loose", "task", "1.0", "loose-uuid", "{}", ""])
    before = flow.contents()

    assert restart(flow, "loose") == ["LOOSE"]
    assert restart(flow, "nobody") == ["UNKNOWN"]
    assert flow.contents() == before
    assert restart(flow, "loose", alone=1) == ["OK", 0]


def test_what_was_asked_for_again_is_not_done_again(flow):
    """OK: what was put back and has run since is not put back once more."""
    ended(flow, "a", "b")
    known = flow.rev
    assert restart(flow, "a", who="operator/1", since=known) == ["OK", 1]
    flow.step("operator")
    flow.start("w1", run=2)
    flow.drive(run=2)
    before = flow.contents()

    flow.sent = "p 2 2"
    assert restart(flow, "a", who="operator/1", since=known) == ["OK", 0]

    flow.client.execute("HDEL", flow.keys.lock, "void")
    assert flow.contents() == before


def test_what_comes_after_it_waits_for_it_again(flow):
    """A run whose worker died goes on as if the atom had not been executed."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.take()
    flow.lapse("w1")
    assert restart(flow, "a") == ["HELD"]
    flow.sweep()

    assert restart(flow, "a") == ["OK", 1]
    flow.step("operator")

    assert broken_rules(flow) == []
    assert flow.take("w1").what == ["execute a"]


def test_flow_that_is_to_go_is_kept_first(flow):
    """EXPIRES: else a key that is made anew would stay when the others go."""
    flow_ended(flow, "a", "b")

    assert restart(flow, "a") == ["EXPIRES", 1]
    flow.call("flow_keep", ended=1)

    assert restart(flow, "a")[0] == "OK"
    flow.step("operator")
    assert len(lasting(flow)) == len(flow.all_keys())


def test_nothing_is_walked_while_the_structure_is_replaced(flow):
    """LOOSE: alone it can be put back, and the next start counts."""
    flow.line("a", "b").start("w1")
    flow.complete(flow.take("w1").item)
    flow.leave("w1")
    flow.line("b", "a")
    assert flow.come("w2", fingerprint="another")[0] == "CLEAR"
    flow.lapse("w2")
    flow.sweep()

    assert restart(flow, "a") == ["LOOSE"]
    assert restart(flow, "a", alone=1) == ["OK", 0]
    assert flow.start("w3", fingerprint="another")[-1] == "LOAD"
    assert flow.drive("w3") == ["execute b", "execute a", "SUCCESS"]
