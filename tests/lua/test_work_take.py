"""work_take: what is handed out, in which order, and what comes again."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_item_comes_with_its_claim(flow):
    """OK: atom, claim and journal name the worker and the token."""
    flow.line("a", "b").start()
    rev = flow.rev

    handout = flow.take(lease_ms=60_000)

    assert (handout.before, handout.rev, handout.state) == (rev, rev + 1, "RUNNING")
    item = handout.item
    assert (item.id, item.name, item.round, item.attempt) == (
        "00000001:execute",
        "a",
        1,
        0,
    )
    assert item.old_state == "PENDING"
    assert (
        flow.atom("a").items()
        >= {
            "state": "RUNNING",
            "owner": "w1",
            "token": item.token,
            "round": "1",
        }.items()
    )
    assert flow.hash("claims") == {item.id: f"w1 {item.token}", "#w1": "1"}
    assert flow.members("ready") == []
    (entry,) = flow.journal(since=rev)
    assert entry.items() >= {"to": "RUNNING", "worker": "w1", "rev": item.token}.items()
    assert broken_rules(flow) == []


def test_lost_handout_is_delivered_again(flow):
    """A worker that lost the answer gets the same item with the same token."""
    flow.fan("a", "b").start()
    first = flow.take()
    before = flow.contents()

    again = flow.take(capacity=2)

    assert [(item.id, item.token, item.name) for item in again.items] == [
        (first.item.id, first.item.token, "a")
    ]
    assert {k: v for k, v in flow.contents().items() if k != flow.keys.workers} == {
        k: v for k, v in before.items() if k != flow.keys.workers
    }


def test_items_that_are_held_do_not_come_again(flow):
    """What was received is named in the call: only what is new comes."""
    flow.fan("a", "b").start()
    first = flow.take()

    assert flow.take(holding=first.items).what == ["execute b"]


def test_lost_one_among_held_ones_is_found(flow):
    """Of two items only the one that is not held comes again."""
    flow.fan("a", "b", "c").start()
    first, second = flow.take(capacity=2).items

    again = flow.take(capacity=2, holding=[first])

    assert again.items[0].id == second.id
    assert len(again.items) == 1


def test_lost_finish_and_lost_resolve_come_again(flow):
    """Items without a claim in an atom are delivered again like any other."""
    flow.line("a").start()
    flow.complete(flow.take().item, "FAILURE")
    assert flow.take().items == flow.take().items
    flow.resolve(flow.take().item)
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    finish = flow.take()

    assert finish.what == ["finish"]
    assert flow.take().items == finish.items


def test_higher_priority_goes_first_then_the_lower_number(flow):
    """The order of hand-out is that of priority, then of the node's number."""
    flow.fan("a", "b", "c", "d", "e", c=5, e=5, a=-1).start()

    assert flow.drive() == [*(f"execute {name}" for name in "cebda"), "SUCCESS"]


def test_capacity_bounds_what_is_taken(flow):
    """No more than there is room for; the rest is for the others."""
    flow.fan("a", "b", "c").start("w1")
    flow.start("w2")

    assert flow.take("w1", capacity=0).items == []
    assert flow.take("w1", capacity=2).what == ["execute a", "execute b"]
    assert flow.take("w2", capacity=2).what == ["execute c"]


def test_idle_worker_is_noted_and_woken_when_there_is_work(flow):
    """Whoever got less than it has room for waits; a completion leaves it a hint."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    assert flow.take("w2").next == "WAIT"
    assert flow.members("idle") == ["w2"]

    handout = flow.complete(item, capacity=1)

    assert (handout.what, flow.hints()) == (["execute b"], {"w2": ["look"]})
    assert 0 < flow.client.execute("PTTL", flow.keys.wake("w2")) <= 60_000
    assert flow.members("idle") == []


def test_no_more_idlers_are_woken_than_there_is_work_for(flow):
    """One item left over wakes one of three."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    item = flow.take("w1").item
    for worker in ("w2", "w3", "w4"):
        flow.start(worker)
        flow.take(worker)

    flow.complete(item, capacity=1)

    assert list(flow.hints()) == ["w2"]
    assert len(flow.members("idle")) == 2


def test_lease_is_renewed(flow):
    """The deadline is the server's time plus the length of the lease."""
    flow.line("a").start(lease_ms=1000)
    before = flow.scores("workers")["w1"]

    flow.take(lease_ms=60_000)

    assert 58_000 < flow.scores("workers")["w1"] - before < 120_000


def test_run_that_is_over_is_told(flow):
    """ENDED: whoever comes late learns how it ended, and becomes no member."""
    flow.line("a").start()
    flow.drive()
    before = flow.contents()

    reply = flow.call("work_take", worker="w2", capacity=1)

    assert reply == ["ENDED", "SUCCESS"]
    assert flow.contents() == before


