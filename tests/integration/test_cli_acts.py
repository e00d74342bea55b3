"""What an operator changes at the terminal: reset, set-result, resume, rm, gc."""

from __future__ import annotations

import contextlib
import json

import pytest
from taskflow import retry, task
from taskflow.patterns import linear_flow
from taskflow.persistence import models

import redisflow
from redisflow.doctor import check_flow, check_namespace
from redisflow.keys import FlowKeys, flow_uuid_of
from tests.support.aging import age_indexes

pytestmark = pytest.mark.one_server

RAN: list[str] = []


class Count(task.Task):
    """A task that notes that it ran."""

    def execute(self) -> str:
        """Note it."""
        RAN.append(self.name)
        return f"{self.name} ran"


class Take(task.Task):
    """A task that gives on what it is given."""

    default_provides = "taken"

    def execute(self, x: object) -> object:
        """Give it on."""
        RAN.append(self.name)
        return x


def make_flow() -> linear_flow.Flow:
    """Make a flow of three tasks under a retry."""
    return linear_flow.Flow("f", retry=retry.Times(2, name="again")).add(
        Count("a", provides="x"), Count("b"), Take("c")
    )


@pytest.fixture
def load(url):
    """Load engines on the flow; what ran before is forgotten."""
    RAN.clear()
    return lambda **options: redisflow.load(
        make_flow(), run_id="nightly", url=url, **options
    )


@pytest.fixture
def keys(namespace) -> FlowKeys:
    """Name the keys of the flow."""
    return FlowKeys(namespace, flow_uuid_of("nightly", namespace))


def entries(admin, keys) -> list[dict[str, str]]:
    """Read what operators did."""
    return [fields for _, fields in admin.xrange(keys.events) if "act" in fields]


def test_reset_runs_again_from_there(load, typed, admin, keys, backend):
    """The atom and what comes after it run once more, with who and why journaled."""
    load().run()
    assert RAN == ["a", "b", "c"]

    status, out, err = typed("reset", "nightly", "b", "--yes", "--reason", "new data")
    assert (status, out) == (0, "")
    assert "b and all that comes after it can run again with --rerun: 2 atom(s)" in err
    (entry,) = entries(admin, keys)
    assert (entry["act"], entry["reason"]) == ("reset b", "new data")
    assert len(entry["worker"].split(":")) == 3
    assert check_flow(backend, keys.flow_uuid) == []

    engine = load(rerun=True)
    engine.run()
    assert RAN == ["a", "b", "c", "b", "c"]
    assert engine.storage.get("b") == "b ran"


def test_reset_of_one_atom_alone(load, typed):
    """With --only what comes after it keeps its result; JSON tells of it."""
    load().run()
    status, out, _ = typed("reset", "nightly", "a", "--only", "--yes", "-o", "json")
    assert status == 0
    assert json.loads(out)["pending"] == 1
    load(rerun=True).run()
    assert RAN == ["a", "b", "c", "a"]


def test_reset_of_a_retry_forgets_its_history(load, typed):
    """All of its flow runs again, and the history begins anew."""
    load().run()
    assert typed("reset", "nightly", "again", "--yes")[0] == 0
    engine = load(rerun=True)
    engine.run()
    assert RAN == ["a", "b", "c", "a", "b", "c"]
    assert len(engine.storage.get_retry_history("again")) == 1


def test_reset_is_refused(load, typed, admin, keys):
    """By the state of the flow with status 5, by a mistake or without a yes with 2."""
    phases = load().run_iter()
    next(phases)
    next(phases)
    status, _, err = typed("reset", "nightly", "a", "--yes")
    assert (status, "suspend it first" in err) == (5, True)
    assert entries(admin, keys) == []
    list(phases)
    assert typed("reset", "nightly", "nobody", "--yes")[0] == 2
    assert typed("reset", "nightly", "a")[0] == 2
    status, _, err = typed("reset", "nightly", "a", "--dry-run")
    assert (status, "would reset a and all that comes after it: a, b, c" in err) == (
        0,
        True,
    )
    status, out, _ = typed("reset", "nightly", "b", "--dry-run", "-o", "json")
    assert (status, json.loads(out)["atoms"]) == (0, ["b", "c"])
    assert RAN == ["a", "b", "c"]


