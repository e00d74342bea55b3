"""A flow driven by its scripts alone, and its keys as ``redis-cli`` shows them.

Structures are written as layers of names; every node of a layer leads to every
node of the next one, and gates stand at both ends as TaskFlow's compiler puts
them. `ScriptedFlow.graph` takes any other shape, node -> nodes after it. The
first letter of a name tells the kind of its node: ``<`` and ``>`` are the
beginning and the end of a flow, ``?`` is a retry, all others are tasks. Which of them
have deciders that are asked first is told by `ScriptedFlow.ask`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redisflow.client import Client
from redisflow.errors import RedisFlowError
from redisflow.keys import FlowKeys
from redisflow.scripts import Argument, FlowScripts, catalogue
from tests.support.flow_view import FlowView, uuid_of

#: More links than that are in fields of their own, so many in each.
_LINKS_IN_FIELD = 64

_KINDS = {"<": "f", ">": "e", "?": "r"}

#: Arguments that a test leaves out unless they are its subject.
_USUAL: Mapping[str, Argument] = {
    "run": 1,
    "lease_ms": 60_000,
    "fingerprint": "print-1",
    "never": 0,
    "resume": 1,
    "who": "somebody",
    "since": 0,
    "capacity": 1,
    "state": "",
    "intention": "",
    "expected": "",
    "checked": 0,
    "forced": 0,
    "kind": "meta",
    "payload": "null",
    "strategy": "REVERT_ALL",
    "controller": "",
    "dead": "",
    "max_attempts": 3,
    "joining": 0,
    "whole": 0,
    "schema": 1,
    "book": "",
    "only": "",
    "seen": 0,
    "keep_ms": -1,
    "after": 0,
    "alone": 0,
    "settles": 0,
    "act": "",
    "reason": "because",
    "told": "nobody",
    "id": "import-1",
    "part": 1,
    "source": "a file",
    "names": 0,
    "records": 0,
    "links": 0,
    "entries": 0,
}


@dataclass(frozen=True, slots=True)
class Item:
    """A work item as a worker gets it.

    Attributes:
        id: such as ``00000001:execute``.
        token: fences what is done with it.
        name: of its atom, or "".
        round: how many times the atom was begun anew.
        attempt: how many workers this round has cost.
        old_state: the state that it was taken from.
    """

    id: str
    token: str
    name: str
    round: int
    attempt: int
    old_state: str

    @property
    def kind(self) -> str:
        """What is to be done: execute, revert, retry, decide, resolve or finish."""
        return self.id.rpartition(":")[2]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Handout:
    """What work_take, work_complete and work_decide answer."""

    before: int
    rev: int
    state: str
    next: str
    items: Sequence[Item]

    @property
    def what(self) -> list[str]:
        """The items, as "execute a"."""
        return [str(item) for item in self.items]

    @property
    def item(self) -> Item:
        """The only item."""
        (item,) = self.items
        return item


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the structure, as graph_save takes it."""

    name: str
    priority: int
    after: tuple[int, ...]
    before: tuple[int, ...]
    asks: bool = False

    @property
    def kind(self) -> str:
        """The letter of its kind, and whether deciders are asked."""
        return _KINDS.get(self.name[:1], "t") + ("?" if self.asks else "")

    @property
    def atom(self) -> str:
        """The name of its atom, or ""."""
        return "" if self.kind[0] in "fe" else self.name


class _ToGo(RedisFlowError):
    """A flow is to go, and has to be kept first."""

    def __init__(self, ended: int) -> None:
        super().__init__("it is to go")
        self.ended = ended


class _Unkept(FlowScripts):
    """Scripts of a flow that nobody keeps unasked."""

    def keep(self, ended: int) -> None:
        """Leave it as it is."""
        raise _ToGo(ended)


