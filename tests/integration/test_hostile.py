"""What somebody plants in Redis is never imported, never run, and soon refused."""

from __future__ import annotations

import sys
import time
from decimal import Decimal

import orjson
import pytest
from taskflow import task
from taskflow.patterns import linear_flow
from taskflow.persistence import models
from taskflow.types.failure import Failure

import redisflow
from redisflow.cli.app import invoke
from redisflow.errors import ConfigError, CorruptKey, RedisFlowError
from redisflow.keys import Keys, flow_uuid_of
from tests.support.storages import Noop
from tests.support.submitted import served_by

SOON_S = 5.0

pytestmark = [pytest.mark.timeout(60), pytest.mark.one_server]

MODULE = """
import os, pathlib
from os import system
from taskflow import task
from taskflow.patterns import linear_flow

pathlib.Path({ran!r}).touch()

class Ran(task.Task):
    def execute(self):
        pathlib.Path({ran!r} + "-task").touch()

def make(*args, **kwargs):
    pathlib.Path({ran!r} + "-called").touch()
    return linear_flow.Flow("evil").add(Ran("ran"))
"""


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Write modules that tell when they are imported; one of them is to be allowed."""
    folder = tmp_path / "code"
    ran = tmp_path / "ran"
    (folder / "hostile_pkg").mkdir(parents=True)
    ran.mkdir()
    for name in (
        *("hostile_pkgevil", "hostile_other", "hostile_pkg/__init__"),
        *("hostile_pkg/sub", "file", "beside"),
    ):
        text = MODULE.format(ran=str(ran / name.replace("/", ".")))
        (folder / f"{name}.py").write_text(text)
    (folder / "link.py").symlink_to(folder / "beside.py")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    yield folder, ran
    for name in [name for name in sys.modules if name.startswith("hostile_")]:
        del sys.modules[name]


REFERENCES = (
    *(
        "os:system",
        "os.path:join",
        "subprocess:Popen",
        "builtins:exec",
        "hostile_other",
    ),
    *(
        "hostile_pkgevil:make",
        "hostile_pkgevil",
        "hostile_pkg.:make",
        ".hostile_pkg:make",
    ),
    *("hostile_pkg..sub:make", "hostile_pkg/../hostile_other.py", "hostile_pkg:"),
    *(
        "hostile_pkg\n:make",
        "hostile_pkg :make",
        "HOSTILE_PKG:make",
        "hostile_pkg\0:make",
    ),
    *("{code}/beside.py:make", "beside.py:make", "./file.py:make", "file.py:make"),
    *(
        "{code}/link.py:make",
        "{code}/file.py/../beside.py:make",
        "{code}/file.pyc:make",
    ),
    *("{code}/file.py\0:make", "", ":", ":make", "\u202ehostile_pkg:make"),
)


def test_workers_import_nothing_that_is_not_allowed(places, url, admin, namespace):
    """Names that look like allowed ones, paths, links and dots: none is imported."""
    folder, ran = places
    for number, reference in enumerate(REFERENCES):
        run_id = f"r{number}"
        redisflow.submit("hostile_other:make", run_id=run_id, url=url)
        keys = Keys(namespace).of_flow(flow_uuid_of(run_id, namespace))
        planted = reference.format(code=folder)
        admin.hset(keys.flow, "submitted:factory", planted)
    before = set(sys.modules)
    with served_by(url, str(folder / "file.py")) as start:
        start(burst=True).join()
    assert list(ran.iterdir()) == []
    assert set(sys.modules) == before


def test_a_worker_calls_nothing_that_an_allowed_module_imported(
    places, url, admin, namespace
):
    """The module is imported, and what it has from elsewhere is not called."""
    _, ran = places
    names = ("system", "os.system", "pathlib.Path", "linear_flow.Flow", "__loader__")
    for number, name in enumerate(
        (*names, "make.__globals__", "Ran.__init__.__class__")
    ):
        arguments = ["touch " + str(ran / "shell")]
        redisflow.submit(
            f"hostile_pkg:{name}", run_id=f"r{number}", url=url, factory_args=arguments
        )
    with served_by(url, "hostile_pkg") as start:
        start(burst=True).join()
    assert {path.name for path in ran.iterdir()} <= {"hostile_pkg.__init__"}


#: JSON that other libraries would make objects of, and tags of ours that lie.
VALUES = {
    "reduce": {"__reduce__": ["os.system", ["touch x"]]},
    "py/object": {"py/object": "hostile_other.Ran", "py/state": {}},
    "py/reduce": {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["ls"]}]},
    "class": {"__class__": "hostile_other.Ran", "__module__": "hostile_other"},
    "enum": {"$enum": ["hostile_other:Ran", "X"]},
    "enum-number": {"$enum": ["hostile_other:Ran", 2**40]},
    "dataclass": {"$dataclass": ["subprocess:Popen", {"args": ["touch", "x"]}]},
    "dataclass-builtin": {"$dataclass": ["builtins:object", {"__class__": 1}]},
    "unknown": {"$object": ["hostile_other:Ran"]},
    "zone": {"$datetime": "2026-01-01T00:00:00+00:00[../../../etc/passwd]"},
    "decimal": {"$decimal": "1e999999999999"},
    "int": {"$int": "9" * 100_000},
    "failure": {
        "$failure": {
            "exc_type_names": ["hostile_other.Ran", "builtins.SystemExit"],
            "exception_str": "x",
            "traceback_str": "y",
            "version": 1,
            "exc_args": [{"$dataclass": ["subprocess:Popen", {}]}],
            "causes": [{"exc_type_names": [["os"]]}],
        }
    },
}
RAW = {
    "deep-list": b"[" * 500_000,
    "deep-dict": b'{"a":' * 300_000,
    "deep-tags": b'{"$tuple":[' * 900 + b"]}" * 900,
    "number": b"1" + b"0" * 1_000_000,
    "exponent": b"1e" + b"9" * 100_000,
    "pickle": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "text": b'"\xff\xfe"',
    "wide": b"[" + b"0," * 500_000 + b"0]",
}


@pytest.mark.parametrize("name", [*VALUES, *RAW])
def test_planted_values_are_plain_or_refused(name, places, url, admin, namespace):
    """As a result, as a failure, injected, as metadata: nothing else happens, soon."""
    _, ran = places
    data = orjson.dumps(VALUES[name]) if name in VALUES else RAW[name]
    backend = redisflow.RedisBackend.from_url(url)
    storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
    storage.ensure_atoms([Noop("a"), Noop("b")])
    storage.save("a", 1)
    storage.save("b", Failure.from_exception(ValueError("x")), "FAILURE")
    storage.inject({"x": 1})
    keys = Keys(namespace).of_flow("f-1")
    a, b = (admin.hget(keys.atoms, each) for each in "ab")
    admin.hset(keys.result(a), "results", data)
    admin.hset(keys.result(b), "failure", data)
    for key in admin.scan_iter(f"{namespace}:*:result:*"):
        if admin.hexists(key, "results") and key != keys.result(a):
            for field in admin.hkeys(key):
                admin.hset(key, field, data)
    before = set(sys.modules)
    started = time.monotonic()
    for read in (
        lambda other: other.get("a"),
        lambda other: other.get_execute_failures(),
        lambda other: other.fetch("x"),
        lambda other: other.fetch_all(),
    ):
        other = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
        try:
            found = read(other)
        except CorruptKey as error:
            assert error.key.startswith(namespace)  # noqa: PT017  or not raised
            assert len(str(error)) < 1000  # noqa: PT017
        else:
            allowed = (dict, list, int, float, str, Decimal, Failure, type(None))
            assert type(found) in allowed
    admin.hset(keys.flow, "meta:x", data)
    admin.hset(keys.atom(a), "meta:x", data)
    try:
        redisflow.Storage(models.FlowDetail("f", "f-1"), backend).get_atoms_states(
            ["a"]
        )
    except CorruptKey as error:
        assert error.key.startswith(namespace)  # noqa: PT017  as above
    assert time.monotonic() - started < SOON_S
    assert set(sys.modules) == before
    assert list(ran.iterdir()) == []
    backend.close()


def test_a_planted_failure_moves_no_cursor(url, admin, namespace, monkeypatch, capsys):
    """Control characters of names and texts are spelled where a person reads them."""
    evil = "\x1b]0;title\x07\x1b[2J\r\u202e\x9b31m"
    backend = redisflow.RedisBackend.from_url(url)
    storage = redisflow.Storage(models.FlowDetail(f"f{evil}", "f-1"), backend)
    storage.ensure_atoms([Noop(f"a{evil}")])
    failure = Failure(
        exception_str=f"m{evil}",
        exc_type_names=[f"x.T{evil}"],
        traceback_str=f'{evil}  File "{evil}.py", line 3',
    )
    storage.save(f"a{evil}", failure, "FAILURE")
    storage.update_flow_metadata({"redisflow.run_id": evil, "run_id": evil})
    backend.close()
    monkeypatch.setenv("REDISFLOW_URL", url)
    assert invoke(["show", "f-1"]) == 0
    told = capsys.readouterr()
    assert "T" in told.out
    for char in "\x1b\x07\r\x9b\u202e":
        assert char not in told.out + told.err


# Names and sizes

NAMES = (
    *("{x}", "}{", "{}", "a\nb", "a\0b", "a b", " ", "é\u202e", "a:b", "a|b,c;d=e"),
    *("execute a", "?", "-", "%s%d", "\\", "\"'`", "x" * 20_000, "meta:x", "1e9"),
)


class Named(task.Task):
    """A task with a result."""

    def execute(self):
        """Return its name."""
        return self.name


def test_atoms_of_any_name_run(url):
    """Braces, spaces, zeros, separators and lengths mean nothing in a name."""
    flow = linear_flow.Flow("{f}\n\0").add(
        *(Named(name, provides=name) for name in NAMES)
    )
    engine = redisflow.load(flow, run_id="{r}", url=url)
    engine.run()
    found = engine.storage.fetch_all()
    assert found == {name: name for name in NAMES}


@pytest.mark.parametrize(
    "run_id", ["", "x" * 201, "a\nb", "a\0", "\ud800", "\x1b[2J", "\u202e"]
)
def test_run_ids_that_are_refused(run_id, url, admin):
    """Before anything is written; whether it is loaded, run or submitted."""
    for use in (
        lambda: redisflow.load(Named("a"), run_id=run_id, url=url),
        lambda: redisflow.submit("flows:make", run_id=run_id, url=url),
        lambda: redisflow.run("flows:make", run_id=run_id, url=url),
    ):
        with pytest.raises(ConfigError):
            use()
    assert admin.dbsize() == 0


@pytest.mark.parametrize("name", ["{x}", "}{", "a\nb", "", "x" * 20_000, "é", "\0"])
def test_locks_of_any_name(name, url):
    """They are locks like others, and all of a lock's keys have one hash tag."""
    backend = redisflow.RedisBackend.from_url(url)
    lock = redisflow.ReaderWriterLock(backend, name)
    with lock.write_lock():
        assert lock.is_writer()
    backend.close()