def test_reset_carries_on_what_another_has_begun(load, typed, keys, backend):
    """A reset whose operator went away in its middle comes to its end first."""
    engine = load()
    engine.run()
    uuid = engine.storage.get_atom_uuid("c")
    scripts = backend.scripts_of(keys.flow_uuid)
    asked = {"who": "gone", "since": 0, "act": "reset c", "reason": ""}
    scripts.call("atom_restart", of=uuid, atom=uuid, alone=0, **asked)

    assert typed("reset", "nightly", "b", "--yes")[0] == 0

    load(rerun=True).run()
    assert RAN == ["a", "b", "c", "b", "c"]
    assert check_flow(backend, keys.flow_uuid) == []


def test_reset_of_what_no_flow_has(load, typed):
    """An atom that is no part of the structure is reset alone, or not at all."""
    engine = load()
    engine.run()
    engine.storage.ensure_atom(Count("loose"))

    status, _, err = typed("reset", "nightly", "loose", "--yes")
    assert (status, "--only resets it" in " ".join(err.split())) == (5, True)
    assert typed("reset", "nightly", "loose", "--only", "--yes")[0] == 0


def test_result_by_hand_is_what_others_take(load, typed, admin, keys, backend):
    """JSON, text, a file or a failure; what it had is kept beside it."""
    load().run()
    status, _, err = typed(
        "set-result", "nightly", "a", '{"n": 1}', "--yes", "--reason", "by hand"
    )
    assert (status, "a was SUCCESS and is SUCCESS" in err) == (0, True)
    stored = admin.hgetall(keys.result(admin.hget(keys.atoms, "a")))
    assert stored.pop("results") == '{"n":1}'
    assert list(stored.values()) == ['"a ran"']
    assert check_flow(backend, keys.flow_uuid) == []
    typed("reset", "nightly", "c", "--yes")
    engine = load(rerun=True)
    engine.run()
    assert engine.storage.fetch("taken") == {"n": 1}


def test_result_of_what_has_not_run_is_not_run(load, typed, tmp_path):
    """A suspended flow goes on after it; a failure is decided upon in the next run."""
    engine = load()
    for _phase in engine.run_iter():
        engine.suspend()
    file = tmp_path / "x.json"
    file.write_text("[1, 2]")
    status, out, _ = typed(
        "set-result", "nightly", "a", "--file", str(file), "--yes", "-o", "json"
    )
    assert status == 0
    assert json.loads(out)["old_state"] in ("PENDING", "SUCCESS")
    ran = list(RAN)
    engine = load()
    engine.run()
    assert [*ran, *(name for name in "bc" if name not in ran)] == RAN
    assert engine.storage.fetch("taken") == [1, 2]


def test_failure_by_hand_is_decided_upon(load, typed):
    """The next run reverts, and raises what the operator said."""
    engine = load()
    for _phase in engine.run_iter():
        engine.suspend()
    assert typed("set-result", "nightly", "b", "--failure", "no", "--yes")[0] == 0
    engine = load()
    with contextlib.suppress(Exception):
        engine.run()
    assert engine.storage.get_retry_history("again") is not None


@pytest.mark.parametrize(
    "words",
    [
        ("a",),
        ("a", "1", "--failure", "x"),
        ("a", "--file", "/does/not/exist"),
        ("again", "1", "--yes"),
        ("nobody", "1", "--yes"),
    ],
)
def test_mistakes_in_set_result(load, typed, words):
    """One line, status 2 (5 for a retry), and nothing is changed."""
    load().run()
    status, out, err = typed("set-result", "nightly", *words)
    assert (status, out) == (5 if words[0] == "again" else 2, "")
    assert err.count("\n") == 1


def test_resume_hands_a_submitted_run_back(typed, url, admin, keys):
    """It is submitted once more as it was; what was not submitted says what to do."""
    submission = ("submit", "shop:factory", "--run-id", "nightly", "--reason", "spring")
    assert typed(*submission)[0] == 0
    assert typed("resume", "nightly")[0] == 5
    admin.hset(keys.flow, mapping={"state": "SUSPENDED", "ended": 1})
    admin.zrem(f"{keys.namespace}:submitted", keys.flow_uuid)

    status, _, err = typed("resume", "nightly", "--reason", "go")

    assert (status, "left to workers, of whom none" in err) == (0, True)
    assert admin.hget(keys.flow, "submitted") == "2"
    assert admin.zrange(f"{keys.namespace}:submitted", 0, -1) == [keys.flow_uuid]
    told = [(entry["act"], entry["reason"]) for entry in entries(admin, keys)]
    assert told == [("submit", "spring"), ("resume", "go")]


