"""Failures, as the commands tell of them: causes, rounds, and what retries tried."""

from __future__ import annotations

import json
import threading

import pytest
from taskflow import retry, task
from taskflow.patterns import linear_flow

import redisflow
from tests.support.eventually import eventually

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_server]

FACTORY = """
from taskflow import task

class Break(task.Task):
    def execute(self):
        try:
            raise OSError("no disk")
        except OSError as error:
            raise RuntimeError("no backup") from error

def factory():
    return Break("a")
"""


class OnlySecond(task.Task):
    """Fails for a cause when it is tried first, and waits when it is tried again."""

    def __init__(self, name, go_on, rebind):
        super().__init__(name, rebind=rebind)
        self.go_on = go_on

    def execute(self, size):
        """Fail, or wait."""
        if size == 10:
            try:
                raise OSError("no disk")
            except OSError as error:
                raise RuntimeError("no backup") from error
        assert self.go_on.wait(60)


@pytest.fixture
def second_round(url, request):
    """Run a flow until its task is tried for the second time; ends it afterwards."""
    go_on, given = threading.Event(), getattr(request, "param", "size")
    tries = retry.ForEach([10, 20], "tries", provides=given)
    flow = linear_flow.Flow("f", retry=tries)
    flow.add(OnlySecond("backup", go_on, {"size": given}))
    engine = redisflow.load(flow, run_id="nightly", url=url)
    engine.compile()
    engine.prepare()
    thread = threading.Thread(target=engine.run)
    thread.start()
    yield engine
    go_on.set()
    thread.join(60)
    engine.storage.backend.close()


def _atoms(typed):
    status, out, _err = typed("show", "nightly", "-o", "json")
    assert status == 0
    return {atom["name"]: atom for atom in json.loads(out)["atoms"]}


def _at_second(typed):
    """Wait until the task is tried again; gives the atoms."""
    eventually(lambda: _atoms(typed)["backup"]["round"] == 2)
    return _atoms(typed)


def test_a_failure_has_its_causes(second_round, typed):
    """The JSON has all of them, a person gets a line for each."""
    failure = _at_second(typed)["backup"]["failure"]
    assert (failure["type"], failure["message"]) == ("RuntimeError", "no backup")
    (cause,) = failure["causes"]
    assert (cause["type"], cause["message"]) == ("OSError", "no disk")
    assert cause["where"]
    assert "\n  caused by OSError: no disk (" in typed("show", "nightly")[1]


def test_a_failure_of_an_earlier_round_is_told_as_such(second_round, typed):
    """Its atom is at work again: the failure is not what happens now."""
    backup = _at_second(typed)["backup"]
    assert (backup["failure"]["round"], backup["finished_at"]) == (1, None)
    (line,) = (
        line for line in typed("show", "nightly")[1].splitlines() if "no backup" in line
    )
    assert line.endswith(" (round 1)")


def test_a_controller_has_its_history(second_round, typed):
    """What it has tried, and which atoms failed then, and how."""
    first, second = _at_second(typed)["tries"]["history"]
    assert (first["value"], second) == (10, {"value": 20, "failures": {}})
    failure = first["failures"]["backup"]
    assert failure["message"] == "no backup"
    assert [cause["message"] for cause in failure["causes"]] == ["no disk"]


@pytest.mark.parametrize("second_round", ["api_key"], indirect=True)
def test_a_secret_that_was_tried_is_not_shown(second_round, typed):
    """What a controller provides may be secret by its name."""
    history = _at_second(typed)["tries"]["history"]
    assert [each["value"] for each in history] == ["***", "***"]


def test_run_tells_of_causes(typed, tmp_path):
    """One line each on standard error, and all of them in the JSON."""
    file = tmp_path / "flow.py"
    file.write_text(FACTORY, encoding="utf-8")
    status, out, err = typed("run", str(file), "-w", "1", "-o", "json")
    assert status == 1
    assert "redisflow: caused by OSError: no disk (" in err
    (failure,) = json.loads(out)["failures"]
    assert [cause["message"] for cause in failure["causes"]] == ["no disk"]