class ScriptedFlow(FlowView):
    """One flow; every change of it is one script.

    Args:
        client: where the scripts run.
        keys: of the flow.

    Attributes:
        nodes: the structure.
        fence: of the section in which its calls are made; None outside any.
        sent: which sending its calls are, each sent once; None where it is new.
    """

    def __init__(self, client: Client, keys: FlowKeys) -> None:
        super().__init__(client, keys)
        self.scripts = _Unkept(client, keys)
        self.nodes: list[Node] = []
        self.fence: str | None = None
        self.sent: str | None = None

    # Calls

    def call(
        self,
        name: str,
        /,
        *,
        of: str | None = None,
        rest: Sequence[Argument] = (),
        **args: Any,
    ) -> list[Any]:
        """Run a script; arguments left out are the usual ones. Answers in text."""
        wanted = catalogue()[name].args
        usual = {arg: _USUAL[arg] for arg in wanted if arg in _USUAL}
        if self.fence is not None and "fence" in wanted:
            usual["fence"] = self.fence
        if self.sent is not None and "sent" in wanted:
            usual |= {"sent": self.sent, "deadline_s": 0.0}
        try:
            reply = self.scripts.call(name, of=of, rest=rest, **{**usual, **args})
        except _ToGo as error:
            return ["EXPIRES", error.ended]
        return [reply.status, *(_text(field) for field in reply.fields)]

    def on(
        self, atom: str, name: str, /, rest: Sequence[Argument] = (), **args: Any
    ) -> list[Any]:
        """Run a script that is about one atom."""
        uuid = uuid_of(atom)
        return self.call(name, of=uuid, rest=rest, atom=uuid, **args)

    def create(self, *pairs: Argument, state: str = "") -> list[Any]:
        """Create the flow."""
        uuid = self.keys.flow_uuid
        return self.call(
            "flow_create", rest=pairs, uuid=uuid, name="nightly", state=state
        )

    def ensure(self, *names: str) -> list[Any]:
        """Give atoms their details; returns the last answer."""
        answer: list[Any] = []
        for part in _batches(names, 1000):
            records: list[Argument] = []
            for name in part:
                kind = "retry" if name.startswith("?") else "task"
                records += [name, kind, "1.0", uuid_of(name), "{}", ""]
            answer = self.call("atom_ensure", rest=records)
        return answer

    # Structures

    def graph(
        self,
        links: Mapping[str, Iterable[str]],
        priorities: Mapping[str, int] | None = None,
    ) -> ScriptedFlow:
        """Plan a structure: node -> nodes after it; every link leads further down."""
        numbers = {name: number for number, name in enumerate(links)}
        after = {
            name: sorted(numbers[other] for other in links[name]) for name in links
        }
        before: dict[int, list[int]] = {number: [] for number in numbers.values()}
        for name, others in after.items():
            for other in others:
                assert other > numbers[name], f"{name} leads back"
                before[other].append(numbers[name])
        self.nodes = [
            Node(
                name,
                (priorities or {}).get(name, 0),
                tuple(after[name]),
                tuple(before[number]),
            )
            for name, number in numbers.items()
        ]
        return self

    def layers(self, *layers: Sequence[str], **priorities: int) -> ScriptedFlow:
        """Plan layers: every atom of one holds back every atom of the next."""
        rows = [["<f"], *layers, [">f"]]
        links: dict[str, Sequence[str]] = {}
        for row, following in zip(rows, [*rows[1:], []], strict=True):
            links |= dict.fromkeys(row, following)
        return self.graph(links, priorities)

    def line(self, *names: str) -> ScriptedFlow:
        """Plan atoms one after the other."""
        return self.layers(*([name] for name in names))

    def fan(self, *names: str, **priorities: int) -> ScriptedFlow:
        """Plan atoms that wait for nothing; the beginning's gate opens them."""
        return self.layers(names, **priorities)

    def ask(self, *names: str) -> ScriptedFlow:
        """Have deciders asked before these atoms."""
        self.nodes = [replace(node, asks=node.name in names) for node in self.nodes]
        return self

    @property
    def atoms(self) -> list[str]:
        """The names of the atoms of the structure, by number."""
        return [node.atom for node in self.nodes if node.atom]

    @property
    def records(self) -> list[Argument]:
        """The structure as graph_save takes it."""
        records: list[Argument] = []
        for number, node in enumerate(self.nodes):
            rows = [(way, getattr(node, way)) for way in ("after", "before")]
            after, before = (_listed(links) for _, links in rows)
            records += [number, node.kind, node.priority, node.atom, after, before]
            for way, links in rows:
                if len(links) > _LINKS_IN_FIELD:
                    for field, part in enumerate(_batches(links, _LINKS_IN_FIELD)):
                        name = f"{number}:{way}:{field}"
                        records += [name, "+", 0, "", _listed(part), ""]
        return records

    def states(self) -> dict[str, str]:
        """Name -> state of the atoms of the structure."""
        found = self.atoms_of(self.atoms)
        return {name: atom["state"] for name, atom in found.items()}

    # Runs

    def come(self, worker: str, **args: Any) -> list[Any]:
        """Come to the flow as a worker, and do nothing more."""
        return self.call("flow_start", worker=worker, nodes=len(self.nodes), **args)

    def load(self, worker: str) -> None:
        """Bring the structure."""
        for part in _batches(self.records, 6 * 500):
            assert self.call("graph_save", rest=part, worker=worker) == ["OK"]

    def clear(self, worker: str) -> None:
        """Take the old structure away."""
        while self.call("graph_clear", worker=worker) != ["OK", 0]:
            continue

    def start(self, worker: str = "w1", **args: Any) -> list[str]:
        """Join the run or start it, as a worker does; returns all that it was told."""
        if not self.exists("flow"):
            self.create()
        self.ensure(*self.atoms)
        answers: list[str] = []
        while True:
            status = self.come(worker, **args)[0]
            answers.append(status)
            if status in ("JOINED", "ENDED", "MISMATCH", "WAIT", "EXPIRES"):
                return answers
            if status == "SWEEP":
                self.sweep()
                continue
            if status == "CLEAR":
                self.clear(worker)
                continue
            if status == "LOAD":
                self.load(worker)
            assert self.call("flow_launch", worker=worker)[0] == "OK"
            self.step(who=worker)
            return answers

    def step(self, who: str = "w1") -> int:
        """Carry a plan on to its end; returns how many calls it took."""
        calls = 1
        while self.call("plan_step", who=who)[0] == "MORE":
            calls += 1
            assert calls < 10_000, "a plan that never ends"
        return calls

    def take(
        self,
        worker: str = "w1",
        capacity: int = 1,
        holding: Sequence[Item] = (),
        **args: Any,
    ) -> Handout:
        """Take work."""
        held = [item.id for item in holding]
        reply = self.call(
            "work_take", rest=held, worker=worker, capacity=capacity, **args
        )
        return self.handout(reply)

    def complete(
        self,
        item: Item,
        state: str = "SUCCESS",
        worker: str = "w1",
        capacity: int = 0,
        payload: str = "null",
    ) -> Handout:
        """Record what became of an item, and take more where there is room."""
        reply = self.try_complete(item, state, worker, capacity, payload)
        return self.handout(reply)

    def try_complete(
        self,
        item: Item,
        state: str = "SUCCESS",
        worker: str = "w1",
        capacity: int = 0,
        payload: str = "null",
    ) -> list[Any]:
        """Record what became of an item; returns the whole answer."""
        return self.on(
            item.name,
            "work_complete",
            worker=worker,
            token=item.token,
            item=item.id,
            state=state,
            payload=payload,
            capacity=capacity,
        )

    def halt(self, item: Item, worker: str = "w1", payload: str = "null") -> list[Any]:
        """Give an item back, and end the run for a failure."""
        return self.on(
            item.name,
            "work_halt",
            worker=worker,
            token=item.token,
            item=item.id,
            payload=payload,
        )

    def decide(self, item: Item, depth: str = "", worker: str = "w1") -> list[Any]:
        """Apply what deciders have said: "" lets the atom run."""
        return self.about(item, "work_decide", worker, depth=depth)

    def decided(self, item: Item, depth: str = "", worker: str = "w1") -> list[Any]:
        """Apply what deciders have said, once no plan is in progress."""
        while (reply := self.decide(item, depth, worker))[0] == "PLANNED":
            self.step(worker)
        return reply

    def retry(self, item: Item, worker: str = "w1") -> list[Any]:
        """Put back what comes after a controller, or let the controller run."""
        return self.about(item, "work_retry", worker)

    def about(self, item: Item, name: str, worker: str, **args: Any) -> list[Any]:
        """Run a script about the atom of an item that a worker holds."""
        claim = {"worker": worker, "token": item.token, "item": item.id}
        return self.on(item.name, name, **claim, **args)

    def resolve(self, item: Item, worker: str = "w1", how: str = "") -> list[Any]:
        """Apply what was decided about a failure.

        Args:
            item: the work item.
            worker: who decided.
            how: strategy and controller, such as "RETRY ?r"; everything is reverted
                if it is left out.
        """
        strategy, _, controller = (how or "REVERT_ALL").partition(" ")
        return self.call(
            "work_resolve",
            worker=worker,
            token=item.token,
            item=item.id,
            strategy=strategy,
            controller=uuid_of(controller) if controller else "",
        )

    def finish(self, item: Item, worker: str = "w1", run: int = 1) -> list[Any]:
        """End the run."""
        return self.call("flow_finish", worker=worker, token=item.token, run=run)

    def leave(self, worker: str = "w1") -> list[Any]:
        """Say goodbye."""
        return self.call("worker_leave", worker=worker)

    def sweep(self, **args: Any) -> list[Any]:
        """Take back what one dead worker holds."""
        return self.call("worker_sweep", **args)

    def lapse(self, worker: str) -> None:
        """Let a worker's lease be over."""
        assert self.client.execute("ZADD", self.keys.workers, "XX", "CH", 1, worker)

    def drive(
        self,
        worker: str = "w1",
        outcomes: Mapping[str, str] | None = None,
        capacity: int = 1,
        run: int = 1,
    ) -> list[str]:
        """Work until the run is over; returns what was done, and how it ended.

        Args:
            worker: who works.
            outcomes: state of an item, by "execute a"; success if left out. Of a
                decide item it is the depth of a nay, of a resolve item as in `resolve`.
            capacity: how many items are taken at a time.
            run: the run that is worked on.
        """
        done: list[str] = []
        while True:
            reply = self.call("work_take", worker=worker, capacity=capacity, run=run)
            if reply[0] == "ENDED":
                return [*done, reply[1]]
            handout = self.handout(reply)
            if not handout.items:
                assert handout.next == "PLAN", f"stuck after {done}: {handout}"
                self.step(worker)
            items = list(handout.items)
            for item in items:
                done += [] if item.kind == "finish" else [str(item)]
                state = (outcomes or {}).get(str(item))
                reply = self.do(item, worker, state, run=run)
                if item.kind == "decide":
                    items += self.handout(reply).items

    def do(
        self, item: Item, worker: str = "w1", state: str | None = None, run: int = 1
    ) -> list[Any]:
        """Do what an item asks for; it succeeds unless a state says otherwise."""
        if item.kind == "finish":
            return self.finish(item, worker, run)
        if item.kind == "resolve":
            while (reply := self.resolve(item, worker, state or ""))[0] == "PLANNED":
                self.step(worker)
            return reply
        if item.kind == "decide":
            return self.decided(item, state or "", worker)
        if item.kind == "retry":
            while self.retry(item, worker)[0] == "PLANNED":
                self.step(worker)
        state = state or ("REVERTED" if item.kind == "revert" else "SUCCESS")
        return self.try_complete(item, state, worker)

    def handout(self, reply: list[Any]) -> Handout:
        """Read the answer of work_take or work_complete."""
        status, before, rev, state, what_next, rows = reply
        assert status == "OK"
        items = [
            Item(row[0], str(row[1]), row[2].removesuffix("-uuid"), *row[3:])
            for row in rows
        ]
        return Handout(before, rev, state, what_next, items)


