"""The doctor: each rule is broken by hand, told, and mended where that is possible."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow

import redisflow
from redisflow.doctor import (
    RULES,
    check_flow,
    check_namespace,
    repair_flow,
    repair_namespace,
)
from redisflow.doctor.server import check_server, judge
from redisflow.errors import FlowCancelled
from redisflow.keys import FlowKeys, flow_uuid_of
from tests.support.random_flows import draw_shape

pytestmark = pytest.mark.one_server

Damage = Callable[[Any, FlowKeys, dict[str, str]], object]


class Give(task.Task):
    """A task with a result."""

    default_provides = "given"

    def execute(self) -> str:
        """Give something."""
        return "given"


class Nap(task.Task):
    """A task that takes a little time."""

    def execute(self) -> None:
        """Sleep."""
        threading.Event().wait(0.01)


class Fail(task.Task):
    """A task that fails."""

    def execute(self) -> None:
        """Fail."""
        raise RuntimeError("as it should")


def line() -> linear_flow.Flow:
    """Make a flow of a retry and three tasks."""
    controller = retry.Times(2, name="again")
    return linear_flow.Flow("line", retry=controller).add(
        Give("a"), Give("b", provides="more"), Give("c", provides="most")
    )


@pytest.fixture
def phases(url):
    """Stop in the middle of a flow: one atom is done, and the worker lives."""
    engine = redisflow.load(line(), run_id="at-work", url=url, store={"x": 1})
    phases = engine.run_iter()
    for _phase in phases:
        if engine.storage.get_atom_state("b") == "SUCCESS":
            break
    yield phases
    with contextlib.suppress(Exception):  # what was broken breaks its end, too
        phases.close()


@pytest.fixture
def keys(phases, namespace) -> FlowKeys:
    """Name the keys of the flow at work."""
    return FlowKeys(namespace, flow_uuid_of("at-work", namespace))


def rules_of(findings) -> set[str]:
    """Name the rules of errors and warnings; notes may come with any of them."""
    return {each.rule for each in findings if each.severity != "note"}


def atom_of(admin, keys, name="c") -> str:
    """Name the hash of an atom."""
    return keys.atom(admin.hget(keys.atoms, name))


DAMAGES: dict[str, list[Damage]] = {
    "wrong-type": [
        lambda r, k, _: (r.delete(k.idle), r.set(k.idle, "x")),
        lambda r, k, _: (r.delete(atom_of(r, k)), r.set(atom_of(r, k), "x")),
    ],
    "lost-key": [
        lambda r, k, _: r.delete(k.idle),
        lambda r, k, _: r.zrem(k.lock_queue, "-"),
        lambda r, k, _: r.delete(k.reached),
        lambda r, k, _: r.delete(k.lock),
    ],
    "expires": [
        lambda r, k, _: r.expire(k.claims, 1000),
        lambda r, k, _: r.expire(atom_of(r, k), 1000),
    ],
    "field": [
        lambda r, k, _: r.hset(k.flow, "run", "many"),
        lambda r, k, _: r.hdel(k.flow, "book"),
        lambda r, k, _: r.hset(k.flow, "state", "MAYBE"),
        lambda r, k, _: r.hset(atom_of(r, k), "state", "MAYBE"),
        lambda r, k, _: r.hset(atom_of(r, k), "intention", "WISH"),
        lambda r, k, _: r.hset(k.flow, "created_at", ""),
        lambda r, k, _: r.hset(k.flow, "updated_at", "x"),
        lambda r, k, _: r.hset(k.flow, "submitted", "x"),
        lambda r, k, _: r.hset(k.flow, "lease_ms", "x"),
        lambda r, k, _: r.hset(k.flow, "rev", 10**16),
        lambda r, k, _: r.hdel(atom_of(r, k), "state"),
        lambda r, k, _: r.hdel(atom_of(r, k), "intention"),
        lambda r, k, _: r.hdel(atom_of(r, k), "type"),
        lambda r, k, _: r.hset(atom_of(r, k), "started_at", "abc"),
        lambda r, k, _: r.hset(atom_of(r, k), "finished_at", ""),
        lambda r, k, _: r.hset(atom_of(r, k), "place", "x"),
        lambda r, k, _: r.hset(atom_of(r, k), "token", "x"),
        lambda r, k, _: r.hset(atom_of(r, k), "provides", "{"),
    ],
    "names": [
        lambda r, k, _: r.hset(atom_of(r, k), "name", "another"),
        lambda r, k, _: r.hset(k.atoms, "ghost", "ghost-uuid"),
    ],
    "nameless": [
        lambda r, k, _: r.hdel(k.atoms, "c"),
        lambda r, k, _: r.delete(k.atoms),
    ],
    "graph": [
        lambda r, k, _: (r.delete(k.graph), r.hset(k.graph, "-", "")),
        lambda r, k, _: r.hset(k.graph, "1", "what?"),
        lambda r, k, _: r.hset(k.flow, "nodes", 99),
        lambda r, k, _: r.hset(k.graph, "3", r.hget(k.graph, "3")[:-1] + "0"),
        lambda r, k, _: r.hset(atom_of(r, k), "node", "1"),
    ],
    "journal-order": [
        lambda r, k, _: r.xadd(k.events, {"rev": 1, "epoch": 1, "atom": "?"}),
        lambda r, k, _: r.hset(k.flow, "rev", 1),
        lambda r, k, _: r.xadd(k.events, {"rev": 10**6, "epoch": 0}),
        lambda r, k, _: r.xadd(k.events, {"epoch": 1}),
    ],
    "journal-jump": [lambda r, k, _: r.xdel(k.events, r.xrange(k.events)[-2][0])],
    "journal-state": [
        lambda r, k, _: r.hset(atom_of(r, k), "state", "IGNORE"),
        lambda r, k, _: r.hset(atom_of(r, k), "intention", "RETRY"),
        lambda r, k, _: r.hset(k.flow, "state", "RESUMING"),
    ],
    "changes": [
        lambda r, k, _: r.zadd(k.changes, {r.hget(k.atoms, "c"): 10**6}),
        lambda r, k, _: r.zrem(k.changes, r.hget(k.atoms, "c")),
        lambda r, k, _: r.zadd(k.changes, {"nobody": 3}),
    ],
    "unfinished": [lambda r, k, _: r.hset(k.flow, "unfinished", 77)],
    "missing": [
        lambda r, k, _: r.hset(k.missing, "5", 3),
        lambda r, k, _: r.hset(k.missing, "4", 1),
    ],
    "planned": [lambda r, k, _: r.hset(k.flow, "planned", 1)],
    "stuck": [lambda r, k, _: r.zrem(k.ready, *r.zrange(k.ready, 0, -1)[:-1])],
    "claims-count": [lambda r, k, _: r.hset(k.claims, "#nobody", 2)],
    "claim": [lambda r, k, _: r.hset(k.claims, "00000099:execute", "w 1")],
    "unclaimed": [
        lambda r, k, _: r.hset(atom_of(r, k), "owner", "nobody"),
        lambda r, k, _: r.hset(k.flow, "resolving", "00000004:resolve"),
    ],
    "held-twice": [
        lambda r, k, _: (
            r.hset(k.claims, r.zrange(k.ready, 0, 0)[0], "w 1"),
            r.hset(k.claims, "#w", 1),
        )
    ],
    "resolving": [
        lambda r, k, _: (
            r.hset(k.claims, "00000004:resolve", "w 1"),
            r.hset(k.claims, "#w", 1),
        )
    ],
    "left-over": [
        lambda r, k, f: r.hset(k.flow, "ended", f["run"]),
    ],
    "result-flags": [
        lambda r, k, _: r.hset(atom_of(r, k), "failed", "E"),
        lambda r, k, _: r.hset(
            atom_of(r, k).replace("atom:", "result:"), "failure", "{}"
        ),
    ],
    "history": [
        lambda r, k, _: r.hset(atom_of(r, k, "again"), "entries", 4),
        lambda r, k, _: r.hset(
            atom_of(r, k, "again").replace("atom:", "result:"),
            "entry:9:failure:a",
            "{}",
        ),
    ],
    "value": [
        lambda r, k, _: r.hset(
            atom_of(r, k, "a").replace("atom:", "result:"), "results", "{not JSON"
        ),
        lambda r, k, _: r.hset(k.flow, "meta:run_id", "{not JSON"),
    ],
}
CASES = [(rule, n) for rule, damages in DAMAGES.items() for n in range(len(damages))]


@pytest.mark.parametrize(("rule", "number"), CASES)
def test_damage_is_told(rule, number, keys, backend, admin):
    """The rule that was broken is among those found, and the flow is as it was."""
    assert rules_of(check_flow(backend, keys.flow_uuid)) == set()
    DAMAGES[rule][number](admin, keys, admin.hgetall(keys.flow))
    before = dump_of(admin, keys)

    found = check_flow(backend, keys.flow_uuid)

    assert rule in rules_of(found), found
    assert all(str(each) for each in found)
    assert dump_of(admin, keys) == before


@pytest.mark.parametrize("case", [case for case in CASES if RULES[case[0]].repairable])
def test_what_is_derived_is_mended(case, phases, keys, backend, admin):
    """After the repair the rule holds, records and results are as they were."""
    rule, number = case
    DAMAGES[rule][number](admin, keys, admin.hgetall(keys.flow))
    truth = truth_of(admin, keys)

    mended = repair_flow(backend, keys.flow_uuid)

    assert truth_of(admin, keys) == truth
    if not admin.exists(keys.lock):
        assert mended == []  # a lock without its fence is nobody's guess
        return
    assert rule in rules_of(mended)
    assert rules_of(check_flow(backend, keys.flow_uuid)) == set()
    assert repair_flow(backend, keys.flow_uuid) == []
    assert list(phases)[-1] == "SUCCESS"
    assert rules_of(check_flow(backend, keys.flow_uuid)) == set()


def test_names_that_are_no_text_are_told(keys, backend, admin):
    """Commands cannot show such a flow: that of the flow, and that of an atom."""
    for key in (atom_of(admin, keys), keys.flow):
        admin.hset(key, "name", b"\xff")
        found = check_flow(backend, keys.flow_uuid)
        assert ("field", key) in {(each.rule, each.key) for each in found}


def truth_of(admin, keys):
    """Read the records and results, but for who holds an atom without a claim."""
    found = dump_of(admin, keys, only=("atom:", "result:"))
    for fields in found.values():
        if fields.get("owner") == "nobody":
            fields["owner"] = ""
        fields.pop("rev", None)
    return found


def dump_of(admin, keys, only=("",)) -> dict[str, object]:
    """Read keys of a flow: each by a command for its type."""
    prefix = keys.flow.removesuffix("flow")
    reads = {
        "hash": admin.hgetall,
        "zset": lambda key: admin.zrange(key, 0, -1, withscores=True),
        "stream": admin.xrange,
        "string": admin.get,
    }
    found = sorted(admin.scan_iter(f"{prefix}*"))
    return {
        key: reads[admin.type(key)](key)
        for key in found
        if key.removeprefix(prefix).startswith(only)
        and not key.endswith((":workers", ":idle"))
    }


def test_every_rule_of_a_flow_is_broken_here():
    """No rule is left out of these tests."""
    notes = {name for name, rule in RULES.items() if rule.severity == "note"}
    elsewhere = {"orphan-key", "unknown-key", "book-gone"}
    others = {name for name in RULES if name.startswith(("server-", "index-"))}
    assert set(DAMAGES) == RULES.keys() - notes - elsewhere - others


@pytest.mark.parametrize("number", range(8))
def test_sound_flows_have_no_findings(number, seed, url, backend):
    """Retries, deciders, failures: in every phase of a run, and after it."""
    dice = random.Random(seed + number)
    shape = draw_shape(dice, 20, wild=True, trouble=["none", "one", "some"])
    engine = redisflow.load(shape.make([]), run_id="sound", url=url)
    uuid = engine.storage.flow_uuid
    found = set()
    with contextlib.suppress(Exception):  # it may fail as it likes
        for _phase in engine.run_iter():
            found |= rules_of(check_flow(backend, uuid))
    assert engine.storage.get_flow_state() in ("SUCCESS", "FAILURE", "REVERTED")
    assert found | rules_of(check_flow(backend, uuid)) == set()
    assert rules_of(check_namespace(backend)) == set()


def test_flows_that_ended_otherwise_have_no_findings(url, backend):
    """Suspended, cancelled, submitted and never begun; and a lock of its own."""
    waits = redisflow.load(line(), run_id="waits", url=url)
    for _phase in waits.run_iter():
        waits.suspend()
    undone = redisflow.load(line().add(Fail("f")), run_id="undone", url=url)
    with contextlib.suppress(RuntimeError, FlowCancelled):
        for _phase in undone.run_iter():
            if undone.storage.get_atom_state("a") == "SUCCESS":
                undone.cancel("a test")
    redisflow.submit("shop:factory", run_id="left", url=url)
    with redisflow.ReaderWriterLock(backend, "own").write_lock():
        assert rules_of(check_namespace(backend)) == set()
    for name in ("waits", "undone", "left"):
        uuid = flow_uuid_of(name, backend.keys.namespace)
        assert rules_of(check_flow(backend, uuid)) == set()
    assert rules_of(check_namespace(backend)) == set()


def test_flow_at_work_gives_no_false_alarm(url, backend):
    """Looked at all the time while three engines run it: notes at most."""
    flow = graph_flow.Flow("busy")
    naps = [Nap(f"n{number}") for number in range(150)]
    flow.add(*naps)
    for one, other in zip(naps, naps[50:], strict=False):
        flow.link(one, other)
    engines = [redisflow.load(flow, run_id="busy", url=url) for _ in range(3)]
    threads = [threading.Thread(target=engine.run) for engine in engines]
    for thread in threads:
        thread.start()
    looks = []
    while any(thread.is_alive() for thread in threads):
        looks.append(check_flow(backend, engines[0].storage.flow_uuid))
    for thread in threads:
        thread.join()
    assert len(looks) > 3
    assert rules_of(finding for found in looks for finding in found) == set()
    assert engines[0].storage.get_flow_state() == "SUCCESS"


def test_flow_of_a_newer_layout_is_left_alone(keys, backend, admin):
    """It is told in a note, whatever else is wrong with it, and not mended."""
    admin.hset(keys.flow, mapping={"schema": 99, "unfinished": 77})
    assert [each.rule for each in check_flow(backend, keys.flow_uuid)] == [
        "newer-schema"
    ]
    assert repair_flow(backend, keys.flow_uuid) == []
    assert admin.hget(keys.flow, "unfinished") == "77"


def test_who_died_is_a_note(keys, backend, admin):
    """Claims of the dead, a plan that nobody carries on, a lock whose lease is over."""
    admin.hset(keys.plan, "phases", "forward")
    admin.hset(keys.flow, "planned", 1)
    admin.hset(keys.lock, mapping={"held": "write", "deadline": 1, "writer": "x:1"})
    admin.zadd(keys.lock_readers, {"y:1": 1})
    admin.zremrangebyscore(keys.workers, "-inf", "(inf")
    notes = {each.rule for each in check_flow(backend, keys.flow_uuid)}
    assert notes >= {"plan-waits", "lock-waits"}


def test_flow_that_is_gone_has_no_findings(backend):
    """There is nothing to look at."""
    assert check_flow(backend, "00000000-0000-4000-8000-000000000000") == []


NAMESPACE: dict[str, list[Damage]] = {
    "index-flows": [
        lambda r, k, _: r.zrem(f"{k.namespace}:flows", k.flow_uuid),
        lambda r, k, _: r.zadd(f"{k.namespace}:flows", {"gone": 1}),
    ],
    "index-books": [
        lambda r, k, f: r.zrem(f"{k.namespace}:books", f["book"]),
        lambda r, k, _: r.zadd(f"{k.namespace}:books", {"gone": 1}),
    ],
    "index-atoms": [lambda r, k, _: r.hset(f"{k.namespace}:atom-index", "a", "gone")],
    "index-submitted": [
        lambda r, k, _: r.zadd(f"{k.namespace}:submitted", {k.flow_uuid: 1}),
        lambda r, k, _: (
            redisflow.submit("m:f", run_id="left", url=url_of(r, k)),
            r.delete(f"{k.namespace}:submitted"),
        ),
    ],
    "index-servers": [lambda r, k, _: r.zadd(f"{k.namespace}:servers", {"dead": 1})],
    "book-gone": [lambda r, k, f: r.delete(f"{k.namespace}:book:{f['book']}")],
    "orphan-key": [
        lambda r, k, _: r.hset(f"{k.namespace}:{{gone}}:claims", "-", ""),
        lambda r, k, _: r.hset(k.atom("stray"), "name", "stray"),
    ],
    "unknown-key": [
        lambda r, k, _: r.set(f"{k.namespace}:whose", 1),
        lambda r, k, _: r.set(f"{k.namespace}:{{{k.flow_uuid}}}:whose", 1),
        lambda r, k, _: r.set(f"{k.namespace}:{{lock:x}}:whose", 1),
        lambda r, k, _: r.set(f"{k.namespace}:{{lock:x}}:wake:whose", 1),
    ],
    "hint-stays": [
        lambda r, k, _: r.rpush(f"{k.namespace}:wake:gone", "x"),
        lambda r, k, _: r.rpush(k.wake("gone"), "x"),
        lambda r, k, _: r.rpush(k.lock_wake("gone"), "x"),
        lambda r, k, _: r.rpush(f"{k.namespace}:{{lock:x}}:lock_wake:gone", "x"),
    ],
}


def url_of(admin, keys) -> str:
    """Name the test's server once more."""
    where = admin.connection_pool.connection_kwargs
    return f"redis://{where['host']}:{where['port']}/0?namespace={keys.namespace}"


