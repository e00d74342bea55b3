"""The ACL user of the docs: it can do everything, and each of its rules is needed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from taskflow.persistence import models

import redisflow
from redisflow.cli.app import invoke
from redisflow.client import Client, access
from redisflow.config import parse_url
from redisflow.errors import Refused
from redisflow.keys import Keys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS
from tests.support.storages import Noop
from tests.support.submitted import FLOWS

ROOT = Path(redisflow.__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
PROGRAM = (sys.executable, "-m", "redisflow.cli")

#: What redis-py tries on connecting and can do without.
TOLERATED = {"client|setname", "client|setinfo"}

pytestmark = pytest.mark.timeout(120)


def rule() -> list[str]:
    """Return the words of the page's one rule."""
    (line,) = re.findall(r"^ACL SETUSER .*$", PAGE, re.MULTILINE)
    return line.split()


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    """Start a server that only this module uses, so that what it counts is ours."""
    folder = tmp_path_factory.mktemp("access")
    with contextlib.closing(OwnServer(request.param, folder)) as server:
        yield server


@pytest.fixture
def admin(server):
    """Open a client that may do everything; each test begins with an empty server."""
    server.client.flushall()
    server.client.execute_command("ACL", "LOG", "RESET")
    return server.client


@pytest.fixture
def url(server, admin):
    """Make the user of the page; returns a URL with its password."""
    admin.execute_command(*rule())
    yield f"redis://worker:PASSWORD@127.0.0.1:{server.port}"
    admin.execute_command("ACL", "DELUSER", "worker")


@pytest.fixture
def without(server, admin):
    """Make the user without some of the rule's words; returns its URL."""

    def make(*words):
        kept = [word for word in rule() if word not in words]
        admin.execute_command("ACL", "DELUSER", "worker")
        admin.execute_command(*kept)
        return f"redis://worker:PASSWORD@127.0.0.1:{server.port}"

    yield make
    admin.execute_command("ACL", "DELUSER", "worker")


def denied(admin):
    """Return what the server has refused since the test began."""
    found = admin.execute_command("ACL", "LOG")
    rows = [
        row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=True))
        for row in found
    ]
    return {row["object"] for row in rows} - TOLERATED


def test_the_rule_is_as_narrow_as_it_can_be():
    """No command by category, no channel, one pattern of keys."""
    words = rule()
    assert [word for word in words if "@" in word] == ["-@all"]
    assert [word for word in words if word[0] in "~%"] == ["~redisflow:*"]
    assert "resetchannels" in words
    assert not [word for word in words if word[0] == "&" or "all" in word[:4]]


def test_the_rule_allows_what_is_checked_at_connect():
    """The page, and the commands that a client asks for, are the same."""
    named = {word[1:].upper() for word in rule() if word[0] == "+"}
    assert named == {*access.COMMANDS, *access.OPTIONAL}
    assert len({*access.COMMANDS, *access.OPTIONAL}) == len(
        [*access.COMMANDS, *access.OPTIONAL]
    )


_IN_LUA = re.compile(r"(?:redis\.p?call|read)\(\s*'([A-Z]+)'")
_IN_PYTHON = re.compile(
    r"""(?:\b(?:execute|block|execute_command|send|send_command)\(\s*"""
    r"""|\b(?:run|run_many)\(\s*[\w.]*client,\s*\[?\(?\s*"""
    r"""|\(|\[\(?|command = \()"([A-Z]+)",""",
)


def used() -> set[str]:
    """Find the commands that scripts and Python name."""
    found = set()
    for path in (ROOT / "scripts" / "lua").rglob("*.lua"):
        found |= set(_IN_LUA.findall(path.read_text(encoding="utf-8")))
    for path in (ROOT / "redisflow").rglob("*.py"):
        if "embedded" not in path.parts and path.name != "access.py":
            found |= set(_IN_PYTHON.findall(path.read_text(encoding="utf-8")))
    return found


def test_every_command_of_the_rule_is_used_and_none_is_missing(admin):
    """What the sources call is what the rule allows, but for what can be missed."""
    known = {name.upper() for name in admin.execute_command("COMMAND LIST")}
    unless_refused = {"CLIENT", "CONFIG"}
    by_redis_py = {"SELECT", "COMMAND"}
    found = {name for name in used() if name in known} - unless_refused
    assert found | by_redis_py == {
        name for name in (*access.COMMANDS, *access.OPTIONAL) if "|" not in name
    }