@pytest.mark.parametrize("name", ["\ud800", 5, None, b"x"])
def test_names_that_no_key_can_have(name, url, admin):
    """A typed error, and nothing is written."""
    backend = redisflow.RedisBackend.from_url(url)
    with pytest.raises((RedisFlowError, TypeError)):
        redisflow.ReaderWriterLock(backend, name).acquire_write_lock()
    with pytest.raises((RedisFlowError, TypeError)):
        redisflow.Storage(models.FlowDetail(name, "f-1"), backend).inject({"x": 1})
    with pytest.raises((RedisFlowError, TypeError)):
        redisflow.Storage(models.FlowDetail("f", name), backend).inject({"x": 1})
    assert admin.dbsize() == 0
    backend.close()


def test_sizes_and_depths_at_their_limits(url, admin):
    """16 MiB and 200 levels go in and come out; a little more is refused unwritten."""
    backend = redisflow.RedisBackend.from_url(url)
    storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
    large = "x" * (16 * 2**20 - 2)
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    storage.inject({"large": large, "deep": deep})
    other = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
    assert other.fetch("large") == large
    assert other.fetch("deep") == deep
    for value in (large + "x", [deep]):
        with pytest.raises(redisflow.errors.ValueRefused):
            storage.inject({"more": value})
        with pytest.raises(redisflow.errors.ValueRefused):
            redisflow.load(Named("a"), run_id="r", url=url, store={"more": value})
        with pytest.raises(redisflow.errors.ValueRefused):
            redisflow.submit("a:b", run_id="r", url=url, factory_args=[value])
    assert "more" not in other.fetch_all()
    namespace = backend.keys.namespace
    assert not admin.exists(Keys(namespace).of_flow(flow_uuid_of("r", namespace)).flow)
    backend.close()
