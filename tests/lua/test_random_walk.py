"""Scripts in any order: what holds after each of them, and that a run always ends."""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re

import pytest

from redisflow.scripts import calls, catalogue
from tests.support.flow_rules import (
    broken_rules,
    left_over,
    may_start,
    missing_by_states,
    retries_before,
)
from tests.support.flows import Handout, Item, ScriptedFlow

WORKERS = ("w1", "w2", "w3")

#: How far a nay may reach.
DEPTHS = ("ATOM", "NEIGHBORS", "FLOW", "ALL")

#: What happens, and how often.
MOVES = {
    "take": 10,
    "complete": 12,
    "fail": 3,
    "plan": 6,
    "lose": 1,
    "leave": 1,
    "come": 2,
    "suspend": 1,
    "edit": 1,
    "halt": 0.2,
    "cancel": 0.2,
}

#: Bounds of what a script does of a plan at a time, and how small they are made.
BOUNDS = {
    r"PASS_NODES, PASS_LINKS = \d+, \d+": "PASS_NODES, PASS_LINKS = 2, 3",
    r"WALK_LINKS, WALK_NODES = \d+, \d+": "WALK_LINKS, WALK_NODES = 3, 2",
    r"SPREAD_LINKS, SPREAD_ITEMS = \d+, \d+": "SPREAD_LINKS, SPREAD_ITEMS = 3, 2",
    r"HOLD_LINKS = \d+": "HOLD_LINKS = 2",
    r"WORKLIST_LIMIT = \d+": "WORKLIST_LIMIT = 1",
}


class Walk:
    """Workers that do anything at any time, and what they hold."""

    def __init__(self, flow: ScriptedFlow, lots: random.Random) -> None:
        self.flow = flow
        self.lots = lots
        self.held: dict[str, dict[str, Item]] = {worker: {} for worker in WORKERS}
        self.run = 1
        self.ended: str | None = None
        self.patience = 0.9

    def step(self) -> str:
        """Make one move, and say which."""
        (move,) = self.lots.choices(list(MOVES), list(MOVES.values()))
        worker = self.lots.choice(WORKERS)
        getattr(self, move)(worker)
        return f"{move} {worker}"

    def take(self, worker):
        """Take, or get again what was lost; nothing comes before its turn."""
        capacity = self.lots.randrange(3)
        self._get(worker, capacity)

    def complete(self, worker):
        """Do one of the items that a worker holds; it succeeds."""
        self._do(worker, {"execute": "SUCCESS", "revert": "REVERTED"})

    def fail(self, worker):
        """Do one of the items that a worker holds; and it fails."""
        self._do(worker, {"execute": "FAILURE", "revert": "REVERT_FAILURE"})

    def plan(self, _worker):
        """Carry on what is planned."""
        self.flow.call("plan_step", who="w1")

    def lose(self, worker):
        """A worker dies; another takes its items back."""
        if worker in self.flow.members("workers"):
            self.flow.lapse(worker)
            self.flow.sweep(max_attempts=2)
            self.held[worker] = {}

    def leave(self, worker):
        """A worker leaves; what it holds goes back."""
        self.flow.leave(worker)
        self.held[worker] = {}

    def come(self, worker):
        """A worker joins, or starts the run again after a suspension."""
        if worker not in self.flow.members("workers"):
            self._start(worker)

    def suspend(self, _worker):
        """Somebody suspends the flow."""
        if self.flow.state == "RUNNING":
            self.flow.call("flow_transition", to="SUSPENDING")

    def edit(self, _worker):
        """Somebody edits an atom that nobody holds."""
        name = self.lots.choice(self.flow.atoms)
        state = self.lots.choice(["PENDING", "SUCCESS"])
        if self.flow.atom(name)["state"] in ("PENDING", "SUCCESS"):
            self.flow.on(name, "atom_transition", state=state)

    def halt(self, worker):
        """An item cannot be begun."""
        if items := self._items(worker, ("execute", "revert", "decide", "resolve")):
            item = self.lots.choice(items)
            del self.held[worker][item.id]
            assert self.flow.halt(item, worker)[0] == "OK"

    def cancel(self, _worker):
        """Somebody has all reverted."""
        self.flow.call("flow_cancel", who="me", run=self.run)

    def to_the_end(self):
        """Let the workers do all that is left; returns how it ended."""
        for _ in range(2000):
            if self.ended:
                return self.ended
            for worker in WORKERS:
                self.come(worker)
                self._get(worker, 2)
                self.plan(worker)
                for _ in list(self.held[worker]):
                    self.complete(worker)
        raise AssertionError(f"stuck: {self.flow.hash('flow')} {self.flow.states()}")

    def _start(self, worker):
        """Come as a worker does."""
        self.held[worker] = {}
        answers = self.flow.start(worker, run=self.run)
        if answers[-1] == "ENDED":
            self.ended = self.flow.hash("flow")[f"outcome:{self.run}"]

    def _get(self, worker, capacity):
        """Take, naming what is held."""
        if worker not in self.flow.members("workers"):
            return
        holding = list(self.held[worker].values())
        reply = self.flow.call(
            "work_take",
            rest=[item.id for item in holding],
            worker=worker,
            capacity=capacity,
            run=self.run,
        )
        if reply[0] == "ENDED":
            self._note_end(reply[1])
        else:
            self._note(worker, self.flow.handout(reply))

    def _note(self, worker, handout: Handout):
        """Hold what was handed out; nothing of it comes too early."""
        for item in handout.items:
            assert item.id not in self.held[worker]
            assert may_start(self.flow, item), f"{item} is too early"
            self.held[worker][item.id] = item

    def _note_end(self, state):
        """Go on with the next run if this one was suspended."""
        if state == "SUSPENDED":
            self.run += 1
            self.held = {worker: {} for worker in WORKERS}
        else:
            self.ended = state

    def _items(self, worker, kinds):
        """Return what a worker holds of these kinds."""
        return [item for item in self.held[worker].values() if item.kind in kinds]

    def _do(self, worker, outcomes):
        """Do one of the items that a worker holds."""
        items = list(self.held[worker].values())
        if not items:
            return
        item = self.lots.choice(items)
        del self.held[worker][item.id]
        if item.kind == "retry":
            if self.flow.retry(item, worker)[0] == "PLANNED":
                self.held[worker][item.id] = item
                return
            outcomes = {"retry": outcomes["execute"]}
        if item.kind in outcomes:
            capacity = self.lots.randrange(2)
            reply = self.flow.try_complete(item, outcomes[item.kind], worker, capacity)
            self._note(worker, self.flow.handout(reply))
            return
        reply = self._ask(item, worker)
        if reply[0] == "PLANNED":
            self.held[worker][item.id] = item
            return
        if item.kind == "decide":
            self._note(worker, self.flow.handout(reply))
        if item.kind == "finish" and reply[0] == "OK":
            self._note_end(reply[2])

    def _ask(self, item, worker):
        """Decide something, or end the run."""
        answer = self._answer(item)
        if item.kind == "decide":
            return self.flow.decide(item, answer, worker)
        if item.kind == "resolve":
            return self.flow.resolve(item, worker, answer or "")
        return self.flow.do(item, worker, answer, run=self.run)

    def _answer(self, item) -> str | None:
        """Draw what is decided about an item, if it is for deciding."""
        if item.kind == "decide":
            return self.lots.choice(["", "", *DEPTHS])
        before = retries_before(self.flow, item.name) if item.kind == "resolve" else []
        if not before or self.lots.random() < 0.3:
            return None
        strategy = "RETRY" if self.lots.random() < self.patience else "REVERT"
        self.patience *= 0.8
        return f"{strategy} {self.lots.choice(before)}"