@pytest.fixture
def cli(url, tmp_path):
    """Run the program as the user, to its end."""
    (tmp_path / "flows.py").write_text(FLOWS)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "REDISFLOW_URL": url}

    def start(*arguments):
        return subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(*arguments, status=0):
        process = start(*arguments)
        out, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        return out

    run.start = start
    return run


@pytest.mark.one_server
@pytest.mark.slow
def test_the_program_does_everything_as_that_user(cli, admin, url, tmp_path):
    """Runs, submissions, workers and looks; the server refuses nothing needed."""
    assert cli("run", "flows.py", "-w", 2, "--store", "x=2", "--run-id", "r1") == (
        "total = 3\n"
    )
    cli("run", "flows.py:failing", "-w", 1, "--run-id", "r2", status=1)
    cli("run", "flows.py:work", "--arg", "name=w", "-w", 2, "--run-id", "r3")
    cli("submit", "flows:factory", "--store", "x=4", "--run-id", "r4")
    cli("worker", "--allow", "flows", "--once")
    for run in ("r1", "r2", "r3", "r4"):
        assert cli("show", run, "-o", "json")
    file, folder = tmp_path / "r1.jsonl", f"dir:{tmp_path}/books"
    cli("export", "r1", "-f", file)
    cli("import", file, "--run-id", "r6")
    cli("migrate", url, folder, "--book", "r1", "--yes")
    cli("rm", "r1", "--yes")
    cli("migrate", folder, url, "--yes")
    cli("bench", "--seconds", 0.5)
    key = Keys("redisflow").of_flow(flow_uuid_of("r5", "redisflow")).flow
    for command, status in (("suspend", 3), ("cancel", 1)):
        gate = tmp_path / command
        order = ("run", "flows.py:gated", "-w", 1, "--run-id", "r5")
        process = cli.start(*order, "--store", f"gate={gate}")
        eventually(lambda: admin.hget(key, "state") == "RUNNING", 30)
        cli(command, "r5")
        for number in "01":
            Path(f"{gate}{number}").touch()
        process.communicate(timeout=60)
        assert process.returncode == status
        cli("show", "r5")
        admin.flushall()
    assert denied(admin) == set()


def test_the_library_does_everything_as_that_user(url, admin):
    """Storages, locks, logbooks, removal, and another database than 0."""
    for database in ("", "/1"):
        with contextlib.closing(
            redisflow.RedisBackend.from_url(f"{url}{database}")
        ) as backend:
            connection = backend.get_connection()
            connection.upgrade()
            connection.validate()
            book, detail = models.LogBook("book"), models.FlowDetail("f", "f-1")
            book.add(detail)
            connection.save_logbook(book)
            storage = redisflow.Storage(detail, backend)
            storage.ensure_atoms([Noop("a"), Noop("b")])
            storage.inject({"x": 1})
            storage.save("a", 5)
            storage.update_atom_metadata("a", {"note": 1})
            with storage.lock.write_lock():
                storage.set_atom_state("b", "RUNNING")
            storage.reset("b")
            assert storage.fetch("x") == 1
            lock = redisflow.ReaderWriterLock(backend, "nightly")
            with lock.write_lock():
                assert lock.is_writer()
            with lock.read_lock():
                assert lock.is_reader()
            assert [each.name for each in connection.get_logbooks()] == ["book"]
            assert connection.get_flow_details("f-1").name == "f"
            connection.destroy_logbook(book.uuid)
            connection.clear_all()
    assert admin.dbsize() == 0 or not admin.exists("redisflow:{f-1}:flow")
    assert denied(admin) == set()


@pytest.mark.parametrize("name", access.COMMANDS)
def test_without_one_command_nothing_is_written(without, admin, name):
    """The error names the rule that is missing, and comes before the first write."""
    url = without(f"+{name.lower()}")
    backend = redisflow.RedisBackend.from_url(url)
    with contextlib.closing(backend), pytest.raises(Refused) as caught:
        redisflow.Storage(models.FlowDetail("f", "f-1"), backend).inject({"x": 1})
    assert caught.value.outcome == "not applied"
    assert f"'worker' lacks +{name.lower()}" in str(caught.value)
    assert "PASSWORD" not in str(caught.value)
    assert admin.dbsize() == 0


