"""Runs in files: exported, imported elsewhere, and gone on with as if never moved."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow

import redisflow
from redisflow import RedisBackend
from redisflow.codec import Codec
from redisflow.doctor import check_flow, check_namespace
from redisflow.errors import (
    BadExport,
    CorruptKey,
    FlowLost,
    InvalidState,
    Unavailable,
)
from redisflow.keys import flow_uuid_of
from redisflow.measuring import measure, measuring
from redisflow.moving import check_export, export_run, import_run, importing
from redisflow.operations import collect_garbage, remove_run
from tests.support.aging import age_indexes
from tests.support.flows import ScriptedFlow
from tests.support.random_flows import draw_shape

ROOT = Path(redisflow.__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


class Give(task.Task):
    """A task with a result."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, provides=f"{name}-given", **options)

    def execute(self, x: object = None) -> list[object]:
        """Give its name, and what it was given."""
        return [self.name, x]


class Fail(task.Task):
    """A task that fails once."""

    def execute(self, tried: int) -> None:
        """Fail the first time."""
        if tried == 1:
            raise ValueError("not yet")


def make_flow() -> linear_flow.Flow:
    """Make a flow of tasks that take a value, under a retry."""
    again = retry.ForEach([1, 2], name="again", provides="tried")
    return linear_flow.Flow("f", retry=again).add(Give("a"), Fail("b"), Give("c"))


@pytest.fixture
def away(url, namespace):
    """Name another place: a namespace beside the test's own."""
    return url.replace(namespace, f"{namespace}-away")


@pytest.fixture
def far(away):
    """Open a backend on the other place."""
    with contextlib.closing(RedisBackend.from_url(away)) as backend:
        yield backend


def exported(backend: RedisBackend, run_id: str) -> io.BytesIO:
    """Export a run into memory."""
    stream = io.BytesIO()
    uuid = flow_uuid_of(run_id, backend.keys.namespace)
    export_run(backend, uuid, stream, run_id=run_id)
    stream.seek(0)
    return stream


def brought(backend: RedisBackend, stream: io.BytesIO, **options: Any) -> Any:
    """Import what was exported."""
    checked = check_export(stream)
    stream.seek(0)
    return import_run(backend, stream, checked, **options)


def moved(here: RedisBackend, there: RedisBackend, run_id: str = "nightly") -> Any:
    """Export a run, and import it elsewhere; nothing is wrong with it there."""
    done = brought(there, exported(here, run_id))
    assert check_flow(there, done.flow_uuid) == []
    return done


def plain(stream: io.BytesIO) -> list[Any]:
    """Give the lines of an export without what must differ between two places."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    names = {line["uuid"]: line["fields"]["name"] for line in lines if is_atom(line)}
    text = json.dumps(lines)
    for uuid, name in names.items():
        text = text.replace(uuid, f"<{name}>")
    lines = json.loads(text.replace(lines[0]["flow_uuid"], "<flow>"))
    book = lines[1]["fields"]["book"]
    lines = json.loads(json.dumps(lines).replace(book, "<book>"))
    (head, flow, *_), last = lines, lines[-1]
    for name in ("origin", "exported_at_ms", "exported_by", "rev"):
        del head[name]
    for name in ("rev", "epoch", "server", "updated_at", "imported"):
        flow["fields"].pop(name, None)
    del last["sha256"], last["counts"]["event"]
    last["counts"].pop("workers", None)
    acts = [line["fields"].get("act") for line in lines if line["kind"] == "event"]
    told = [
        line
        for line in lines
        if line["kind"] != "workers" and line.get("fields", {}).get("act") != "import"
    ]
    assert acts.count("import") <= 1
    return told


def is_atom(line: dict[str, Any]) -> bool:
    """Tell whether a line is an atom."""
    return bool(line["kind"] == "atom")


def test_ended_run_is_the_same_elsewhere(url, backend, far, away):
    """All of it: results, history of the retry, journal, metadata, logbook, values."""
    engine = redisflow.load(
        make_flow(), run_id="nightly", url=url, store={"x": (1, b"\xff")}
    )
    engine.run()
    engine.storage.update_flow_metadata({"who": "me"})

    done = moved(backend, far)

    assert (done.run_id, done.state, done.given_back) == ("nightly", "SUCCESS", 0)
    assert plain(exported(far, "nightly")) == plain(exported(backend, "nightly"))
    there = redisflow.load(make_flow(), run_id="nightly", url=away)
    there.run()
    assert there.storage.fetch_all() == engine.storage.fetch_all()
    assert there.storage.flow_meta["who"] == "me"
    (first, _failures), _second = there.storage.get_retry_history("again")
    assert first == 1
    assert check_namespace(far) == []
    (book,) = far.get_connection().get_logbooks()
    assert (book.name, [flow.uuid for flow in book]) == ("nightly", [done.flow_uuid])


def test_removed_run_comes_back_as_it_was(url, backend):
    """In the same place uuids are those that it had, and its logbook is, too."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    stream = exported(backend, "nightly")
    uuid = flow_uuid_of("nightly", backend.keys.namespace)
    remove_run(backend, uuid)

    done = brought(backend, stream)

    again = exported(backend, "nightly")
    atoms = [[], []]
    for lines, found in zip((stream, again), atoms, strict=True):
        text = lines.getvalue().splitlines()
        found += [line for line in text if is_atom(json.loads(line))]
    assert done.flow_uuid == uuid
    assert atoms[0] == atoms[1] != []
    assert plain(again) == plain(stream)
    assert check_namespace(backend) == []