def edit(
    atom: str,
    state: str = "",
    intention: str = "",
    *,
    kind: str = "task",
    sets: Sequence[Argument] = (),
    drops: Sequence[Argument] = (),
    results: Sequence[Argument] = (),
    forgets: Sequence[Argument] = (),
) -> list[Argument]:
    """Write what is to be changed in the details of an atom, as atom_write takes it."""
    words: list[Argument] = [uuid_of(atom), atom, kind, state, intention]
    for part in (sets, drops, results, forgets):
        words += [len(part), *part]
    return words


def submitted(
    flow: ScriptedFlow,
    request: str,
    rest: Sequence[Argument] = ("x", "1"),
    **args: Any,
) -> list[Any]:
    """Submit a flow; what is left out is the same each time."""
    usual = {"factory": "m:f", "args": "[]", "kwargs": "{}", "options": "{}"}
    more = {**usual, "name": "inject", "rerun": 0, **args}
    return flow.on("inject", "flow_submit", rest=rest, request=request, **more)


def repair(flow: ScriptedFlow, rest: Sequence[Argument] = (), **args: Any) -> list[Any]:
    """Repair a flow at its revision; the count of unfinished atoms stays as it is."""
    usual: dict[str, Any] = {"who": "operator", "what": "changes", "recount": 0}
    for name in ("rev", "unfinished"):
        usual[name] = args[name] if name in args else flow.hash("flow")[name]
    return flow.call("flow_repair", rest=rest, **{**usual, **args})


def _listed(links: Sequence[int]) -> str:
    """Write links as a node's record has them."""
    if len(links) > _LINKS_IN_FIELD:
        return f"*{len(links)}"
    return ",".join(map(str, links))


def _text(value: Any) -> Any:
    """Decode all bytes in an answer."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_text(part) for part in value]
    return value


def _batches(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Cut a long list into parts."""
    return (values[start : start + size] for start in range(0, len(values), size))