def test_finish_is_offered_when_nothing_is_left(flow):
    """Not while anything is ready or held; then to one worker alone."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    first = flow.take("w1").item
    second = flow.take("w2").item
    assert flow.complete(first, capacity=1).items == []
    assert flow.take("w1").items == []

    assert flow.complete(second, worker="w2", capacity=1).what == ["finish"]
    assert flow.take("w1").items == []
    assert flow.claims() == {"finish": "w2"}


def test_empty_flow_has_only_its_finish(flow):
    """A flow without atoms ends in SUCCESS, by an item like any other."""
    flow.graph({"<f": [">f"], ">f": []}).start()

    assert flow.take().what == ["finish"]
    assert flow.drive() == ["SUCCESS"]


def test_empty_subflow_holds_nothing_back(flow):
    """Gates that open on nothing are passed through."""
    flow.graph(
        {
            "<f": ["a"],
            "a": ["<1"],
            "<1": ["<2"],
            "<2": [">2"],
            ">2": [">1"],
            ">1": ["b"],
            "b": [">f"],
            ">f": [],
        }
    ).start()

    assert flow.drive() == ["execute a", "execute b", "SUCCESS"]


def test_diamond_opens_its_end_once(flow):
    """The last one waits for both sides, and runs once."""
    flow.layers(["a"], ["b", "c"], ["d"]).start()
    flow.complete(flow.take().item)
    left, right = flow.take(capacity=2).items

    flow.complete(right)
    assert flow.members("ready") == []
    flow.complete(left)

    assert flow.drive() == ["execute d", "SUCCESS"]
    assert flow.atom("d")["round"] == "1"


def test_fan_in_of_a_thousand(flow):
    """The last of a thousand opens the join, with work shared by two."""
    names = [f"t{number}" for number in range(1000)]
    flow.layers(names, ["join"]).start("w1")
    flow.start("w2")
    for _ in range(5):
        for worker in ("w1", "w2"):
            handout = flow.take(worker, capacity=100)
            assert "execute join" not in handout.what
            for item in handout.items:
                flow.complete(item, worker=worker)

    assert flow.drive() == ["execute join", "SUCCESS"]


def test_ignored_atom_that_still_waits_holds_back_what_follows(flow):
    """T waits for Q though S between them is ignored already."""
    flow.graph({"<f": ["q"], "q": ["s"], "s": ["t"], "t": [">f"], ">f": []}).start()
    flow.on("s", "atom_transition", state="IGNORE", intention="IGNORE")
    flow.step()

    item = flow.take().item
    assert item.name == "q"
    assert flow.hash("missing") == {"2": "1", "3": "1", "4": "1"}
    flow.complete(item)
    assert flow.drive() == ["execute t", "SUCCESS"]


def test_item_that_is_no_longer_wanted_is_dropped(flow):
    """A hand-out looks at state and counters once more."""
    flow.line("a", "b").start()
    flow.client.execute("ZADD", flow.keys.ready, 0, "00000002:execute")

    assert flow.take(capacity=2).what == ["execute a"]
    assert flow.members("ready") == []


def test_nothing_is_handed_out_while_a_failure_is_resolved(flow):
    """The resolve item is a barrier, before and after it is taken."""
    flow.fan("a", "b", "c").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item, "FAILURE")

    resolve = flow.take("w1", capacity=3)
    assert resolve.what == ["resolve a"]
    assert flow.take("w2", capacity=3).items == []
    assert flow.take("w1", capacity=3, holding=resolve.items).items == []
    assert flow.hash("flow")["resolving"] == resolve.item.id


def test_worker_without_room_leaves_the_failure_to_another(flow):
    """Somebody else is woken to resolve it."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    first, _ = flow.take("w1", capacity=2).items
    flow.take("w2")

    handout = flow.complete(first, "FAILURE", capacity=0)

    assert (handout.items, list(flow.hints())) == ([], ["w2"])
    assert flow.take("w2").what == ["resolve a"]


def test_suspended_flow_drains_and_finishes(flow):
    """Nothing more is begun; what is held completes, then the run ends SUSPENDED."""
    flow.line("a", "b").start()
    item = flow.take().item
    flow.call("flow_transition", to="SUSPENDING")
    assert flow.take(holding=[item]).items == []

    assert flow.complete(item, capacity=1).what == ["finish"]
    assert flow.drive() == ["SUSPENDED"]
    assert flow.states() == {"a": "SUCCESS", "b": "PENDING"}

    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["execute b", "SUCCESS"]


def test_one_that_settles_ends_what_suspends(flow):
    """It gets finish, also where a failure waits, which the next run decides upon."""
    flow.line("a", "b").start("w1")
    item = flow.take("w1").item
    flow.call("flow_transition", to="SUSPENDING")
    flow.complete(item, "FAILURE")
    flow.leave("w1")

    (finish,) = flow.take("w2", settles=1).items

    assert finish.kind == "finish"
    assert flow.finish(finish, "w2")[2] == "SUSPENDED"
    flow.start("w3", run=2)
    assert flow.drive("w3", run=2) == ["resolve a", "revert a", "REVERTED"]


def test_one_that_settles_takes_no_work(flow):
    """What is ready is left to others."""
    flow.line("a").start("w1")

    assert flow.take("w1", settles=1).items == []
    assert flow.take("w1").what == ["execute a"]