@pytest.mark.parametrize(
    ("rule", "number"),
    [(rule, n) for rule, damages in NAMESPACE.items() for n in range(len(damages))],
)
def test_damage_of_the_namespace_is_told(rule, number, keys, backend, admin):
    """It is found, and mended if it can be; what is left is what cannot."""
    assert rules_of(check_namespace(backend)) == set()
    NAMESPACE[rule][number](admin, keys, admin.hgetall(keys.flow))

    assert rule in {each.rule for each in check_namespace(backend)}

    mended = {each.rule for each in repair_namespace(backend)}
    left = {each.rule for each in check_namespace(backend)}
    assert (rule in mended, rule in left) == (
        RULES[rule].repairable,
        not RULES[rule].repairable,
    )


def test_large_indexes_are_read_in_pages(keys, backend, admin):
    """No call makes the server read all of an index at once."""
    gone = [f"gone-{number}" for number in range(1200)]
    admin.zadd(f"{keys.namespace}:flows", dict.fromkeys(gone, 1))
    admin.zadd(f"{keys.namespace}:submitted", dict.fromkeys(gone, 1))
    admin.hset(f"{keys.namespace}:atom-index", mapping={each: each for each in gone})
    sent = []
    with admin.monitor() as monitor:
        found = check_namespace(backend)
        admin.echo("that was all")
        while "that was all" not in (entry := monitor.next_command())["command"]:
            sent.append(entry["command"])
    for rule in ("index-flows", "index-submitted", "index-atoms"):
        assert sum(each.rule == rule for each in found) == len(gone)
    assert not [each for each in sent if "HGETALL" in each or "flows 0 -1" in each]


