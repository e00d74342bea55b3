"""What a person sees who looks at a flow with redis-cli."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import redis
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.keys import FlowKeys


class Greet(task.Task):
    """A task with a result that JSON has no form for by itself."""

    default_provides = ("greeting", "length")

    def execute(self, name: str) -> tuple[str, int]:
        """Greet somebody."""
        return f"hello {name}", len(name)


class Plain(task.Task):
    """A task that provides nothing."""

    def execute(self) -> None:
        """Do nothing."""


@pytest.fixture
def keys(url: str, namespace: str) -> FlowKeys:
    """Run a flow of one task, and name its keys."""
    flow = linear_flow.Flow("greeting").add(Greet("greet"))
    engine = redisflow.load(flow, run_id="by-hand", url=url, store={"name": "you"})
    engine.run()
    return FlowKeys(namespace, engine.storage.flow_uuid)


def _hash(admin: redis.Redis, key: str) -> dict[str, str]:
    found: Any = admin.hgetall(key)
    return dict(found)


def test_the_flow_reads_like_a_table(admin: redis.Redis, keys: FlowKeys) -> None:
    """HGETALL of a flow says in whole words what it is and how it is."""
    flow = _hash(admin, keys.flow)
    assert flow["name"] == "greeting"
    assert flow["state"] == "SUCCESS"
    assert flow["uuid"] == keys.flow_uuid
    assert flow["meta:run_id"] == '"by-hand"'
    for name in ("run", "ended", "epoch", "rev", "halt", "schema"):
        assert re.fullmatch(r"\d+", flow[name]), name
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"1\d{12}", flow[name]), name  # ms of the server's clock
    assert admin.exists(f"{keys.namespace}:book:{flow['book']}")


def test_an_atom_reads_like_a_table(admin: redis.Redis, keys: FlowKeys) -> None:
    """HGETALL of an atom says its name, state, times and how often it was tried."""
    uuid: Any = admin.hget(keys.atoms, "greet")
    atom = _hash(admin, keys.atom(uuid))
    assert (atom["name"], atom["type"], atom["version"]) == ("greet", "task", "1.0")
    assert (atom["state"], atom["intention"]) == ("SUCCESS", "EXECUTE")
    assert (atom["owner"], atom["round"]) == ("", "1")
    assert int(atom["token"]) < int(atom["rev"])
    assert int(atom["started_at"]) <= int(atom["finished_at"])
    assert json.loads(atom["provides"]) == {"greeting": 0, "length": 1}


def test_a_record_has_what_says_something(
    admin: redis.Redis, url: str, namespace: str
) -> None:
    """Of an atom with nothing to tell but that it was done; it is what most are.

    Up to 224 bytes of fields the allocator takes 224, then 256, and then 320.
    """
    flow = linear_flow.Flow("plain").add(Plain("task-1000"))
    engine = redisflow.load(flow, run_id="plain", url=url)
    engine.run()
    keys = FlowKeys(namespace, engine.storage.flow_uuid)
    key = keys.atom(engine.storage.get_atom_uuid("task-1000"))
    atom = _hash(admin, key)
    assert set(atom) == {
        *("name", "type", "version", "place", "node", "state", "intention", "rev"),
        *("owner", "token", "round", "started_at", "finished_at", "meta:progress"),
    }
    assert sum(len(name) + len(value) + 4 for name, value in atom.items()) <= 224


def test_results_are_json(admin: redis.Redis, keys: FlowKeys) -> None:
    """A result is JSON; what JSON lacks stands under a readable tag."""
    uuid: Any = admin.hget(keys.atoms, "greet")
    result = _hash(admin, keys.result(uuid))
    assert json.loads(result["results"]) == {"$tuple": ["hello you", 3]}


def test_the_journal_tells_each_transition(admin: redis.Redis, keys: FlowKeys) -> None:
    """XRANGE tells in order what has happened, and by whom."""
    entries: Any = admin.xrange(keys.events)
    told = [(fields["from"], fields["to"]) for _, fields in entries]
    assert told[-4:] == [
        ("PENDING", "RUNNING"),
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCESS"),
        ("RUNNING", "SUCCESS"),
    ]
    assert all(fields["worker"] for _, fields in entries[-4:])