def test_resume_of_what_was_not_submitted(load, typed):
    """Status 5, and the way to let it go on."""
    engine = load()
    for _phase in engine.run_iter():
        engine.suspend()
    status, _, err = typed("resume", "nightly")
    assert (status, "run it again with the same run id" in err) == (5, True)


def test_acts_by_filter(load, typed, url):
    """The number of runs comes first, and a yes; JSON tells of each."""
    load().run()
    redisflow.submit("shop:factory", run_id="other", url=url)
    status, out, err = typed("rm", "--name", "oth*", "--dry-run", "-o", "jsonl")
    assert (status, "1 run to remove" in err) == (0, True)
    assert json.loads(out)["result"] == "would remove"
    assert typed("suspend", "--name", "oth*")[0] == 2  # nobody to ask
    assert typed("suspend")[0] == 2
    assert typed("suspend", "other", "--name", "x")[0] == 2
    status, out, _ = typed("suspend", "--name", "*", "--yes", "-o", "json")
    results = {run["run_id"]: run["result"] for run in json.loads(out)["runs"]}
    assert status == 5
    assert set(results) == {"nightly", "other"}


def test_dry_runs_refuse_as_the_acts_would(load, typed, url):
    """With the same words and the same status; and nothing is written."""
    load().run()
    redisflow.submit("shop:factory", run_id="other", url=url)
    engine = redisflow.load(make_flow(), run_id="third", url=url)
    phases = engine.run_iter()
    next(phases)
    next(phases)
    for words in (
        *(("suspend", "nightly"), ("cancel", "nightly"), ("resume", "nightly")),
        *(("suspend", "other"), ("cancel", "other"), ("rm", "third", "--yes")),
        *(("reset", "third", "a", "--yes"), ("reset", "third", "z", "--yes")),
        ("set-result", "nightly", "again", "1", "--yes"),
        ("set-result", "third", "b", "--failure", "no", "--yes"),
    ):
        dry, out, err = typed(*words, "--dry-run")
        status, _, refusal = typed(*words)
        assert dry == status, words
        assert status in (2, 5), words
        why = refusal.strip().removeprefix("redisflow: ").split(": ", 1)[-1]
        assert why in " ".join(f"{out} {err}".split()), words
    list(phases)


def test_programs_are_told_of_each_act(load, typed, url):
    """One document, or a line a run, of what was done or would be."""
    engine = load()
    for _phase in engine.run_iter():
        engine.suspend()

    def told(*words, status=0):
        found, out, _err = typed(*words)
        assert found == status, words
        return [json.loads(line) for line in out.splitlines()]

    dry = ("--dry-run", "-o", "jsonl")
    (run,) = told("cancel", "nightly", *dry)
    assert (run["run_id"], run["result"]) == ("nightly", "would cancel")
    (run,) = told("resume", "nightly", "-o", "jsonl", status=5)
    assert run["result"] == "refused"
    assert "run it again" in run["error"]
    (atom,) = told("reset", "nightly", "a", *dry)
    assert (atom["atom"], atom["result"]) == ("a", "would reset")
    (atom,) = told("set-result", "nightly", "a", "1", *dry)
    assert atom["result"] == "would set the result"
    (run,) = told("cancel", "nightly", "-o", "jsonl")
    assert (run["result"], run["workers"]) == (
        "no worker is alive: whoever runs it next reverts it",
        0,
    )
    redisflow.submit("shop:factory", run_id="other", url=url)
    (run,) = told("suspend", "other", "-o", "jsonl", status=5)
    assert "cannot be suspended" in run["error"]
    (run,) = told("rm", "other", "--yes", "-o", "jsonl")
    assert run["result"] == "removed"
    (left,) = told("gc", "-o", "jsonl")
    assert set(left["garbage"]) == {"flows", "books", "atoms"}


def test_rm_leaves_nothing(load, typed, admin, namespace, backend):
    """Flow, book and indexes; while workers are at work it is refused."""
    phases = load().run_iter()
    next(phases)
    next(phases)
    status, _, err = typed("rm", "nightly", "--yes")
    assert (status, "at work" in err) == (5, True)
    list(phases)
    assert typed("rm", "nightly")[0] == 2  # nobody to ask
    assert typed("rm", "nightly", "--dry-run")[1] == "would remove nightly\n"

    assert typed("rm", "nightly", "--yes")[0] == 0

    assert list(admin.scan_iter(f"{namespace}:*")) == []
    assert check_namespace(backend) == []
    assert typed("rm", "nightly", "--yes")[0] == 2


