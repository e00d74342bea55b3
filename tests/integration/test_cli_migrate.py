"""``redisflow migrate``: logbooks between backends, as it is typed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oslo_utils import uuidutils
from taskflow import engines, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models
from taskflow.types.failure import Failure

import redisflow
from redisflow.cli import migrate as command
from redisflow.cli import places
from redisflow.cli.app import invoke
from redisflow.cli.terminal import Progress
from redisflow.doctor import check_flow, check_namespace
from redisflow.moving.details import same
from redisflow.moving.migrating import books_of, migrate

ROOT = Path(redisflow.__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


class Give(task.Task):
    """A task with a result."""

    def execute(self) -> str:
        """Give its name."""
        return self.name


class Break(Give):
    """A task that fails until it is told otherwise."""

    works = False

    def execute(self) -> str:
        """Fail, or not."""
        if not Break.works:
            raise RuntimeError("not yet")
        return self.name

    def revert(self, **_kwargs: Any) -> str:
        """Give something, too."""
        return "undone"


def failure() -> Failure:
    """Make a failure with a cause."""
    try:
        try:
            raise KeyError("why")
        except KeyError as error:
            raise ValueError("what") from error
    except ValueError:
        return Failure()


def make_book(name: str = "nightly", flows: int = 2) -> models.LogBook:
    """Make a logbook with whatever TaskFlow's details can say."""
    book = models.LogBook(name)
    book.meta = {"of": name}
    for number in range(flows):
        flow = models.FlowDetail(f"{name}-{number}", uuidutils.generate_uuid())
        flow.state, flow.meta = states.FAILURE, {"n": number}
        done = models.TaskDetail("done", uuidutils.generate_uuid())
        done.state, done.results = states.SUCCESS, {"rows": [1, 2.5, None, "x"]}
        done.version, done.meta = "1.2", {"progress": 0.5}
        bad = models.TaskDetail("bad", uuidutils.generate_uuid())
        bad.state, bad.failure = states.REVERT_FAILURE, failure()
        bad.intention, bad.revert_failure = states.REVERT, failure()
        undone = models.TaskDetail("undone", uuidutils.generate_uuid())
        undone.state, undone.revert_results = states.REVERTED, "so"
        again = models.RetryDetail("again", uuidutils.generate_uuid())
        again.state, again.results = states.SUCCESS, [(1, {"bad": failure()}), (2, {})]
        for atom in (done, bad, undone, again):
            flow.add(atom)
        book.add(flow)
    return book


@contextlib.contextmanager
def connected(url: str):
    """Open a place as TaskFlow's users do."""
    place = places.place_of(url)
    with contextlib.closing(backends.fetch(place.conf())) as backend:
        connection = backend.get_connection()
        connection.upgrade()
        yield connection


