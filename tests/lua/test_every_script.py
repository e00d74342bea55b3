"""What every script promises: gone, too new or corrupt, and nothing is changed.

Each script has a recipe (`tests.support.recipes`): it prepares a flow in which the
script has its main effect, and returns the call. The same call then meets a flow that
is gone, one of a newer schema, and one with a key of another type in place of each key
that the script declares or derives.
"""

from __future__ import annotations

from collections.abc import Collection

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
from tests.support.flows import ScriptedFlow
from tests.support.recipes import FAR, RECIPES, Call, script_of

pytestmark = pytest.mark.one_server

#: Kinds of records of an atom, and the atoms of the recipes, whether there or not.
RECORDS = ("atom", "result")
ATOMS = ("a", "b", "c", "d", "?r", "inject")

#: Scripts whose recipes change nothing, and those to which a flow may be gone.
WITHOUT_EFFECT = {"atom_read", "flow_check", "flow_create", "flow_sync"}
#: Its effect is on the keys' time to live, not on what is in them.
WITHOUT_EFFECT |= {"flow_expire"}
WITHOUT_EFFECT |= {"lock_create", "lock_list"}
#: Their effect is where there is no flow: their own tests have it.
WITHOUT_EFFECT |= {"import_begin", "import_finish", "import_save"}
WITHOUT_FLOW = {"flow_check", "flow_create", "flow_remove", "lock_create"}
WITHOUT_FLOW |= {"import_begin", "import_finish", "import_save"}


def subject_of(flow: ScriptedFlow, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the key that a script is about, and fields of it that are numbers."""
    if name.startswith("lock_"):
        return flow.keys.lock, ("schema", "fence", "deadline")
    return flow.keys.flow, ("schema", "run", "rev")


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
    write_locked(flow, fence=7, deadline=FAR)
    before = flow.contents()
    with pytest.raises(Locked) as caught:
        call()
    assert (caught.value.lock, caught.value.outcome) == (flow.keys.lock, "not applied")
    assert flow.contents() == before

    flow.client.execute("HSET", flow.keys.lock, "held", "read", "writer", "")
    flow.client.execute("ZADD", flow.keys.lock_readers, FAR, "p:2")
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
    flow.client.execute("HSET", flow.keys.flow, "expires_at", FAR, "ended", 0)
    before = flow.contents()
    assert call() == ["EXPIRES", 0]
    assert flow.contents() == before


@pytest.mark.parametrize("name", GUARDED)
def test_script_of_a_section_runs_while_its_lease_lasts(flow, name):
    """FENCED, and nothing changes, once another section came or the lease is over."""
    call = RECIPES[name](flow)
    flow.fence = "7"
    for fence, deadline, held in ((8, FAR, "write"), (7, 1, "write"), (7, 0, "")):
        write_locked(flow, fence, deadline)
        flow.client.execute("HSET", flow.keys.lock, "held", held)
        before = flow.contents()

        with pytest.raises(LeaseLost) as caught:
            call()

        assert caught.value.lock == flow.keys.lock
        assert flow.contents() == before

    write_locked(flow, fence=7, deadline=FAR)
    call()


@pytest.mark.parametrize("name", GUARDED)
def test_what_comes_too_late_is_not_done(flow, name):
    """LATE, and nothing changes, once its process has sent something marked since."""
    call = RECIPES[name](flow)
    flow.client.execute("HSET", flow.keys.lock, "void", f"o 9 {FAR} p 5 {FAR}")
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
    write_locked(flow, fence=7, deadline=FAR)
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