def test_rm_goes_on_where_it_was_cut_short(load, typed, admin, keys, namespace):
    """What is left of a flow without its hash is removed by its uuid."""
    load().run()
    admin.delete(keys.flow)
    status, _, err = typed("rm", keys.flow_uuid, "--yes")
    assert (status, "what was left is removed" in err) == (0, True)
    assert not list(admin.scan_iter(f"{namespace}:{{*"))


def test_gc_removes_what_ended_long_ago(load, typed, admin, keys, url):
    """By the time of the last change; suspended and running ones stay."""
    namespace = keys.namespace
    load().run()
    redisflow.submit("shop:factory", run_id="left", url=url)
    assert typed("gc", "--older", "1h", "--yes")[2].startswith("redisflow: no such run")
    admin.hincrby(keys.flow, "updated_at", -7_200_000)
    admin.zincrby(f"{namespace}:flows", -7_200_000, keys.flow_uuid)
    left = FlowKeys(namespace, flow_uuid_of("left", namespace))
    admin.hincrby(left.flow, "updated_at", -7_200_000)
    admin.zincrby(f"{namespace}:flows", -7_200_000, left.flow_uuid)

    status, out, _ = typed("gc", "--older", "1h", "--dry-run")
    assert (status, out) == (0, "would remove nightly\n")
    assert typed("gc", "--older", "1h", "--yes")[0] == 0

    assert not admin.exists(keys.flow)
    assert admin.exists(left.flow)


def test_gc_removes_what_gone_flows_left(load, typed, admin, keys, namespace):
    """Entries of indexes, logbooks and records of a flow whose hash is gone."""
    load().run()
    admin.delete(keys.flow)
    admin.hset(f"{namespace}:atom-index", "atom", "gone")
    assert "0 flows, 0 books, 1 atoms" in typed("gc")[2]  # they may be on their way
    admin.hset(f"{namespace}:atom-index", "atom", "gone")
    age_indexes(admin, namespace)
    status, _, err = typed("gc")
    assert status == 0
    assert "1 flows, 1 books, 1 atoms" in err
    assert list(admin.scan_iter(f"{namespace}:*")) == []
    assert typed("gc", "--state", "SUCCESS")[0] == 2


def test_gc_keeps_what_is_submitted_again_meanwhile(
    typed, url, admin, keys, monkeypatch
):
    """Between the choice and the yes somebody has asked for another run."""
    redisflow.submit("os:getcwd", run_id="nightly", url=url)
    admin.hset(keys.flow, mapping={"state": "SUCCESS", "ended": 1, "updated_at": 1})
    index = keys.flow.replace(f"{{{keys.flow_uuid}}}:flow", "flows")
    admin.zadd(index, {keys.flow_uuid: 1})

    def submit_again(*_args, **_kwargs):
        redisflow.submit("os:getcwd", run_id="nightly", url=url, rerun=True)

    monkeypatch.setattr("redisflow.cli.acts.confirm", submit_again)
    status, out, err = typed("gc", "--older", "1h")

    assert (status, "has changed meanwhile" in err + out) == (5, True)
    assert admin.exists(keys.flow)


@pytest.mark.parametrize("name", ["events", "changes", "missing"])
def test_rm_removes_a_flow_that_has_lost_a_key(name, load, typed, admin, keys):
    """Nothing else can be done with it; what nothing leads to is looked for."""
    load().run()
    admin.delete(getattr(keys, name))
    assert typed("rm", "nightly", "--yes")[0] == 0
    assert list(admin.scan_iter(f"{keys.namespace}:*")) == []


def test_one_damaged_run_does_not_keep_the_others(load, typed, admin, keys, url):
    """It is refused by itself: status 5, and the rest is done."""
    load().run()
    other = redisflow.load(make_flow(), run_id="other", url=url)
    other.run()
    admin.delete(keys.missing)
    admin.set(keys.missing, "of another type")
    status, out, _ = typed("rm", "--name", "*", "--yes", "-o", "json")
    results = {run["run_id"]: run["result"] for run in json.loads(out)["runs"]}
    assert (status, results) == (5, {"nightly": "refused", "other": "removed"})


def test_run_that_cannot_be_read_here_is_in_nobodys_way(load, typed, admin, keys):
    """One of another codec is called by its uuid, and acted upon like any other."""
    load().run()
    admin.hset(keys.flow, "meta:run_id", "\x00encrypted")
    status, out, _ = typed("rm", "--state", "SUCCESS", "--dry-run")
    assert (status, out) == (0, f"would remove {keys.flow_uuid}\n")
    admin.hincrby(keys.flow, "updated_at", -7_200_000)
    admin.zincrby(f"{keys.namespace}:flows", -7_200_000, keys.flow_uuid)
    assert typed("gc", "--older", "1h", "--yes")[0] == 0
    assert not admin.exists(keys.flow)


