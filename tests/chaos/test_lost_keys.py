"""Keys are deleted, emptied, replaced or of a newer schema while workers are at it."""

from __future__ import annotations

import pytest

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

#: Errors of ours that name what is the matter.
TOLD = {"FlowLost", "CorruptKey"}

#: What the flow can do without: a key that is not there is an empty one.
NOT_MISSED = {
    "atoms",
    "lock_readers",
    "lock_queue",
    "lock_owners",
    "idle",
    "reached",
    "result",
}


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
                found |= {name for name in TOLD if f".{name}:" in member.log}
        return found


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


@pytest.mark.parametrize("names", [KEYS[:6], KEYS[6:12], KEYS[12:]], ids=str)
def test_one_key_is_deleted(stage, scenes, names):
    """Whoever needs it says so, soon, and nobody writes it anew."""
    for name, scene in scenes(names).items():
        assert stage.admin.delete(scene.key(name)) or name in ("reached", "result")
        told = scene.end()
        if name in NOT_MISSED:
            assert told <= {"SUCCESS", *TOLD}, (name, told)
        else:
            # Who comes after the one that met it hears of the run's end alone.
            assert told & {*TOLD, "ExecutionFailure"}, (name, told)
            assert "SUCCESS" not in told, (name, told)
        if name in ("flow", "atom", "graph", "atoms", "events", "lock"):
            assert not stage.admin.exists(scene.key(name)), name


@pytest.mark.parametrize("names", [KEYS[:6], KEYS[6:12], KEYS[12:]], ids=str)
def test_another_type_is_in_the_way(stage, scenes, names):
    """CorruptKey that names it; what was planted stays, byte for byte."""
    for name, scene in scenes(names).items():
        key = scene.key(name)
        stage.admin.delete(key)
        if name == "reached":
            stage.admin.hset(key, "in", "the way")
        else:
            stage.admin.set(key, "in the way")
        told = scene.end()
        if name in NOT_MISSED:
            assert told <= {"SUCCESS", *TOLD}, (name, told)
        else:
            assert "CorruptKey" in told, (name, told)
        log = "".join(member.log for member in scene.crew.members)
        assert key in log or name in NOT_MISSED, log
        kind = "hash" if name == "reached" else "string"
        assert stage.admin.type(key) == kind, name


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
