"""What every script promises: gone, too new or corrupt, and nothing is changed.

Each script has a recipe: it prepares a flow in which the script has its main effect,
and returns the call. The same call then meets a flow that is gone, one of a newer
schema, and one with a key of another type in place of each key that the script
declares or derives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pytest

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import (
    CorruptKey,
    FlowLost,
    LeaseLost,
    Locked,
    Refused,
    SchemaTooNew,
    Unavailable,
)
from redisflow.scripts import FlowScripts, catalogue
from redisflow.scripts.headers import LASTING_KEYS
from tests.support.flow_rules import broken_rules
from tests.support.flow_view import uuid_of
from tests.support.flows import Item, ScriptedFlow, edit, repair, submitted
from tests.support.locks import ScriptedLock

pytestmark = pytest.mark.one_server

Call = Callable[[], object]

#: Kinds of records of an atom, and the atoms of the recipes, whether there or not.
RECORDS = ("atom", "result")
ATOMS = ("a", "b", "c", "d", "?r", "inject")

#: A deadline that no test reaches, in the server's milliseconds.
_FAR = 1 << 50

#: Scripts whose recipes change nothing, and those to which a flow may be gone.
WITHOUT_EFFECT = {"atom_read", "flow_check", "flow_create", "flow_sync"}
#: Its effect is on the keys' time to live, not on what is in them.
WITHOUT_EFFECT |= {"flow_expire"}
WITHOUT_EFFECT |= {"lock_create", "lock_list"}
#: Their effect is where there is no flow: their own tests have it.
WITHOUT_EFFECT |= {"import_begin", "import_finish", "import_save"}
WITHOUT_FLOW = {"flow_check", "flow_create", "flow_remove", "lock_create"}
WITHOUT_FLOW |= {"import_begin", "import_finish", "import_save"}

RECIPES: dict[str, Callable[[ScriptedFlow], Call]] = {}


def recipe(prepare: Callable[[ScriptedFlow], Call]) -> Callable[[ScriptedFlow], Call]:
    """Keep a recipe under the script's name; a second one is named script__what."""
    RECIPES[prepare.__name__] = prepare
    return prepare


def started(flow: ScriptedFlow, *workers: str) -> ScriptedFlow:
    """Start a flow a -> b -> c, with a worker that waits for work."""
    flow.line("a", "b", "c")
    for worker in ("w1", *workers, "sleeper"):
        flow.start(worker)
    flow.client.execute("ZADD", flow.keys.idle, 1, "sleeper")
    return flow


def wide(flow: ScriptedFlow, *layers: Sequence[str]) -> ScriptedFlow:
    """Start a flow with more links than one call may follow."""
    flow.layers(*layers).start()
    return flow


def launching(flow: ScriptedFlow) -> ScriptedFlow:
    """Bring a flow to where only flow_launch is left to do."""
    flow.line("a", "b", "c").create()
    flow.ensure("a", "b", "c")
    flow.come("w1")
    flow.load("w1")
    return flow


def idle(flow: ScriptedFlow) -> ScriptedFlow:
    """Suspend a run a -> b -> c, where a is done."""
    started(flow)
    item = flow.take().item
    flow.call("flow_transition", to="SUSPENDING")
    flow.complete(item)
    flow.finish(flow.take().item)
    return flow


def failed(flow: ScriptedFlow) -> ScriptedFlow:
    """Let b of a flow a -> b -> c fail."""
    started(flow)
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    return flow


@recipe
def flow_create(flow):
    """Create a flow that exists."""
    started(flow)
    return flow.create


@recipe
def epoch_begin(flow):
    """Come to a flow from another server than it knows."""
    started(flow)
    flow.client.execute("HSET", flow.keys.flow, "server", "another")
    return lambda: flow.call("epoch_begin")


@recipe
def flow_update(flow):
    """Give a flow metadata."""
    started(flow)
    return lambda: flow.call("flow_update", rest=["owner", '"me"'])


