"""Runs of which something is damaged, seen by the commands that look."""

from __future__ import annotations

import json

import pytest
from taskflow.patterns import linear_flow

import redisflow
from redisflow.keys import FlowKeys
from tests.support.patterns import Work

pytestmark = pytest.mark.one_server

_DAMAGES = {
    "no hash": lambda r, keys: (r.delete(keys.flow), r.set(keys.flow, "junk")),
    "run": lambda r, keys: r.hset(keys.flow, "run", "abc"),
    "updated_at": lambda r, keys: r.hset(keys.flow, "updated_at", "x"),
    "submitted": lambda r, keys: r.hset(keys.flow, "submitted", "x"),
    "name": lambda r, keys: r.hset(keys.flow, "name", b"\xff\xfe"),
    "atoms": lambda r, keys: (r.delete(keys.atoms), r.set(keys.atoms, "junk")),
    "workers": lambda r, keys: (r.delete(keys.workers), r.set(keys.workers, "junk")),
}


@pytest.fixture
def keys(url, namespace):
    """Run two flows to their end; gives the keys of one of them."""
    for run_id in ("sound", "damaged"):
        flow = linear_flow.Flow("f").add(Work("a"), Work("b"))
        engine = redisflow.load(flow, run_id=run_id, url=url)
        engine.run()
        engine.storage.backend.close()
    return FlowKeys(namespace, engine.storage.flow_uuid)


@pytest.fixture(params=_DAMAGES)
def damaged(request, keys, admin):
    """Damage one of two runs; gives its uuid."""
    _DAMAGES[request.param](admin, keys)
    return keys.flow_uuid


def _note(uuid):
    return f"redisflow: 1 run cannot be read: see redisflow doctor {uuid}\n"


def test_a_damaged_run_is_listed_as_such(damaged, typed):
    """The others are shown as ever; of it there is the uuid, and a note."""
    status, out, err = typed("ls")
    assert (status, err) == (0, _note(damaged))
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert "(unreadable)" in rows.pop(damaged[:8])
    (other,) = rows.values()
    assert "SUCCESS" in other
    status, out, err = typed("ls", "-o", "json")
    assert (status, err) == (0, _note(damaged))
    states = {run["flow_uuid"]: run["state"] for run in json.loads(out)["runs"]}
    assert states.pop(damaged) == "(unreadable)"
    assert [*states.values()] == ["SUCCESS"]


@pytest.mark.parametrize("command", ["workers", "locks"])
def test_a_damaged_run_hides_no_others(damaged, typed, command):
    """They are read, and a note tells of the damaged one."""
    assert typed(command)[::2] == (0, _note(damaged))


def test_a_damaged_lock_hides_no_others(keys, admin, typed):
    """The others are read, and a note tells of the damaged one."""
    admin.delete(keys.lock)
    admin.set(keys.lock, "junk")
    assert typed("locks") == (0, "no lock is held\n", _note(keys.flow_uuid))


def test_a_damaged_run_is_not_collected(damaged, typed):
    """It is old, as far as anybody can tell: it stays, the sound one would go."""
    status, out, _err = typed("gc", "--older", "0s", "--dry-run", "-o", "json")
    assert status == 0
    (chosen,) = json.loads(out)["runs"]
    assert chosen["run_id"] == "sound"


def test_filters_leave_a_damaged_run_alone(damaged, typed):
    """Whoever acts upon runs by a filter is told of it; by name it can be removed."""
    status, out, err = typed("rm", "--name", "*", "--dry-run", "-o", "json")
    assert status == 0
    assert damaged not in out
    assert _note(damaged) in err


@pytest.mark.parametrize("command", ["graph", "tree", "show"])
def test_a_link_that_leads_nowhere_is_told(keys, admin, typed, command):
    """It is damage, status 4; but not while the structure is still being written."""
    admin.hset(keys.graph, "0", admin.hget(keys.graph, "0").replace("|1|", "|99|"))
    status, _out, err = typed(command, "damaged")
    assert status == 4
    assert err == f"redisflow: key {keys.graph}: the link 0 to 99 leads nowhere\n"
    admin.hset(keys.flow, "starter", "elsewhere:1:0badcafe")
    assert typed(command, "damaged")[0] == 0


def test_the_doctor_tells_of_a_damaged_run(damaged, typed):
    """It has a finding about that run, goes on, and does not mend it."""
    for words in ((), ("--repair",)):
        status, out, err = typed("doctor", *words, "-o", "json")
        assert (status, err) == (5, "")
        document = json.loads(out)
        assert document["flows"] == 2
        found = [each for each in document["findings"] if each["flow_uuid"] == damaged]
        errors = {each["rule"] for each in found if each["severity"] == "error"}
        assert errors <= {"wrong-type", "field", "names"}
        assert errors