def test_the_program_says_in_a_line_what_is_missing(without, monkeypatch, capsys):
    """One line, and the status for a server that refuses."""
    monkeypatch.setenv("REDISFLOW_URL", without("+xadd", "+zadd"))
    assert invoke(["show", "r1"]) == 4
    err = capsys.readouterr().err
    assert re.fullmatch(
        r"redisflow: the server at \S+ refused: the ACL user 'worker' lacks"
        r" \+xadd \+zadd\n",
        err,
    )


def test_what_can_be_missed(without, admin):
    """Without INFO nothing is checked, and everything works."""
    url = without("+info", "+select", "+cluster|slots", "+command")
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
        storage.inject({"x": 1})
        assert storage.fetch("x") == 1
        assert backend.client.server_info() is None
    with Client(parse_url(f"{url}/1")) as client, pytest.raises(Refused, match="sel"):
        client.execute("TIME")


def test_other_namespaces_are_out_of_reach(url, admin):
    """The user reads and writes nothing there, whatever it tries."""
    elsewhere = Client(parse_url(url, namespace="other"))
    with elsewhere, pytest.raises(Refused, match=r"lacks ~other:\*"):
        elsewhere.execute("HGET", "other:{f}:flow", "state")
    with Client(parse_url(url)) as client:
        for key in ("other:{f}:flow", "redisflow2:{f}:flow", "f"):
            for command in (("HGET", key, "a"), ("HSET", key, "a", 1), ("DEL", key)):
                with pytest.raises(Refused):
                    client.execute(*command)
    assert admin.dbsize() == 0


def reader() -> list[str]:
    """Return the words of the page for who may only read."""
    (words,) = re.findall(r"`(\+bitpos\s.*?)`", PAGE, re.DOTALL)
    return words.split()


def test_the_reader_of_the_page_may_run_all_that_reads():
    """Its words are the commands that read, and those that scripts and lists take."""
    named = {word[1:].upper() for word in reader()}
    assert named == {*access.READS, "EVAL", "EVALSHA", "SCAN", "TIME"}


def test_who_may_only_read_looks_at_flows_and_changes_none(
    url, admin, monkeypatch, capsys
):
    """The commands that read are enough to show a flow."""
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        redisflow.Storage(models.FlowDetail("f", "f-1"), backend).inject({"x": 1})
    before = {key: admin.hlen(key) for key in admin.scan_iter(_type="hash")}
    allowed = [word for word in rule()[3:] if word[0] != "+"]
    admin.execute_command("ACL", "SETUSER", "worker", "reset")
    admin.execute_command("ACL", "SETUSER", "worker", *allowed, *reader())
    monkeypatch.setenv("REDISFLOW_URL", url)
    assert invoke(["show", "f-1"]) == 0
    assert "flow f" in capsys.readouterr().out
    for command in ("ls", "tail f-1 --follow no", "export f-1", "why f-1", "doctor"):
        assert invoke(command.split()) == 0, capsys.readouterr().err
    assert "server-silent  this user may not ask for INFO" in capsys.readouterr().out
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
        with pytest.raises(Refused):
            storage.inject({"y": 1})
    assert {key: admin.hlen(key) for key in admin.scan_iter(_type="hash")} == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_user_of_a_cluster(kind, tmp_path):
    """With the same rule a cluster's slots are found, and a flow is written."""
    with contextlib.closing(
        OwnServer(kind, tmp_path / "node", "--cluster-enabled", "yes")
    ) as node:
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: "state:ok" in node.client.execute_command("CLUSTER", "INFO"))
        node.client.execute_command(*rule())
        url = f"redis+cluster://worker:PASSWORD@127.0.0.1:{node.port}"
        with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
            storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
            storage.inject({"x": 1})
            assert storage.fetch("x") == 1
        assert denied(node.client) == set()
        with pytest.raises(redis.exceptions.NoPermissionError):
            redis.Redis(port=node.port, username="worker", password="PASSWORD").incr(
                "redisflow:x"
            )