@recipe
def flow_sync(flow):
    """Ask for all that has changed."""
    started(flow)
    return lambda: flow.call("flow_sync", since=0, limit=10)


@recipe
def flow_transition(flow):
    """Suspend a flow."""
    started(flow)
    return lambda: flow.call("flow_transition", to="SUSPENDING")


@recipe
def flow_start(flow):
    """Start a run again."""
    idle(flow)
    return lambda: flow.come("w2", run=2)


@recipe
def flow_launch(flow):
    """Launch a run."""
    launching(flow)
    return lambda: flow.call("flow_launch", worker="w1")


@recipe
def flow_finish(flow):
    """Finish a run."""
    item = idle_but_for_finish(flow)
    return lambda: flow.finish(item)


def idle_but_for_finish(flow):
    """Do all atoms of a flow, and take what is left."""
    started(flow)
    for _ in "abc":
        flow.complete(flow.take().item)
    return flow.take().item


@recipe
def flow_halt(flow):
    """End a run for a failure that belongs to no atom."""
    started(flow)
    return lambda: flow.call("flow_halt", run=1)


@recipe
def flow_cancel(flow):
    """Cancel a run in the middle of it."""
    started(flow).complete(flow.take().item)
    return lambda: flow.call("flow_cancel", run=1, reason="why")


@recipe
def value_note(flow):
    """Note that a worker has a value which others cannot get."""
    started(flow)
    return lambda: flow.call("value_note", rest=["x"])


@recipe
def work_decline(flow):
    """Leave an item to another worker."""
    item = started(flow).take().item
    return lambda: flow.about(item, "work_decline", "w1", payload='"lacks x"')


@recipe
def graph_clear(flow):
    """Take an old structure away."""
    idle(flow)
    assert flow.come("w2", run=2, fingerprint="other")[0] == "CLEAR"
    return lambda: flow.call("graph_clear", worker="w2")


@recipe
def graph_save(flow):
    """Bring a structure."""
    flow.line("a", "b", "c").create()
    flow.ensure("a", "b", "c")
    flow.come("w1")
    return lambda: flow.call("graph_save", rest=flow.records, worker="w1")


@recipe
def plan_step(flow):
    """Count what every node waits for, and run."""
    launching(flow).call("flow_launch", worker="w1")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__reset(flow):
    """Reset the atoms of a flow that was reverted."""
    started(flow).drive(outcomes={"execute b": "FAILURE"})
    flow.come("w1", run=2)
    flow.call("flow_launch", worker="w1")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__mark(flow):
    """Tell all atoms that they are to be reverted."""
    flow.resolve(failed(flow).take().item)
    return lambda: flow.call("plan_step")


@recipe
def plan_step__revert(flow):
    """Count what every node's revert waits for."""
    flow.resolve(failed(flow).take().item)
    flow.call("plan_step")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__open(flow):
    """Open the rest of a wide fan-out."""
    names = [f"t{number}" for number in range(410)]
    wide(flow, ["a"], names).complete(flow.take().item)
    return lambda: flow.call("plan_step")