SOUND = {
    "redis_version": "7.2.4",
    "maxmemory": 1000,
    "used_memory": 10,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "role": "master",
    "connected_slaves": 1,
    "slave0": {"ip": "h", "port": 1, "state": "online", "lag": 0},
}


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("server-old", {"redis_version": "6.2.1"}),
        ("server-old", {"valkey_version": "7.1.0"}),
        ("server-evicts", {"maxmemory_policy": "allkeys-lru"}),
        ("server-forgets", {"aof_enabled": 0}),
        ("server-cannot-save", {"rdb_last_bgsave_status": "err"}),
        ("server-cannot-save", {"aof_last_write_status": "err"}),
        ("server-evicted", {"evicted_keys": 1}),
        ("server-full", {"used_memory": 950}),
        ("server-no-room", {"used_memory": 1000}),
        ("server-unbounded", {"maxmemory": 0}),
        ("server-replica", {"role": "slave"}),
        ("server-alone", {"connected_slaves": 0}),
        ("server-lags", {"slave0": {"state": "online", "lag": 30}}),
        ("server-lags", {"slave0": {"state": "wait_bgsave", "lag": 0}}),
    ],
)
def test_settings_of_a_server(rule, changed):
    """What INFO says of a server is judged; a sound one gives nothing to say."""
    assert list(judge(SOUND)) == []
    assert [each.rule for each in judge({**SOUND, **changed})] == [rule]


@pytest.mark.parametrize(
    ("value", "rules"), [("no", {"server-syncs-late"}), ("always", set())]
)
def test_setting_that_only_config_tells(value, rules, backend, admin):
    """The server is asked when the append-only file is written to the disk."""
    before = admin.config_get("appendfsync", "appendonly")
    admin.config_set("appendonly", "yes")
    admin.config_set("appendfsync", value)
    try:
        found = {each.rule for each in check_server(backend.client)}
    finally:
        for name, old in before.items():
            admin.config_set(name, old)
    assert found & {"server-syncs-late", "server-silent"} == rules