def test_gc_leaves_what_is_submitted_again(load, typed, admin, keys, url):
    """Its last run ended long ago, and its next one waits for a worker."""
    redisflow.submit("shop:factory", run_id="left", url=url)
    left = FlowKeys(keys.namespace, flow_uuid_of("left", keys.namespace))
    admin.hset(left.flow, mapping={"state": "SUCCESS", "ended": 1})
    redisflow.submit("shop:factory", run_id="left", url=url, rerun=True)
    admin.hincrby(left.flow, "updated_at", -7_200_000)
    admin.zincrby(f"{keys.namespace}:flows", -7_200_000, left.flow_uuid)
    assert typed("gc", "--older", "1h", "--yes")[0] == 0
    assert admin.exists(left.flow)


def test_logbook_of_a_user_stays(typed, backend, namespace):
    """Only one that redisflow has made for a run goes with it."""
    book = models.LogBook("of mine")
    detail = models.FlowDetail("f", flow_uuid_of("mine", namespace))
    book.add(detail)
    backend.get_connection().save_logbook(book)
    assert typed("rm", "mine", "--yes")[0] == 0
    stored = backend.get_connection().get_logbook(book.uuid)
    assert (stored.name, list(stored)) == ("of mine", [])


class Halt(Count):
    """A task that suspends its flow when it is reverted."""

    engine = None

    def revert(self, **_arguments):
        """Suspend the flow."""
        Halt.engine.suspend()


def halfway(url):
    """Bring a run to where it is suspended in the middle of being reverted."""

    def boom():
        raise OSError("no")

    flow = linear_flow.Flow("half").add(
        Count("a"), Halt("b"), task.FunctorTask(boom, name="c")
    )
    Halt.engine = redisflow.load(flow, run_id="half", url=url)
    Halt.engine.run()
    return Halt.engine


def test_half_a_revert_is_not_put_back(typed, url):
    """What would be executed again would stay, while all before it went."""
    RAN.clear()
    engine = halfway(url)
    assert engine.storage.get_flow_state() == "SUSPENDED"
    before = engine.storage.get_atoms_states("abc")
    status, _, err = typed("reset", "half", "c", "--yes")
    assert (status, "is being reverted" in err) == (5, True)
    status, _, err = typed("set-result", "half", "c", "1", "--yes")
    assert (status, "reverted" in err) == (5, True)
    assert engine.storage.get_atoms_states("abc") == before
    status, out, _ = typed("reset", "half", "a", "--dry-run", "-o", "json")
    assert (status, json.loads(out)["atoms"][0]) == (0, "a")


def test_result_without_what_its_revert_would_need_is_refused(typed, url):
    """It could be executed by hand, and never be undone."""
    flow = linear_flow.Flow("f").add(
        task.FunctorTask(lambda: 7, name="gives", provides="x"),
        task.FunctorTask(lambda x: x, name="takes"),
    )
    engine = redisflow.load(flow, run_id="given", url=url)
    for _phase in engine.run_iter():
        engine.suspend()
    status, _, err = typed("set-result", "given", "takes", "1", "--yes")
    assert (status, "'gives'" in err) == (5, True)
    assert typed("set-result", "given", "gives", "1", "--yes")[0] == 0
    assert typed("set-result", "given", "takes", "1", "--yes")[0] == 0


def test_gc_begins_with_the_oldest(typed, url, admin, namespace):
    """Whoever removes a few at a time comes to all of them."""
    for number in range(3):
        run = redisflow.load(make_flow(), run_id=f"r{number}", url=url)
        run.run()
        age = -7_200_000 * (3 - number)
        admin.hincrby(
            FlowKeys(namespace, run.storage.flow_uuid).flow, "updated_at", age
        )
        admin.zincrby(f"{namespace}:flows", age, run.storage.flow_uuid)
    words = ("gc", "--older", "1h", "--limit", "1", "--dry-run")
    assert typed(*words)[1] == "would remove r0\n"


def test_suspending_once_more_is_as_good_as_once(load, typed):
    """So that what is typed again, or scripted, goes on."""
    engine = load()
    for _phase in engine.run_iter():
        engine.suspend()
    status, _, err = typed("suspend", "nightly", "nightly")
    assert (status, err.count("is SUSPENDED")) == (0, 1)