@recipe
def plan_step__clear(flow):
    """Offer the rest of the reverts that one revert has opened."""
    names = [f"t{number}" for number in range(410)]
    wide(flow, names, ["a"])
    for _ in range(3):
        for item in flow.take(capacity=200).items:
            flow.complete(item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__walk(flow):
    """Visit what a nay reaches."""
    flow.decide(asked(flow), "ALL")
    return lambda: flow.call("plan_step")


@recipe
def plan_step__again(flow):
    """Put back what comes after a retry controller."""
    flow.retry(trying_again(flow))
    return lambda: flow.call("plan_step")


@recipe
def plan_step__done_meanwhile(flow):
    """Count anew for an atom that was done in the middle of its links."""
    names = [f"t{number}" for number in range(410)]
    item = wide(flow, ["a"], names).take().item
    flow.on("t9", "atom_transition", state="SUCCESS")
    flow.call("plan_step")
    flow.complete(item)
    return lambda: flow.call("plan_step")


@recipe
def atom_ensure(flow):
    """Give a new atom its details."""
    started(flow)
    return lambda: flow.ensure("a", "d")


@recipe
def atom_ensure__provides(flow):
    """Change what a known atom provides."""
    started(flow)
    records = ["a", "task", "1.0", uuid_of("a"), '{"x":0}', ""]
    return lambda: flow.call("atom_ensure", rest=records)


@recipe
def atom_transition(flow):
    """Set an atom's state while the flow runs."""
    started(flow)
    return lambda: flow.on("a", "atom_transition", state="SUCCESS")


@recipe
def atom_reset(flow):
    """Reset an atom while the flow runs."""
    started(flow).complete(flow.take().item)
    return lambda: flow.on("a", "atom_reset", state="PENDING")


@recipe
def atom_save(flow):
    """Save a result from outside while the flow runs."""
    started(flow)
    return lambda: flow.on("a", "atom_save", state="SUCCESS", writer="me")


def with_retry(flow: ScriptedFlow) -> ScriptedFlow:
    """Start a flow ?r -> a, whose retry has a history."""
    flow.line("?r", "a").start()
    request(flow, "retry_save", 1, state="SUCCESS")
    flow.step()
    return flow


def request(flow: ScriptedFlow, script: str, op_id: int, **args: object) -> object:
    """Do something to ?r that must not be done twice."""
    asked = {"owner": "me", "op_id": op_id, "keep_ms": 60_000, **args}
    return flow.on("?r", script, **asked)


@recipe
def retry_save(flow):
    """Append to a history while the flow runs."""
    flow.line("?r", "a").start()
    return lambda: request(flow, "retry_save", 1, state="SUCCESS")


@recipe
def retry_fail(flow):
    """Note in a history that an atom has failed."""
    with_retry(flow)
    return lambda: request(flow, "retry_fail", 2, failed="a")


@recipe
def retry_clear(flow):
    """Remove a history while the flow runs."""
    with_retry(flow)
    return lambda: request(flow, "retry_clear", 2, state="PENDING")


@recipe
def flow_transition__forced(flow):
    """Set the state of a flow that nobody runs."""
    idle(flow)
    return lambda: flow.call("flow_transition", to="PENDING", forced=1)


@recipe
def atom_update(flow):
    """Give an atom metadata."""
    started(flow)
    return lambda: flow.on("a", "atom_update", rest=["progress", "0.5"])


@recipe
def value_inject(flow):
    """Inject a value for the first time."""
    started(flow)
    return lambda: flow.on("inject", "value_inject", rest=["x", "1"], name="inject")


@recipe
def value_inject__again(flow):
    """Inject another value into the same injector."""
    value_inject(flow)()
    return lambda: flow.on("inject", "value_inject", rest=["x", "2"], name="inject")


@recipe
def flow_submit(flow):
    """Leave a flow to workers, with a value for it."""
    started(flow)
    return lambda: submitted(flow, "r1")


@recipe
def flow_submit__again(flow):
    """Submit a flow once more, without a value."""
    flow_submit(flow)()
    return lambda: submitted(flow, "r2", rest=[])


@recipe
def work_take(flow):
    """Take the first item."""
    started(flow)
    return flow.take


@recipe
def work_take__lost(flow):
    """Get an item again whose hand-out was lost."""
    started(flow).take()
    return lambda: flow.take(lease_ms=90_000)


@recipe
def work_complete(flow):
    """Complete an atom, and take the next."""
    item = started(flow).take().item
    return lambda: flow.complete(item, capacity=1)


@recipe
def work_complete__failure(flow):
    """Complete an atom that failed."""
    item = started(flow).take().item
    return lambda: flow.complete(item, "FAILURE", capacity=1)


@recipe
def work_complete__late(flow):
    """Complete an atom that was taken back."""
    item = started(flow, "w2").take("w2").item
    flow.sweep(dead="w2")
    return lambda: flow.try_complete(item, worker="w2")


@recipe
def work_complete__wide(flow):
    """Complete an atom that opens more than one call may."""
    names = [f"t{number}" for number in range(410)]
    item = wide(flow, ["a"], names).take().item
    return lambda: flow.complete(item)


@recipe
def work_complete__edited(flow):
    """Complete an atom that a pass over all nodes has left behind."""
    flow.fan(*(f"t{number}" for number in range(250))).start()
    item = flow.take().item
    flow.on("t200", "atom_transition", state="SUCCESS")
    flow.call("plan_step")
    return lambda: flow.complete(item)


@recipe
def work_complete__revert(flow):
    """Complete a revert, which opens the one before."""
    flow.resolve(failed(flow).take().item)
    flow.step()
    item = flow.take().item
    return lambda: flow.complete(item, "REVERTED", capacity=1)


@recipe
def work_halt(flow):
    """Give an item back, and end the run."""
    item = started(flow).take().item
    return lambda: flow.halt(item)


@recipe
def work_halt__resolving(flow):
    """End the run for a failure of the one who was asked about another."""
    item = failed(flow).take().item
    return lambda: flow.halt(item)


def asked(flow: ScriptedFlow) -> Item:
    """Start a flow a -> b -> c, and take the item to ask a's deciders."""
    flow.line("a", "b", "c").ask("a").start()
    flow.start("sleeper")
    flow.client.execute("ZADD", flow.keys.idle, 1, "sleeper")
    return flow.take().item


@recipe
def work_decide(flow):
    """Let an atom run."""
    item = asked(flow)
    return lambda: flow.decide(item)


@recipe
def work_decide__nay(flow):
    """Leave an atom out, and all that comes after it."""
    item = asked(flow)
    return lambda: flow.decide(item, "ALL")


@recipe
def work_decide__reverted(flow):
    """Give an atom back that is to be reverted by now."""
    flow.fan("a", "b").ask("a").start()
    first, second = flow.take(capacity=2).items
    flow.complete(second, "FAILURE")
    flow.resolve(flow.take(holding=[first]).item)
    flow.step()
    return lambda: flow.decide(first)


def failed_retry(flow: ScriptedFlow) -> Item:
    """Start a flow ?r -> a -> b, let a fail, and take its failure."""
    flow.line("?r", "a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    return flow.take().item


def trying_again(flow: ScriptedFlow) -> Item:
    """Bring a flow to where its retry controller is to try it again."""
    flow.resolve(failed_retry(flow), how="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    return flow.take().item


@recipe
def work_blame(flow):
    """Note in a history what a controller is asked about."""
    item = failed_retry(flow)
    claim = {"worker": "w1", "token": item.token, "item": item.id}
    return lambda: flow.on("?r", "work_blame", failed="a", **claim)


@recipe
def work_resolve__retry(flow):
    """Decide that a flow is tried again."""
    item = failed_retry(flow)
    return lambda: flow.resolve(item, how="RETRY ?r")


@recipe
def work_retry(flow):
    """Set out to put back what comes after a controller."""
    item = trying_again(flow)
    return lambda: flow.retry(item)


@recipe
def work_retry__runs(flow):
    """Let a controller run again."""
    item = trying_again(flow)
    flow.retry(item)
    flow.step()
    return lambda: flow.retry(item)


@recipe
def work_resolve(flow):
    """Decide that everything is reverted."""
    item = failed(flow).take().item
    return lambda: flow.resolve(item)


@recipe
def worker_heartbeat(flow):
    """Renew a lease."""
    started(flow)
    return lambda: flow.call("worker_heartbeat", worker="w1")


@recipe
def worker_leave(flow):
    """Leave with an item in hand."""
    started(flow).take()
    return lambda: flow.leave("w1")


@recipe
def worker_leave__resolving(flow):
    """Leave with a failure in hand."""
    failed(flow).take()
    return lambda: flow.leave("w1")


@recipe
def worker_sweep(flow):
    """Take an item back."""
    started(flow).take()
    return lambda: flow.sweep(dead="w1")


@recipe
def worker_sweep__given_up(flow):
    """Take back an atom that has cost as many workers as it may."""
    started(flow).take()
    return lambda: flow.sweep(dead="w1", max_attempts=1)


@recipe
def worker_sweep__asked(flow):
    """Take back an atom whose deciders were being asked."""
    asked(flow)
    return lambda: flow.sweep(dead="w1")


@recipe
def flow_check(flow):
    """Look whether the details of two atoms can be written."""
    started(flow)
    questions = [uuid_of("a"), "task", 1, uuid_of("d"), "task", 1]
    return lambda: flow.call("flow_check", rest=questions)


@recipe
def flow_write(flow):
    """Set the state of a flow that nobody runs, and change its metadata."""
    idle(flow)
    words = [2, "meta:a", "1", 1, "meta:b"]
    return lambda: flow.call("flow_write", rest=words, state="PENDING")


@recipe
def flow_remove(flow):
    """Remove a flow, all of it at once."""
    started(flow)
    return lambda: flow.call("flow_remove", limit=1000)


@recipe
def atom_read(flow):
    """Read an atom with its results."""
    item = started(flow).take().item
    flow.complete(item)
    return lambda: flow.call("atom_read", of=uuid_of("a"))


@recipe
def atom_write(flow):
    """Change the details of one atom of a running flow, and bring another."""
    started(flow)
    words = [
        *edit("a", "SUCCESS", sets=["meta:x", "1"], results=["results", "5"]),
        *edit("d", "PENDING", sets=["version", "2.0"]),
    ]
    return lambda: flow.call("atom_write", rest=words, create=1)


@recipe
def lock_create(flow):
    """Create a lock that exists."""
    started(flow)
    return lambda: flow.call("lock_create")


@recipe
def lock_acquire(flow):
    """Enter a lock."""
    started(flow)
    return lambda: ScriptedLock.of(flow).acquire("p:1")


@recipe
def lock_acquire__queue(flow):
    """Wait for a lock, and put one out whose lease is over."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")
    lock.lapse("p:2")
    return lambda: lock.acquire("p:3")


@recipe
def lock_release(flow):
    """Leave a lock, and let the next ones in."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2", "reads")
    lock.acquire("p:3", "reads")
    return lambda: lock.release("p:1")


@recipe
def lock_release__keep(flow):
    """Go on as a reader."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    return lambda: lock.release("p:1", keep_ms=1000)


@recipe
def lock_extend(flow):
    """Renew a lease, and let others in besides."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    return lambda: lock.extend("p:1", lease_ms=70_000, fence=0)


@recipe
def flow_repair(flow):
    """Compute anew what somebody has changed by hand."""
    started(flow).take()
    flow.client.execute("ZADD", flow.keys.changes, 1, uuid_of("a"))
    rest, rev = [uuid_of("a"), uuid_of("x")], flow.rev
    return lambda: repair(flow, rest=rest, rev=rev, unfinished=3, recount=1)


@recipe
def atom_restart(flow):
    """Put an atom back to its beginning."""
    started(flow).drive()
    return lambda: flow.on("a", "atom_restart")


@recipe
def atom_override(flow):
    """Give an atom another result."""
    started(flow).drive()
    return lambda: flow.on("a", "atom_override", state="SUCCESS", payload='"new"')


@recipe
def flow_expire(flow):
    """Let records go with their flow."""
    started(flow).drive()
    flow.client.execute("HSET", flow.keys.flow, "expires_at", _FAR)
    return lambda: flow.call("flow_expire", run=1)


@recipe
def flow_keep(flow):
    """Let a flow stay that was to go."""
    started(flow).drive()
    flow.client.execute("HSET", flow.keys.flow, "expires_at", _FAR)
    return lambda: flow.call("flow_keep", ended=1)


@recipe
def import_begin(flow):
    """Take the place of a flow that is there."""
    started(flow)
    return lambda: flow.call("import_begin")


@recipe
def import_save(flow):
    """Bring an atom to a flow that is there."""
    started(flow)
    words = ["atom", uuid_of("a"), 2, "rev", 5]
    return lambda: flow.call("import_save", rest=words)


@recipe
def import_finish(flow):
    """Bring the hash of a flow that is there."""
    started(flow)
    return lambda: flow.call("import_finish", rest=["rev", 5])


@recipe
def lock_list(flow):
    """Tell who holds a lock and who waits."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2")
    return lambda: lock.call("lock_list")


@recipe
def lock_break(flow):
    """Take a lock away."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1")
    lock.acquire("p:2")
    return lock.break_holders


@recipe
def flow_unlock(flow):
    """Take a flow's lock away from readers."""
    lock = ScriptedLock.of(started(flow))
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")
    return lambda: lock.break_holders("flow_unlock")


def subject_of(flow: ScriptedFlow, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the key that a script is about, and fields of it that are numbers."""
    if name.startswith("lock_"):
        return flow.keys.lock, ("schema", "fence", "deadline")
    return flow.keys.flow, ("schema", "run", "rev")


def script_of(name: str) -> str:
    """Return the script of a recipe."""
    return name.partition("__")[0]


def test_every_script_has_a_recipe():
    """No script is left out of these tests."""
    assert {script_of(name) for name in RECIPES} == set(catalogue())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_has_an_effect_and_breaks_no_rule(flow, name):
    """What is tried below does something, and what is derived stays right."""
    call = RECIPES[name](flow)
    before = flow.contents()

    call()

    if flow.exists("flow"):
        assert broken_rules(flow) == []
    else:
        assert flow.all_keys() == []
    if script_of(name) not in WITHOUT_EFFECT:
        assert flow.contents() != before


@pytest.mark.parametrize("name", sorted(set(RECIPES) - WITHOUT_FLOW))
def test_flow_that_is_gone_is_lost_and_stays_gone(flow, name):
    """Without its flow a script raises FlowLost with the key, and creates none."""
    call = RECIPES[name](flow)
    flow.client.execute("DEL", *flow.all_keys())

    with pytest.raises(FlowLost) as caught:
        call()

    assert caught.value.key == flow.keys.flow
    assert flow.all_keys() == []


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_flow_of_a_newer_schema_is_refused(flow, name):
    """A layout of the future is named, and nothing of it is touched."""
    call = RECIPES[name](flow)
    key, _ = subject_of(flow, name)
    flow.client.execute("HSET", key, "schema", 999)
    before = flow.contents()

    with pytest.raises(SchemaTooNew) as caught:
        call()

    assert (caught.value.key, caught.value.schema) == (key, 999)
    assert flow.contents() == before


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_flow_with_a_field_that_is_no_number_is_corrupt(flow, name):
    """A field that everything depends on is not guessed."""
    call = RECIPES[name](flow)
    key, fields = subject_of(flow, name)
    for field in fields:
        was = flow.client.execute("HGET", key, field)
        flow.client.execute("HSET", key, field, "many")

        assert refusal(flow, call) == key, field

        flow.client.execute("HSET", key, field, was)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_key_of_another_type_is_named_and_nothing_is_changed(flow, name):
    """A key in the way is found before the first write, or else is left alone."""
    call = RECIPES[name](flow)
    intact = flow.dump()
    for key in keys_of(flow, script_of(name), intact):
        flow.client.execute("DEL", key)
        is_text = key == flow.keys.reached
        plant = (
            ("HSET", key, "in", "the way") if is_text else ("SET", key, "in the way")
        )
        flow.client.execute(*plant)
        planted = flow.client.execute("DUMP", key)

        found = refusal(flow, call)

        assert found in (key, None), key
        assert flow.client.execute("DUMP", key) == planted, key
        flow.restore(intact)


GUARDED = sorted(name for name in RECIPES if catalogue()[script_of(name)].guarded)
KEEPING = sorted(n for n in RECIPES if "EXPIRES" in catalogue()[script_of(n)].statuses)

#: What scripts of a flow write with, and the server's clock.
WRITTEN_WITH = [*("TIME", "HSET", "HSETNX", "HDEL", "HINCRBY", "ZADD", "ZREM")]
WRITTEN_WITH += [*("ZREMRANGEBYSCORE", "ZPOPMIN", "XADD", "SET", "SETBIT", "UNLINK")]

#: They change flows, too, whoever is in a section.
HEEDLESS = {"worker_leave", "worker_sweep"}

#: One makes what is missing, one removes what is left.
UNSHAKEN = {"flow_repair", "flow_remove"}
ENTERING = sorted(
    {name for name in RECIPES if script_of(name) in HEEDLESS} | {*GUARDED} - UNSHAKEN
)


@pytest.mark.parametrize("name", ENTERING)
def test_key_that_a_flow_always_has_is_missed(flow, name):
    """One that somebody deleted is named, and is not taken for an empty one."""
    call = RECIPES[name](flow)
    intact = flow.dump()
    names = [name for name, _ in catalogue()[script_of(name)].keys]
    for lasting in LASTING_KEYS.intersection(names) - {"flow"}:
        key = getattr(flow.keys, lasting)
        flow.client.execute("DEL", key)

        assert refusal(flow, call) == key

        flow.restore(intact)


@pytest.fixture
def limited(client, server, namespace):
    """Give a client of a user from whom commands can be taken, and what does that."""
    user = f"user-{namespace}"

    def take(*rules: str) -> None:
        client.execute("ACL", "SETUSER", user, *rules)

    take("on", ">secret", f"~{namespace}:*", "+@all")
    address = f"{user}:secret@127.0.0.1:{server.port}"
    url = f"redis://{address}/0?namespace={namespace}"
    with Client(parse_url(url)) as limited:
        limited.execute(
            "EXISTS", f"{namespace}:"
        )  # it asks for all once, at the beginning
        yield limited, take
    client.execute("ACL", "DELUSER", user)


@pytest.mark.parametrize("name", [*ENTERING, "flow_repair"])
def test_user_who_lacks_a_command_changes_nothing(flow, limited, name):
    """Whichever it is: it is named before the first write."""
    call = RECIPES[name](flow)
    client, take = limited
    flow.scripts = FlowScripts(client, flow.keys)
    before = flow.contents()
    for command in WRITTEN_WITH:
        take(f"-{command}")

        with pytest.raises(Refused, match=f"may not run {command} on"):
            call()

        assert flow.contents() == before
        take("+@all")
    call()


def write_locked(flow: ScriptedFlow, fence: int, deadline: int) -> None:
    """Let somebody hold the write side of the flow's lock."""
    fields = ("held", "write", "writer", "p:1", "fence", fence, "deadline", deadline)
    flow.client.execute("HSET", flow.keys.lock, *fields)


@pytest.mark.parametrize("name", GUARDED)
def test_script_stays_out_of_a_section_of_others(flow, name):
    """LOCKED while the lease of a writer or of a reader lasts; nothing changes."""
    call = RECIPES[name](flow)
    write_locked(flow, fence=7, deadline=_FAR)
    before = flow.contents()
    with pytest.raises(Locked) as caught:
        call()
    assert (caught.value.lock, caught.value.outcome) == (flow.keys.lock, "not applied")
    assert flow.contents() == before

    flow.client.execute("HSET", flow.keys.lock, "held", "read", "writer", "")
    flow.client.execute("ZADD", flow.keys.lock_readers, _FAR, "p:2")
    before = flow.contents()
    with pytest.raises(Locked):
        call()
    assert flow.contents() == before

    flow.client.execute("ZADD", flow.keys.lock_readers, 1, "p:2")
    call()


@pytest.mark.parametrize("name", KEEPING)
def test_script_keeps_first_what_is_to_go(flow, name):
    """EXPIRES, with the run that has set it out; nothing changes."""
    call = RECIPES[name](flow)
    flow.client.execute("HSET", flow.keys.flow, "expires_at", _FAR, "ended", 0)
    before = flow.contents()
    assert call() == ["EXPIRES", 0]
    assert flow.contents() == before


@pytest.mark.parametrize("name", GUARDED)
def test_script_of_a_section_runs_while_its_lease_lasts(flow, name):
    """FENCED, and nothing changes, once another section came or the lease is over."""
    call = RECIPES[name](flow)
    flow.fence = "7"
    for fence, deadline, held in ((8, _FAR, "write"), (7, 1, "write"), (7, 0, "")):
        write_locked(flow, fence, deadline)
        flow.client.execute("HSET", flow.keys.lock, "held", held)
        before = flow.contents()

        with pytest.raises(LeaseLost) as caught:
            call()

        assert caught.value.lock == flow.keys.lock
        assert flow.contents() == before

    write_locked(flow, fence=7, deadline=_FAR)
    call()


@pytest.mark.parametrize("name", GUARDED)
def test_what_comes_too_late_is_not_done(flow, name):
    """LATE, and nothing changes, once its process has sent something marked since."""
    call = RECIPES[name](flow)
    flow.client.execute("HSET", flow.keys.lock, "void", f"o 9 {_FAR} p 5 {_FAR}")
    before = flow.contents()

    flow.sent = "p 4 0"
    with pytest.raises(Unavailable, match="LATE p has sent"):
        call()
    assert flow.contents() == before

    flow.sent = "p 6 0"
    call()


@pytest.mark.parametrize("name", GUARDED)
def test_what_is_refused_ends_what_was_sent_before_it(flow, name):
    """A mark is kept whatever the answer: the answer tells of all before it."""
    call = RECIPES[name](flow)
    write_locked(flow, fence=7, deadline=_FAR)
    for mark in ("1", "2"):
        flow.sent = f"p 5 {mark}"
        with pytest.raises(Locked):
            call()
        void = flow.client.execute("HGET", flow.keys.lock, "void").split()
        assert void[:2] == [b"p", b"5"]
        flow.client.execute("HDEL", flow.keys.lock, "void")


@pytest.mark.parametrize("name", sorted({*GUARDED} - {"flow_remove"}))
def test_flow_without_its_lock_is_corrupt(flow, name):
    """A lock that somebody deleted is not taken for a free one."""
    call = RECIPES[name](flow)
    flow.client.execute("DEL", flow.keys.lock)

    assert refusal(flow, call) == flow.keys.lock


def keys_of(flow: ScriptedFlow, script: str, present: Collection[str]) -> list[str]:
    """Name the keys that a script declares, and the records that it may derive."""
    declared = [key for key, _ in catalogue()[script].keys if key not in RECORDS]
    derived = [
        getattr(flow.keys, kind)(uuid_of(atom)) for kind in RECORDS for atom in ATOMS
    ]
    in_wide_flows = [key for key in present if key.endswith((":t0-uuid", ":t200-uuid"))]
    return [*(getattr(flow.keys, key) for key in declared), *derived, *in_wide_flows]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_nodes_that_are_not_understood_are_named(flow, name):
    """A structure that nobody can read is an error, not a guess."""
    call = RECIPES[name](flow)
    nodes = dict.fromkeys(flow.hash("graph"), "nonsense")
    for number in nodes:
        flow.client.execute("HSET", flow.keys.graph, number, "nonsense")

    assert refusal(flow, call) in (flow.keys.graph, None)
    if flow.exists("flow"):
        assert flow.hash("graph").items() >= nodes.items()


def refusal(flow: ScriptedFlow, call: Call) -> str | None:
    """Return the key that a call names as corrupt, None if it succeeds.

    Whenever it refuses, it has changed nothing.
    """
    before = flow.contents()
    try:
        call()
    except CorruptKey as error:
        key = error.key
    else:
        return None
    assert flow.contents() == before, f"{key} was refused after a write"
    return key