@pytest.mark.parametrize("number", range(8))
def test_run_that_was_under_way_goes_on_elsewhere(  # noqa: PLR0917  # fixtures
    number, seed, url, away, backend, far
):
    """At any moment of any flow, while its worker lives: both come to the same end."""
    dice = random.Random(seed + number)
    shape = draw_shape(dice, 20, wild=number % 2 == 1, trouble=["none", "some"])
    engine = redisflow.load(shape.make([]), run_id="nightly", url=url, store={"a": 1})
    phases = engine.run_iter()
    for _ in range(dice.randint(1, 60)):
        with contextlib.suppress(Exception):
            next(phases, None)

    done = moved(backend, far)

    there = redisflow.load(shape.make([]), run_id="nightly", url=away)
    for one in (phases, there.run_iter()):
        with contextlib.suppress(Exception):
            Counter(one)
    assert there.storage.get_flow_state() == engine.storage.get_flow_state()
    assert check_flow(far, done.flow_uuid) == []
    if engine.storage.get_flow_state() == "SUCCESS":
        assert there.storage.fetch_all() == engine.storage.fetch_all()


def test_what_workers_held_can_be_taken_at_once(url, away, backend, far):
    """No lease is waited for, no attempt is charged, and no worker is listed."""
    engine = redisflow.load(
        make_flow(), run_id="nightly", url=url, store={"x": 1}, lease_s=600
    )
    phases = engine.run_iter()
    claims = backend.keys.of_flow(engine.storage.flow_uuid).claims
    while backend.client.execute("HLEN", claims) == 1:
        next(phases)
    while engine.storage.get_atom_state("a") != "RUNNING":
        next(phases)

    done = moved(backend, far)

    assert done.given_back == 1
    keys = far.keys.of_flow(done.flow_uuid)
    assert far.client.execute("ZRANGE", keys.workers, 0, -1) == [b"-"]
    uuid = far.client.execute("HGET", keys.atoms, "a").decode()
    atom = far.client.execute("HMGET", keys.atom(uuid), "owner", "attempt", "state")
    assert atom == [b"", b"0", b"RUNNING"]
    there = redisflow.load(make_flow(), run_id="nightly", url=away)
    there.run()
    list(phases)
    assert there.storage.fetch_all() == engine.storage.fetch_all()


def test_copy_under_another_name_is_another_run(url, backend):
    """Beside the first one, with uuids and a logbook of its own."""
    engine = redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1})
    for _phase in engine.run_iter():
        engine.suspend()

    done = brought(backend, exported(backend, "nightly"), run_id="copy")

    copy = redisflow.load(make_flow(), run_id="copy", url=url)
    copy.run()
    engine = redisflow.load(make_flow(), run_id="nightly", url=url)
    assert engine.storage.get_flow_state() == "SUSPENDED"
    engine.run()
    assert copy.storage.fetch_all() == engine.storage.fetch_all()
    uuids = [
        {engine.storage.get_atom_uuid(name) for engine in (engine, copy)}
        for name in ("a", "b", "c", "again")
    ]
    assert all(len(pair) == 2 for pair in uuids)
    assert check_flow(backend, done.flow_uuid) == []
    assert check_namespace(backend) == []
    books = {book.name: len(book) for book in backend.get_connection().get_logbooks()}
    assert books == {"nightly": 1, "copy": 1}
    copy.storage.inject({"y": 2})
    assert copy.storage.fetch("y") == 2


