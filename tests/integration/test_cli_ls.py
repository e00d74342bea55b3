"""``redisflow ls``: which runs it lists, in which order, and what that costs."""

from __future__ import annotations

import json

import pytest
from taskflow import states
from taskflow.persistence import models

import redisflow
from redisflow.cli.app import invoke
from redisflow.engine.loading import store_run
from redisflow.keys import flow_uuid_of
from redisflow.looking.listing import PAGE, WantedRuns, list_runs
from tests.support.patterns import Work

_DAY_MS = 86_400_000


@pytest.fixture
def ls(url, capsys):
    """List runs as JSON."""

    def run(*words):
        capsys.readouterr()
        assert invoke(["ls", *words, "-o", "json", "--url", url]) == 0
        return json.loads(capsys.readouterr().out)["runs"]

    return run


@pytest.fixture
def new_run(backend, namespace, admin):
    """Store a run that nobody has begun, as old as it is said to be."""

    def store(run_id, *, name="f", state=None, days=0):
        uuid = flow_uuid_of(run_id, namespace)
        detail = models.FlowDetail(name, uuid)
        detail.meta["run_id"] = run_id
        store_run(backend, run_id, detail)
        if state is not None:
            admin.hset(backend.keys.of_flow(uuid).flow, "state", state)
        if days:
            admin.zincrby(backend.keys.flows, -days * _DAY_MS, uuid)
            admin.hincrby(
                backend.keys.of_flow(uuid).flow, "created_at", -days * _DAY_MS
            )
        return uuid

    return store


def _ids(runs):
    return [run["run_id"] for run in runs]


def test_what_is_told_of_a_run(url, ls):
    """Names, state, atoms done and all, workers, and when things happened."""
    engine = redisflow.load(Work("a"), run_id="r1", url=url)
    (waiting,) = ls()
    assert (waiting["state"], waiting["done"], waiting["workers"]) == (
        "PENDING",
        None,
        0,
    )
    engine.storage.inject({"x": 1})  # is no atom
    engine.run()
    (run,) = ls()
    expected = {"run_id": "r1", "name": "a", "state": "SUCCESS", "run": 1, "ended": 1}
    assert run.items() >= {**expected, "atoms": 1, "done": 1, "workers": 0}.items()
    assert run["flow_uuid"] == engine.storage.flow_uuid
    assert run["created_at"] <= run["updated_at"]
    engine.storage.backend.close()


def test_a_run_that_is_submitted_again_is_told_as_such(url, ls, capsys):
    """Its last end is still its state: both are shown, by ls and by show."""
    redisflow.load(Work("a"), run_id="r1", url=url).run()
    redisflow.submit("shop:make", run_id="r1", rerun=True, url=url)
    (run,) = ls()
    assert (run["state"], run["submitted"]) == ("SUCCESS", True)
    for words in (("ls",), ("show", "r1")):
        assert invoke([*words, "--url", url]) == 0
        assert "SUCCESS, submitted again  " in capsys.readouterr().out
    assert invoke(["show", "r1", "-o", "json", "--url", url]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["submitted"], document["ended"]) == (True, 1)


def test_the_newest_come_first(new_run, ls):
    """The order is that of their creation, however they are called."""
    for number, run_id in enumerate(("b", "c", "a")):
        new_run(run_id, days=3 - number)
    assert _ids(ls()) == ["a", "c", "b"]
    assert _ids(ls("--limit", "2")) == ["a", "c"]


def test_filters(new_run, ls):
    """State, age and name; several filters all have to fit."""
    new_run("order-1", state=states.RUNNING)
    new_run("order-2", state=states.SUCCESS, days=3)
    new_run("nightly", name="order-flow", state=states.SUSPENDED, days=9)
    new_run("other", days=1)
    assert _ids(ls("--state", "running", "--state", "SUCCESS")) == [
        "order-1",
        "order-2",
    ]
    assert _ids(ls("--state", "PENDING")) == ["other"]
    assert _ids(ls("--name", "order-*")) == ["order-1", "order-2", "nightly"]
    assert _ids(ls("--older", "2d")) == ["order-2", "nightly"]
    assert _ids(ls("--newer", "36h")) == ["order-1", "other"]
    assert _ids(ls("--older", "2d", "--newer", "5d")) == ["order-2"]
    assert ls("--older", "2d", "--state", "RUNNING") == []


@pytest.mark.parametrize(
    "words",
    [("--state", "DONE"), ("--older", "2 weeks"), ("--newer", "-1d"), ("--limit", "0")],
)
def test_filters_that_make_no_sense(url, words, capsys):
    """A usage error that names the option, and status 2."""
    assert invoke(["ls", *words, "--url", url]) == 2
    assert words[0] in capsys.readouterr().err


def test_entries_without_a_flow_are_left_out(new_run, ls, backend, admin):
    """The index is a hint: what is not there any more is not listed."""
    gone, there = new_run("gone"), new_run("there")
    admin.delete(backend.keys.of_flow(gone).flow)
    assert [run["flow_uuid"] for run in ls()] == [there]


def test_pages_of_one_moment(new_run, backend, admin):
    """Runs that were all created in one millisecond are all listed, once."""
    uuids = {f"u{number:04}": 1000 for number in range(2 * PAGE + 7)}
    for run in range(3):
        admin.zadd(backend.keys.flows, {new_run(f"r{run}"): 1000})
    admin.zadd(backend.keys.flows, uuids)
    found = [run.run_id for run in list_runs(backend, WantedRuns())]
    assert sorted(found) == ["r0", "r1", "r2"]


def test_nothing_to_list(url, capsys):
    """A person is told; programs get an empty list and no lines."""
    assert invoke(["ls", "--url", url]) == 0
    assert capsys.readouterr().out == "no runs\n"
    assert invoke(["ls", "--url", url, "-o", "jsonl"]) == 0
    assert capsys.readouterr().out == ""


def test_a_person_sees_the_newest_only(url, new_run, capsys):
    """More than fifty are cut, with a word; --limit shows as many as are wanted."""
    for number in range(53):
        new_run(f"r{number}")
    assert invoke(["ls", "--url", url]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 52
    assert shown[-1].startswith("only the newest 50 runs")
    assert invoke(["ls", "--url", url, "--limit", "60"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 54


def test_reading_is_all_that_it_does(received, new_run, backend):
    """One range of the index a page, and commands that read; never KEYS or SCAN."""
    for number in range(3):
        new_run(f"r{number}")
    names = received(lambda: list(list_runs(backend, WantedRuns())))
    assert set(names) <= {
        "TIME",
        "ZREVRANGEBYSCORE",
        "HMGET",
        "HLEN",
        "HEXISTS",
        "ZCOUNT",
    }
    assert names.count("HMGET") == 3