@pytest.fixture(params=["dir", "sqlite"])
def old(request, tmp_path):
    """Name a place that is not redisflow's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/flows.db"
    return f"dir://{tmp_path}/flows"


@pytest.fixture
def typed(capfd):
    """Type a command; gives its status, and what it printed."""

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = invoke(["migrate", *words])
        return status, *capfd.readouterr()

    return run


def counted(out: str) -> dict[str, int]:
    """Read the counts of flows."""
    return dict(json.loads(out)["flows"])


def test_all_goes_there_and_back(old, url, typed, tmp_path, backend):
    """States, results, failures, histories, metadata: equal in the third place."""
    with connected(old) as connection:
        for name in ("nightly", "daily"):
            connection.save_logbook(make_book(name))
    back = f"dir://{tmp_path}/back"

    status, out, err = typed(old, url, "--yes", "-o", "json")
    assert (status, counted(out), err) == (0, {"copied": 4}, "")
    assert json.loads(out)["atoms"] == 16
    assert check_namespace(backend) == []
    status, out, _ = typed(url, back, "--yes", "-o", "json")
    assert (status, counted(out)) == (0, {"copied": 4})

    status, out, _ = typed(old, back, "--yes")
    assert (status, out.split()) == (0, ["RESULT", "FLOWS", "ATOMS", "equal", "4", "0"])
    with connected(old) as one, connected(back) as other:
        for book in one.get_logbooks():
            there = other.get_logbook(book.uuid)
            assert (there.name, there.meta) == (book.name, book.meta)
            for flow in book:
                for atom in flow:
                    twin = there.find(flow.uuid).find(atom.uuid)
                    assert same(twin.results, atom.results)
                    assert same(twin.failure, atom.failure)
                    assert twin.intention == atom.intention
    for flow in book:
        assert check_flow(backend, flow.uuid) == []


def test_run_again_it_adds_what_is_lacking(old, url, typed, backend):
    """Flows that are there are left alone; one that was cut short is completed."""
    book = make_book()
    first, second = book
    with connected(old) as connection:
        connection.save_logbook(book)
    half = models.LogBook(book.name, uuid=book.uuid)
    half.meta = dict(book.meta)
    part = models.FlowDetail(first.name, first.uuid)
    part.state, part.meta = first.state, dict(first.meta)
    part.add(next(iter(first)))
    half.add(part)
    backend.get_connection().save_logbook(half)

    status, out, _ = typed(old, url, "--yes", "-o", "json")
    found = {each["flow_uuid"]: each for each in json.loads(out)["results"]}
    assert status == 0
    assert found[first.uuid].items() >= {"result": "completed", "atoms": 3}.items()
    assert found[second.uuid].items() >= {"result": "copied", "atoms": 4}.items()
    status, out, _ = typed(old, url, "--yes", "-o", "json")
    assert (status, counted(out)) == (0, {"equal": 2})


def test_what_differs_is_refused_and_named(old, url, typed, backend, dumps):
    """Status 5; nothing of it is changed, and the others are copied."""
    book = make_book(flows=3)
    with connected(old) as connection:
        connection.save_logbook(book)
    assert typed(old, url, "--yes")[0] == 0
    other = backend.get_connection()
    flow = other.get_flow_details(next(iter(book)).uuid)
    flow.find(next(iter(flow)).uuid).state = states.PENDING
    flow.state = states.SUSPENDED
    other.update_flow_details(flow)
    before = dumps()

    status, out, err = typed(old, url, "--yes", "-o", "jsonl")

    lines = [json.loads(line) for line in out.splitlines()]
    assert (status, sorted(line["result"] for line in lines)) == (
        5,
        ["differs", "equal", "equal"],
    )
    assert f"flow {flow.name} ({flow.uuid}): differs: its state; state of atom" in err
    assert dumps() == before

    renamed = other.get_logbook(book.uuid)
    renamed.meta["of"] = "else"
    other.save_logbook(renamed)
    status, _, err = typed(old, url, "--yes")
    assert (status, "logbook nightly" in err, "its metadata" in err) == (5, True, True)


def test_one_logbook_by_name_or_uuid(old, url, typed, backend):
    """Others stay where they are; one that is unknown is status 2."""
    daily = make_book("daily", flows=1)
    with connected(old) as connection:
        connection.save_logbook(make_book())
        connection.save_logbook(daily)

    assert typed(old, url, "--book", "nightly", "--yes")[0] == 0
    assert [b.name for b in backend.get_connection().get_logbooks()] == ["nightly"]
    assert typed(old, url, "--book", daily.uuid, "--yes")[0] == 0
    assert len(list(backend.get_connection().get_logbooks())) == 2
    status, _, err = typed(old, url, "--book", "weekly", "--yes")
    assert (status, "no logbook with the name or uuid 'weekly'" in err) == (2, True)


def test_dry_run_makes_nothing(old, url, typed, tmp_path, dumps):
    """Neither in a server nor a file that is not there yet."""
    with connected(old) as connection:
        connection.save_logbook(make_book())
    before = dumps()

    status, out, err = typed(old, url, "--dry-run")
    assert (status, out.split()[3:]) == (0, ["would", "be", "copied", "2", "8"])
    assert "nothing was written" in err
    assert dumps() == before
    for place in (f"sqlite:///{tmp_path}/new.db", f"dir://{tmp_path}/new"):
        status, out, _ = typed(old, place, "--dry-run", "-o", "json")
        assert (status, counted(out)) == (0, {"copied": 2})
    assert not list(tmp_path.glob("new*"))


def test_a_long_migration_tells_how_far_it_is(old, url, typed, monkeypatch):
    """Now and then, on standard error."""
    monkeypatch.setattr(command, "Progress", lambda: Progress(every_s=0))
    with connected(old) as connection:
        connection.save_logbook(make_book())
    status, _, err = typed(old, url, "--yes")
    assert (status, "1 of 1 logbooks, 2 flows, 8 atoms" in err) == (0, True)


def test_version_of_numbers_is_text_elsewhere(typed, tmp_path):
    """Folders keep tuples of numbers, databases only text."""
    book = make_book(flows=1)
    (flow,) = book
    next(iter(flow)).version = (1, 2)
    old, new = f"dir://{tmp_path}/flows", f"sqlite:///{tmp_path}/flows.db"
    with connected(old) as connection:
        connection.save_logbook(book)

    for result in ("copied", "equal"):
        status, out, _ = typed(old, new, "--yes", "-o", "json")
        assert (status, counted(out)) == (0, {result: 1})
    with connected(new) as connection:
        stored = connection.get_flow_details(flow.uuid)
        assert stored.find(next(iter(flow)).uuid).version == "1.2"


def test_half_done_flow_goes_on_with_redisflow(old, url, typed, backend):
    """What had been done there is not done again, and what had failed is."""
    Break.works = False
    with connected(old) as connection:
        book = models.LogBook("nightly")
        flow = models.FlowDetail("f", uuidutils.generate_uuid())
        book.add(flow)
        connection.save_logbook(book)
        engine = engines.load(
            linear_flow.Flow("f").add(Give("a", provides="x"), Give("b", provides="y")),
            flow_detail=flow,
            backend=connection.backend,
        )
        for state in engine.run_iter():
            if (
                state == states.RESUMING
                or engine.storage.get_atoms_states(["a"])["a"][0] == states.PENDING
            ):
                continue
            engine.suspend()
        assert engine.storage.get_flow_state() == states.SUSPENDED
        done = engine.storage.get_atoms_states(["a", "b"])

    assert typed(old, url, "--yes")[0] == 0

    detail = backend.get_connection().get_flow_details(flow.uuid)
    engine = engines.load(
        linear_flow.Flow("f").add(Give("a", provides="x"), Give("b", provides="y")),
        flow_detail=detail,
        backend=backend,
        engine="redisflow",
    )
    assert engine.storage.get_atoms_states(["a", "b"]) == done
    engine.run()
    assert engine.storage.fetch_all() == {"x": "a", "y": "b"}
    assert check_flow(backend, flow.uuid) == []


def test_what_does_not_come_back_as_it_was_is_named(url, typed, backend, tmp_path):
    """Files of JSON make a list of a tuple: status 5, and where."""
    redisflow.load(
        linear_flow.Flow("f").add(Give("a")), run_id="r", url=url, store={"x": (1, 2)}
    ).run()

    status, out, err = typed(url, f"dir://{tmp_path}/there", "--yes", "-o", "json")

    assert (status, counted(out)) == (5, {"altered": 1})
    assert "altered: results of atom _TaskFlow_INJECTOR" in err


def test_value_that_redisflow_refuses_keeps_no_other_back(url, backend):
    """The flow is named with the reason, and the rest of its logbook is copied."""
    with contextlib.closing(backends.fetch({"connection": "memory"})) as memory:
        source = memory.get_connection()
        book = make_book()
        first, second = book
        next(iter(first)).results = object()
        source.save_logbook(book)

        found = list(migrate(source, backend.get_connection(), books_of(source, None)))

    results = {each.flow_uuid: each.result for each in found}
    assert results == {first.uuid: "refused", second.uuid: "copied"}
    assert "object" in found[0].why + found[1].why


def test_flow_that_workers_are_at_is_refused(url, typed, tmp_path):
    """Status 5: it would be of many moments."""
    engine = redisflow.load(linear_flow.Flow("f").add(Give("a")), run_id="r", url=url)
    phases = engine.run_iter()
    next(phases)
    next(phases)
    place = f"dir://{tmp_path}/there"
    status, out, err = typed(url, place, "--yes", "-o", "json")
    assert (status, counted(out)) == (5, {"at work": 1})
    assert "suspend it first" in err
    list(phases)
    assert typed(url, place, "--yes")[0] == 0


def test_flow_that_changes_while_it_is_read_is_refused(url, typed, tmp_path, backend):
    """Its worker may be gone by the time that somebody looks for one."""
    engine = redisflow.load(linear_flow.Flow("f").add(Give("a")), run_id="r", url=url)
    engine.run()
    source = backend.get_connection()
    read = source.get_flow_details

    def change(uuid):
        detail = read(uuid)
        engine.storage.inject({"x": 1})
        return detail

    source.get_flow_details = change
    with connected(f"dir://{tmp_path}/there") as target:
        books = books_of(source, None)
        fates = [each.result for each in migrate(source, target, books)]
    assert fates == ["at work"]


def test_logbook_that_does_not_name_its_flow_is_completed(url, typed, backend, old):
    """It is equal only once its logbook has it."""
    with connected(old) as there:
        there.save_logbook(make_book())
    assert typed(old, url, "--yes")[0] == 0
    connection = backend.get_connection()
    book = next(iter(connection.get_logbooks()))
    flow = next(iter(book))
    key = backend.keys.book(book.uuid)
    backend.client.execute("HDEL", key, f"flow:{flow.uuid}")
    status, out, _ = typed(old, url, "--yes", "-o", "json")
    assert (status, counted(out)["completed"]) == (0, 1)
    assert backend.client.execute("HEXISTS", key, f"flow:{flow.uuid}")


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("dir:///does/not/exist", "{url}", "there is nothing at"),
        ("sqlite:////does/not/exist.db", "{url}", "there is nothing at"),
        ("{url}", "{url}", "the same place"),
        ("{url}", "memory://", "memory is that of one process"),
        ("{url}", "ftp://x", "no backend for ftp://x"),
        ("dir:", "{url}", "names no folder"),
    ],
)
def test_mistakes(url, typed, source, target, said):
    """One line, and status 2."""
    words = (source.format(url=url), target.format(url=url))
    status, out, err = typed(*words, "--yes")
    assert (status, out, err.count("\n"), said in err) == (2, "", 1, True), err


def test_place_that_is_not_fit_is_named(url, typed, tmp_path):
    """Status 4, in a line; a driver that is lacking is status 2."""
    (tmp_path / "empty").mkdir()
    status, out, err = typed(f"dir:{tmp_path}/empty", url, "--yes")
    assert (status, out, err.count("\n")) == (4, "", 1)
    assert f"dir:{tmp_path}/empty cannot be used: " in err
    status, _, err = typed("mysql+nothing://me:hush@db/x", url, "--yes")
    assert (status, "hush" in err) == (2, False)


def test_without_a_yes_nothing_is_written(old, url, typed, dumps):
    """Status 2 where nobody can be asked."""
    with connected(old) as connection:
        connection.save_logbook(make_book())
    before = dumps()
    assert typed(old, url)[0] == 2
    assert dumps() == before


def test_somebody_is_asked(url, tmp_path):
    """On a terminal, with the number of logbooks; n leaves everything as it is."""
    old = f"dir://{tmp_path}/flows"
    with connected(old) as connection:
        connection.save_logbook(make_book())
    for answer, status in ((b"n\n", 2), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "wb", buffering=0) as terminal:
            terminal.write(answer)
            done = subprocess.run(
                [sys.executable, "-m", "redisflow.cli", "migrate", old, url],
                stdin=theirs,
                capture_output=True,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=False,
            )
            os.close(theirs)
        assert done.returncode == status, done.stderr
        assert "copy 1 logbook to redis://" in done.stderr


def test_what_sql_needs_is_named(typed, url, tmp_path, monkeypatch):
    """Status 2, and what to install."""
    (tmp_path / "flows.db").touch()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "alembic" else find(name, *more),
    )
    status, _, err = typed(f"sqlite:///{tmp_path}/flows.db", url, "--yes")
    assert (status, "needs alembic: pip install 'redisflow[sql]'" in err) == (2, True)