class Xor:
    """Something that is no text at all, in place of encryption."""

    def encode(self, data: bytes) -> bytes:
        """Turn each bit."""
        return bytes(byte ^ 0xFF for byte in data)

    decode = encode


def test_encrypted_values_need_no_key(url, away, backend, far):
    """They go as they are; with the key the run goes on."""
    codec = Codec(hook=Xor())
    with contextlib.closing(RedisBackend.from_url(url, codec=codec)) as secret:
        opened = redisflow.engine.loading.open_run(
            secret, make_flow(), run_id="nightly"
        )
        opened.engine(store={"x": "hush"}, rerun=False).run()

    stream = exported(backend, "nightly")
    assert b"hush" not in stream.getvalue()
    done = brought(far, stream)

    assert done.run_id == "nightly"
    with contextlib.closing(RedisBackend.from_url(away, codec=codec)) as secret:
        opened = redisflow.engine.loading.open_run(
            secret, make_flow(), run_id="nightly"
        )
        there = opened.engine(store=None, rerun=False)
        there.run()
        assert there.storage.fetch("a-given") == ["a", "hush"]
        assert check_flow(secret, done.flow_uuid) == []


def test_bytes_that_are_no_text_come_back(url, admin, backend, far):
    """Names and values of others, whatever they are made of."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    key = backend.keys.of_flow(flow_uuid_of("nightly", backend.keys.namespace)).flow
    odd = {b"meta:caf\xe9": b'"\xff\x00"', b"meta:z": b'"base64:"', b"base64:q": b"1"}
    for name, value in odd.items():
        backend.client.execute("HSET", key, name, value)

    done = brought(far, exported(backend, "nightly"))

    found = far.client.execute("HGETALL", far.keys.of_flow(done.flow_uuid).flow)
    assert found.items() >= odd.items()


def test_large_flow_goes_in_pieces(url, away, backend, far):
    """Wide nodes, long values, and more of everything than one call takes."""
    flow = graph_flow.Flow("wide")
    flow.add(*[Give(f"w{number}") for number in range(1200)])
    store = {"x": "long " * 300_000}
    engine = redisflow.load(flow, run_id="nightly", url=url, store=store)
    phases = engine.run_iter()
    while engine.storage.get_flow_state() != "RUNNING":
        next(phases)

    stream = exported(backend, "nightly")
    kinds = Counter(json.loads(line)["kind"] for line in stream.getvalue().splitlines())
    assert kinds["atom"] == 1201
    assert kinds["graph"] > 2
    done = brought(far, stream)

    assert done.atoms == 1201
    assert check_flow(far, done.flow_uuid) == []
    assert plain(exported(far, "nightly")) == plain(exported(backend, "nightly"))
    phases.close()


def test_submitted_run_is_left_to_workers_there(url, backend, far):
    """It is open, and in the index, so that they find it."""
    redisflow.submit("shop:factory", run_id="nightly", url=url, store={"x": 1})

    done = moved(backend, far)

    assert done.submitted
    listed = far.client.execute("ZRANGE", far.keys.submitted, 0, -1)
    assert listed == [done.flow_uuid.encode()]
    assert check_namespace(far) == []


def test_cut_short_import_leaves_no_run_to_itself(url, backend, far, monkeypatch):
    """From the moment at which it is there workers can find it."""
    redisflow.submit("shop:factory", run_id="nightly", url=url, store={"x": 1})

    def die(_import):
        raise KeyboardInterrupt

    monkeypatch.setattr(importing._Import, "settle", die)
    with pytest.raises(KeyboardInterrupt):
        moved(backend, far)
    place = flow_uuid_of("nightly", far.keys.namespace)
    listed = far.client.execute("ZRANGE", far.keys.submitted, 0, -1)
    assert listed == [place.encode()]
    assert far.client.execute("EXISTS", far.keys.of_flow(place).flow)


def test_atoms_that_come_back_are_the_same(url, backend, far):
    """Keys made from their uuids, that nothing be done twice, are so once more."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    place = flow_uuid_of("nightly", backend.keys.namespace)
    names = backend.client.execute("HGETALL", backend.keys.of_flow(place).atoms)
    there = brought(far, exported(backend, "nightly"), run_id="elsewhere")
    remove_run(backend, place)
    stream = exported(far, there.run_id)
    back = brought(backend, stream, run_id="nightly")
    again = backend.client.execute("HGETALL", backend.keys.of_flow(place).atoms)
    assert (back.flow_uuid, again) == (place, names)