def shape(lots: random.Random) -> dict[str, list[str]]:
    """Draw a structure of some atoms with gates between them."""
    names = [
        f"{lots.choice('<>??ttttt')}{number}" for number in range(lots.randrange(12))
    ]
    names.append("t")
    links: dict[str, list[str]] = {"<f": names or [">f"]}
    for position, name in enumerate(names):
        later = names[position + 1 :]
        links[name] = [*lots.sample(later, min(len(later), lots.randrange(3))), ">f"]
    return links | {">f": []}


@pytest.fixture(params=["large steps", "small steps"])
def _steps(request, monkeypatch):
    """Have plans carried out in one step, or in as many as in a large flow."""
    if request.param == "large steps":
        return

    def smaller(script):
        source = script.source
        for bound, made in BOUNDS.items():
            source = re.sub(bound, made, source)
        sha = hashlib.sha1(source.encode()).hexdigest()
        return dataclasses.replace(script, source=source, sha=sha)

    small = {name: smaller(script) for name, script in catalogue().items()}
    for bound, made in BOUNDS.items():
        assert re.search(bound, catalogue()["plan_step"].source)
        assert made in small["plan_step"].source
    monkeypatch.setattr(calls, "catalogue", lambda: small)


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("number", range(8))
def test_any_order_of_calls_keeps_every_rule_and_ends(flow, seed, number):
    """After each call all rules hold, nothing comes early, and the run ends at last."""
    lots = random.Random(f"{seed} {number}")
    flow.graph(shape(lots))
    asked = [name for name in flow.atoms if lots.random() < 0.4]
    walk = Walk(flow.ask(*asked), lots)
    walk.come("w1")
    past = []

    for _ in range(60):
        if walk.ended:
            break
        past.append(walk.step())
        assert broken_rules(flow) == [], f"seed {seed} {number}: {past}"
        _counters_agree(flow, past)

    ended = walk.to_the_end()
    assert ended in ("SUCCESS", "REVERTED", "FAILURE")
    assert ended == "FAILURE" or left_over(flow) == [], f"{ended}: {past}"
    assert broken_rules(flow) == []


def _counters_agree(flow, past):
    """Check the counters of readiness wherever nothing is planned or reverted."""
    fields = flow.hash("flow")
    if flow.state == "RUNNING" and not flow.hash("plan") and fields["reverting"] == "0":
        counters = {
            number: count
            for number, count in flow.hash("missing").items()
            if not number.endswith(":revert")
        }
        assert counters == missing_by_states(flow), past
