"""Keys are deleted, emptied, replaced or of a newer schema while workers are at it.

=================================  ==========================================
what is deleted                    what comes of it
=================================  ==========================================
flow                               FlowLost; its other keys are left over
lock, events, graph, an atom       CorruptKey; nothing can bring it back
atoms, missing, ready, claims,     CorruptKey; `--repair`, and it goes on
workers, plan, changes
lock_readers, lock_queue,          nothing: a key that is not there is an
lock_owners, idle, reached,        empty one; `--repair` brings it back
the result of one that has none
=================================  ==========================================

A key of another type is CorruptKey always. Whatever it is, the doctor names it.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest

from redisflow import RedisBackend
from redisflow.doctor import check_flow, check_namespace, repair_flow
from tests.support.eventually import eventually
from tests.support.scenarios import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

LEASE_S = 1.0
NAMES = ["a", "b", "c", "d"]

#: All keys of a flow that may be gone or in the way; "atom" and "result" are of c.
KEYS = (
    *("flow", "lock", "lock_readers", "lock_queue", "lock_owners", "atoms", "graph"),
    *("missing", "ready", "claims", "workers", "idle", "plan", "changes", "events"),
    *("reached", "atom", "result"),
)

#: What the flow can do without: a key that is not there is an empty one.
NOT_MISSED = {"lock_readers", "lock_queue", "lock_owners", "idle", "reached", "result"}

#: What is not derived from anything else.
LOST_FOR_GOOD = {"lock", "events", "graph", "atom"}


class Scene:
    """A flow that two workers have stopped at, in the middle: one holds b.

    Args:
        stage: where flows are.
        name: names the flow.
    """

    def __init__(self, stage, name):
        folder = stage.folder / name
        folder.mkdir()
        self.stage = Stage(stage.url, stage.admin, folder, name)
        gates = {"b": str(self.stage.gate("b"))}
        self.crew = self.stage.crew("line", LEASE_S, names=NAMES, gates=gates)
        for _ in range(2):
            self.crew.start()

    def begin(self):
        """Wait until it is in the middle."""
        eventually(lambda: self.stage.ran("b"), 30)
        admin, keys = self.stage.admin, self.stage.keys
        eventually(lambda: admin.zcard(keys.idle) == 1 + 1, 30)

    def key(self, name):
        """Name a key of the flow."""
        if name in ("atom", "result"):
            uuid = self.stage.admin.hget(self.stage.keys.atoms, "c")
            return getattr(self.stage.keys, name)(uuid)
        return getattr(self.stage.keys, name)

    def end(self):
        """Let it go on; returns what the workers were told."""
        self.stage.gate("b").touch()
        found = set()
        for member in self.crew.members:
            if member.status(40) == 0:
                report = member.report()
                found.add(report["error"] or report["outcome"] or "drained")
            else:
                found.add(member.log.splitlines()[-1].split(":")[0])
        return {name.removeprefix("redisflow.errors.") for name in found}

    def go_on(self):
        """Let another worker come; returns what it was told."""
        with self.stage.crew("line", LEASE_S, names=NAMES) as crew:
            report = crew.start().report()
        return report["error"] or report["outcome"]

    def ran(self):
        """Name the tasks that have begun, in their order."""
        return [note.atom for note in self.stage.notes if note.phase == "begin"]


@pytest.fixture
def scenes(stage):
    """Begin a flow for each key, all at the same time."""
    made = {}

    def begin(names):
        made.update({name: Scene(stage, name) for name in names})
        for scene in made.values():
            scene.begin()
        return made

    yield begin
    for scene in made.values():
        scene.crew.__exit__(None, None, None)


@pytest.fixture
def backend(stage):
    """Open a backend for the doctor."""
    with contextlib.closing(RedisBackend.from_url(stage.url)) as backend:
        yield backend


def errors_of(backend, scene):
    """Return the keys that the doctor names in errors."""
    found = check_flow(backend, scene.stage.keys.flow_uuid)
    return {each.key for each in found if each.severity == "error"}


@pytest.mark.parametrize("names", [KEYS[:6], KEYS[6:12], KEYS[12:]], ids=str)
def test_one_key_is_deleted(stage, backend, scenes, names):
    """Whoever needs it says so, nothing goes on without it, nobody makes it anew."""
    for name, scene in scenes(names).items():
        key, uuid = scene.key(name), scene.stage.keys.flow_uuid
        assert stage.admin.delete(key) or name == "result"
        told = scene.end()
        if name == "flow":
            assert told == {"FlowLost"}
            assert any(
                (each.rule, each.flow) == ("orphan-key", uuid)
                for each in check_namespace(backend)
            )
            assert not stage.admin.exists(key)
            continue
        assert told == {"SUCCESS" if name in NOT_MISSED else "CorruptKey"}, name
        if name == "result":  # c has written its first one
            assert errors_of(backend, scene) == set()
            continue
        assert not stage.admin.exists(key), name
        if name in NOT_MISSED:
            assert scene.ran() == NAMES, name
        elif name != "atoms":  # whose names are wanted at the end, if not before
            assert sorted(set(scene.ran())) == ["a", "b"], name
        assert key in errors_of(backend, scene), name
        mend(scene, backend, name)


def mend(scene, backend, name):
    """Repair a flow, and let it go on; what is lost for good stays so."""
    key, uuid = scene.key(name), scene.stage.keys.flow_uuid
    mended = {each.key for each in repair_flow(backend, uuid)}
    assert (key in mended) == (name not in LOST_FOR_GOOD), name
    if name in LOST_FOR_GOOD:
        assert key in errors_of(backend, scene), name
        assert scene.go_on() == "CorruptKey", name
        assert sorted(set(scene.ran())) == ["a", "b"], name
        return
    assert errors_of(backend, scene) == set(), name
    assert scene.go_on() == "SUCCESS", name
    assert errors_of(backend, scene) == set(), name
    # b is run once more where its worker was told that it could not be recorded.
    assert sorted(set(scene.ran())) == NAMES, name
    assert Counter(scene.ran()) - Counter(NAMES) <= Counter(b=2), name


@pytest.mark.parametrize("names", [KEYS[:6], KEYS[6:12], KEYS[12:]], ids=str)
def test_another_type_is_in_the_way(stage, backend, scenes, names):
    """CorruptKey that names it; what was planted stays, byte for byte."""
    for name, scene in scenes(names).items():
        key = scene.key(name)
        stage.admin.delete(key)
        if name == "reached":
            stage.admin.hset(key, "in", "the way")
        else:
            stage.admin.set(key, "in the way")
        assert scene.end() == {"CorruptKey"}, name
        for member in scene.crew.members:
            assert key in member.log, (name, member.log)
        assert any(key in member.log for member in scene.crew.members), name
        assert key in errors_of(backend, scene), name
        assert repair_flow(backend, scene.stage.keys.flow_uuid) == [], name
        if name == "reached":
            assert stage.admin.hgetall(key) == {"in": "the way"}
        else:
            assert stage.admin.get(key) == "in the way", name


def test_everything_is_deleted(stage, scenes):
    """FLUSHALL: FlowLost for everybody, and not a key comes back."""
    scene = scenes(["lost"])["lost"]
    stage.admin.flushall()
    assert scene.end() == {"FlowLost"}
    left = list(stage.admin.scan_iter())
    assert [key for key in left if ":wake:" not in key] == []


def test_schema_is_a_newer_one(stage, scenes):
    """Workers of this version stop at once, and leave all as it is."""
    scene = scenes(["newer"])["newer"]
    stage.admin.hset(scene.stage.keys.flow, "schema", 999)
    before = stage.dump()
    scene.stage.gate("b").touch()
    for member in scene.crew.members:
        assert member.status(40) == 1
        assert "SchemaTooNew" in member.log
    assert stage.dump() == before