def test_logbook_with_others_keeps_them(url, backend, far, admin):
    """It is made elsewhere with its own metadata, and of its flows only this one."""
    connection = backend.get_connection()
    book = redisflow_book()
    connection.save_logbook(book)
    first, second = book

    stream = io.BytesIO()
    export_run(backend, first.uuid, stream)
    stream.seek(0)
    done = brought(far, stream)

    assert (done.run_id, done.flow_uuid) == (None, first.uuid)
    (found,) = far.get_connection().get_logbooks()
    assert (found.uuid, found.meta) == (book.uuid, {"of": "two"})
    assert [flow.uuid for flow in found] == [first.uuid]
    (atom,) = first
    assert far.get_connection().get_atom_details(atom.uuid).name == "t"
    stream = io.BytesIO()
    export_run(backend, second.uuid, stream)
    stream.seek(0)
    brought(far, stream)
    (found,) = far.get_connection().get_logbooks()
    assert [flow.uuid for flow in found] == [first.uuid, second.uuid]
    assert check_namespace(far) == []


def redisflow_book() -> Any:
    """Make a logbook of two flows, each with a task."""
    from oslo_utils import uuidutils  # noqa: PLC0415
    from taskflow.persistence import models  # noqa: PLC0415

    book = models.LogBook("book")
    book.meta = {"of": "two"}
    for name in ("one", "two"):
        flow = models.FlowDetail(name, uuidutils.generate_uuid())
        flow.add(models.TaskDetail("t", uuidutils.generate_uuid()))
        book.add(flow)
    return book


def test_run_that_is_there_is_not_touched(url, backend, dumps):
    """InvalidState, and every key is as it was; so is a part of one."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    stream = exported(backend, "nightly")
    before = dumps()
    with pytest.raises(InvalidState, match="there is a run nightly already"):
        brought(backend, stream)
    assert dumps() == before

    keys = backend.keys.of_flow(flow_uuid_of("other", backend.keys.namespace))
    backend.client.execute("HSET", keys.plan, "-", "")
    before = dumps()
    stream.seek(0)
    with pytest.raises(InvalidState, match="redisflow rm"):
        brought(backend, stream, run_id="other")
    assert dumps() == before


class Restless(io.BytesIO):
    """A file while which is written the flow changes."""

    def __init__(self, backend: RedisBackend, key: str, times: int) -> None:
        super().__init__()
        self._backend, self._key, self._times = backend, key, times

    def write(self, data: Any) -> int:
        """Let the flow change."""
        if self._times and b'"kind":"atoms"' in data:
            self._times -= 1
            self._backend.client.execute("HINCRBY", self._key, "rev", 1)
        return super().write(data)


def test_file_is_of_one_moment(url, backend):
    """It is begun again when the flow has changed, and refused if that goes on."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    uuid = flow_uuid_of("nightly", backend.keys.namespace)
    key = backend.keys.of_flow(uuid).flow
    rev = int(backend.client.execute("HGET", key, "rev"))

    calm = Restless(backend, key, 3)
    found = export_run(backend, uuid, calm)
    assert found.rev == rev + 3
    calm.seek(0)
    assert check_export(calm).rev == rev + 3

    with pytest.raises(InvalidState, match="suspend it first"):
        export_run(backend, uuid, Restless(backend, key, -1))


def test_what_is_lost_or_damaged_is_not_exported(url, backend):
    """FlowLost for a run that is gone, CorruptKey for a record that is."""
    engine = redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1})
    engine.run()
    keys = backend.keys.of_flow(engine.storage.flow_uuid)
    backend.client.execute("DEL", keys.atom(engine.storage.get_atom_uuid("a")))
    with pytest.raises(CorruptKey, match="is gone"):
        exported(backend, "nightly")
    backend.client.execute("DEL", keys.flow)
    with pytest.raises(FlowLost):
        exported(backend, "nightly")


@pytest.mark.parametrize("error", [KeyboardInterrupt, Unavailable, BadExport])
def test_import_that_fails_leaves_nothing(url, backend, far, admin, error):
    """Neither a flow nor a key, nor an entry of an index."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    stream = exported(backend, "nightly")

    def fail(lines: int) -> None:
        if lines == 20:
            raise error("as it should")

    with pytest.raises(error):
        brought(far, stream, told=fail)

    assert list(admin.scan_iter(f"{far.keys.namespace}:*")) == []


DIES = """
import os, sys
from redisflow import RedisBackend
from redisflow.moving import check_export, import_run, importing

def die(lines):
    if lines == int(sys.argv[3]):
        os._exit(9)

backend = RedisBackend.from_url(sys.argv[1])
importing._BYTES = 1
with open(sys.argv[2], "rb") as stream:
    checked = check_export(stream)
    stream.seek(0)
    import_run(backend, stream, checked, told=die)
"""


def test_importer_that_dies_leaves_no_flow(  # noqa: PLR0917  # fixtures
    url, backend, far, away, admin, tmp_path
):
    """Nobody sees it; what is left goes with the garbage, and then it can be had."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    stream = exported(backend, "nightly")
    file = tmp_path / "nightly.jsonl"
    file.write_bytes(stream.getvalue())
    lines = len(stream.getvalue().splitlines())
    words = [sys.executable, "-c", DIES, away, str(file)]
    space = far.keys.namespace
    uuid = flow_uuid_of("nightly", space)
    for last in (3, lines // 2, lines - 1):
        done = subprocess.run(
            [*words, str(last)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        assert done.returncode == 9
        assert not far.client.execute("EXISTS", far.keys.of_flow(uuid).flow)
        with pytest.raises(CorruptKey):
            redisflow.load(make_flow(), run_id="nightly", url=away)
        with pytest.raises(InvalidState, match=f"redisflow rm {uuid}"):
            brought(far, stream)
        stream.seek(0)
        assert [f.rule for f in check_namespace(far)] == ["orphan-key"]
        age_indexes(admin, space)
        assert collect_garbage(far).flows == 1
        assert list(admin.scan_iter(f"{space}:{{*")) == []
    moved(backend, far)


def test_garbage_is_not_what_is_under_way(url, backend, far, admin, monkeypatch):
    """The entry of the index is young as long as parts come."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    monkeypatch.setattr(importing, "_REFRESH_S", 0)
    monkeypatch.setattr(importing, "_BYTES", 1)
    spared = []

    def collect(lines: int) -> None:
        spared.append(collect_garbage(far).flows)
        if lines % 5 == 0:
            age_indexes(admin, far.keys.namespace, minutes=1)

    stream = exported(backend, "nightly")
    brought(far, stream, told=collect)
    assert set(spared) == {0}
    assert len(spared) > 20


def test_place_that_is_cleared_meanwhile_is_noticed(url, backend, far, monkeypatch):
    """An operator who removes what is under way is not worked against."""
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    monkeypatch.setattr(importing, "_BYTES", 1)
    uuid = flow_uuid_of("nightly", far.keys.namespace)

    def remove(lines: int) -> None:
        if lines == 20:
            remove_run(far, uuid)

    with pytest.raises(InvalidState, match="removed meanwhile"):
        brought(far, exported(backend, "nightly"), told=remove)
    assert not far.client.execute("EXISTS", far.keys.of_flow(uuid).flow)


def test_expiry_is_not_brought(url, backend, far):
    """A run that was to go stays where it is brought to."""
    engine = redisflow.load(
        make_flow(), run_id="nightly", url=url, store={"x": 1}, retention_s=600
    )
    engine.run()
    key = backend.keys.of_flow(engine.storage.flow_uuid).flow
    backend.client.execute("HSET", key, "keeping", 1)

    done = moved(backend, far)

    keys = far.keys.of_flow(done.flow_uuid)
    fields = far.client.execute("HMGET", keys.flow, "retention_ms", "expires_at")
    assert fields == [b"600000", None]
    assert not far.client.execute("HEXISTS", keys.flow, "keeping")
    assert far.client.execute("PTTL", keys.flow) == -1


def scripted(backend: RedisBackend) -> ScriptedFlow:
    """Name a flow that scripts drive."""
    return ScriptedFlow(backend.client, backend.keys.of_flow("F1"))


def test_plan_in_progress_is_carried_on(backend, far):
    """A change of many records, half of it done, is whole when the run is there."""
    flow = scripted(backend)
    flow.layers(["a"], [f"t{number}" for number in range(410)], ["z"]).start()
    flow.complete(flow.take().item)
    flow.call("plan_step")
    assert flow.hash("flow")["planned"] == "1"

    stream = io.BytesIO()
    export_run(backend, "F1", stream)
    stream.seek(0)
    done = brought(far, stream)

    assert done.flow_uuid == "F1"
    assert check_flow(far, "F1") == []
    there = scripted(far)
    there.nodes = flow.nodes
    assert (there.hash("flow")["planned"], len(there.members("ready"))) == ("0", 410)


@pytest.mark.parametrize("last", ["come", "load", "flow_launch"])
def test_start_in_progress_is_begun_again(backend, far, last):
    """Whoever was starting the run is not there: the next who comes starts it."""
    flow = scripted(backend)
    flow.line("a", "b").create()
    flow.ensure("a", "b")
    flow.come("w1")
    if last != "come":
        flow.load("w1")
    if last == "flow_launch":
        flow.call("flow_launch", worker="w1")

    stream = io.BytesIO()
    export_run(backend, "F1", stream)
    stream.seek(0)
    brought(far, stream)

    assert check_flow(far, "F1") == []
    there = scripted(far)
    there.nodes = flow.nodes
    there.start("w2")
    assert there.drive("w2") == ["execute a", "execute b", "SUCCESS"]


def test_failure_in_question_is_decided_upon_there(backend, far):
    """A worker that was deciding is not there: the question is asked again."""
    flow = scripted(backend)
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    assert flow.take().item.kind == "resolve"

    stream = io.BytesIO()
    export_run(backend, "F1", stream)
    stream.seek(0)
    done = brought(far, stream)

    assert done.given_back == 1
    # The scripts' own failure is no value that the codec has written.
    assert {found.rule for found in check_flow(far, "F1")} == {"value"}
    there = scripted(far)
    there.nodes = flow.nodes
    there.start("w2")
    assert there.take("w2").item.kind == "resolve"


class Nap(Give):
    """A task that takes a little time, and now and then more."""

    def execute(self, x: object = None) -> list[object]:
        """Sleep, and give."""
        threading.Event().wait(0.2 if self.name in ("t17", "t37") else 0.004)
        return [self.name, x]


def test_run_is_exported_while_it_goes_on(url, away, backend, far):
    """Whatever is written of a run in full swing is of one moment, and can go on."""
    names = [f"t{number:02}" for number in range(60)]
    flow = linear_flow.Flow("f").add(*[Nap(name) for name in names])
    engine = redisflow.load(flow, run_id="nightly", url=url)
    engine.compile()
    thread = threading.Thread(target=engine.run)
    thread.start()
    streams: list[io.BytesIO] = []
    while thread.is_alive():
        with contextlib.suppress(InvalidState):
            streams.append(exported(backend, "nightly"))
    thread.join()

    assert streams
    for number, stream in enumerate(streams[:: 1 + len(streams) // 3]):
        done = brought(far, stream, run_id=f"copy-{number}")
        assert check_flow(far, done.flow_uuid) == []
        there = redisflow.load(flow, run_id=f"copy-{number}", url=away)
        there.run()
        assert there.storage.fetch_all() == engine.storage.fetch_all()


def test_clusters_are_served_too(node):
    """Where keys have many slots."""
    url = f"redis+cluster://127.0.0.1:{node}?namespace=rf-moved"
    redisflow.load(make_flow(), run_id="nightly", url=url, store={"x": 1}).run()
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        stream = exported(backend, "nightly")
        done = brought(backend, stream, run_id="copy")
        assert check_flow(backend, done.flow_uuid) == []
        assert check_namespace(backend) == []
        assert plain(exported(backend, "copy"))[3:] == plain(stream)[3:]
        measure(measuring(url), seconds=0.5, told=lambda _number: None)
        assert list(backend.client.scan("*bench*")) == []
        backend.get_connection().clear_all()
