"""The JSON of the commands: a name means the same in all of them."""

from __future__ import annotations

import datetime
import json
import runpy
import threading
from pathlib import Path

import pytest
from taskflow import states, task
from taskflow.patterns import linear_flow

import redisflow
from tests.support.eventually import eventually
from tests.support.gates import Gate

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_server]

ROOT = Path(__file__).parents[2]
STATES = {
    *(states.PENDING, states.RUNNING, states.SUCCESS, states.FAILURE, states.REVERTED),
    *(states.REVERTING, states.RETRYING, states.REVERT_FAILURE, states.IGNORE),
    *(states.RESUMING, states.SUSPENDING, states.SUSPENDED),
}


def _is_text(value):
    return value is None or isinstance(value, str)


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_time(value):
    if value is None:
        return True
    return datetime.datetime.fromisoformat(value).utcoffset() == datetime.timedelta(0)


def _are_seconds(value):
    return value is None or round(value, 3) == value


#: Name of a member of the JSON -> what its value is.
KINDS = {
    "run_id": _is_text,
    "flow_uuid": _is_text,
    "name": _is_text,
    "state": STATES.__contains__,
    "run": _is_number,
    "ended": _is_number,
    "submitted": lambda value: isinstance(value, bool),
    "cancelled": lambda value: value is None or set(value) == {"who", "reason"},
    "counts": lambda value: set(value) <= STATES,
    "atom": _is_text,
    "intention": _is_text,
    "worker": lambda value: value is None or value.count(":") == 2,
    "in_flow": lambda value: value is None or _is_number(value),
    "…_at": _is_time,
    "…_s": _are_seconds,
}
#: No name of a member: it could be a uuid, a name or a number.
AMBIGUOUS = "flow"
FACTORY = """
from taskflow import task

class Give(task.Task):
    default_provides = "given"

    def execute(self):
        return 1

def factory():
    return Give("a")
"""


class Break(task.Task):
    """Fails."""

    def execute(self):
        """Fail."""
        raise OSError("no disk")


@pytest.fixture
def runs(url, backend):
    """Have a run at work and cancelled, one that failed, one submitted again."""
    go_on = threading.Event()
    flow = linear_flow.Flow("f").add(Gate("gate", go_on), Break("b"))
    engine = redisflow.load(flow, run_id="at-work", url=url)
    engine.compile()
    engine.prepare()
    thread = threading.Thread(target=_run, args=[engine])
    thread.start()
    eventually(lambda: engine.storage.get_atom_state("gate") == "RUNNING")
    _run(redisflow.load(Break("b"), run_id="failed", url=url))
    redisflow.submit("shop:make", run_id="left", url=url)
    yield
    go_on.set()
    thread.join(60)
    engine.storage.backend.close()


def _run(engine):
    try:
        engine.run()
    except Exception:  # noqa: BLE001  the flow fails on purpose
        return


COMMANDS = [
    *(("ls",), ("workers",), ("workers", "at-work"), ("locks",), ("doctor",)),
    *(("show", "at-work"), ("show", "failed"), ("show", "left"), ("tree", "at-work")),
    *(("why", "failed"), ("tail", "failed"), ("keys", "failed")),
    *(("tail", "at-work", "--follow", "no"), ("locks", "show", "failed")),
    *(("suspend", "at-work", "--dry-run"), ("rm", "failed", "--dry-run")),
    *(("reset", "failed", "b", "--dry-run"), ("gc", "--older", "1d", "--dry-run")),
    ("cancel", "at-work", "--reason", "wrong input"),
    *(("ls",), ("show", "at-work")),
]


def _members(value, place):
    """Give the members of a document, with where they are."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member, f"{place}.{name}"
            if name != "counts":
                yield from _members(member, f"{place}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from _members(member, f"{place}[]")


def test_names_mean_the_same_everywhere(runs, typed, tmp_path):
    """Each is of one kind, whichever command prints it."""
    file = tmp_path / "flow.py"
    file.write_text(FACTORY, encoding="utf-8")
    found = set()
    for words in (*COMMANDS, ("run", str(file), "-w", "1"), ("submit", str(file))):
        _status, out, err = typed(*words, "-o", "json")
        for name, value, place in _members(json.loads(out), " ".join(words)):
            known = name
            for end in ("_at", "_s"):
                known = f"…{end}" if name.endswith(end) else known
            assert known != AMBIGUOUS, place
            assert KINDS.get(known, lambda _: True)(value), (place, value, err)
            found.add(known)
    assert found >= KINDS.keys()


def test_the_names_are_on_the_page():
    """docs/cli.md has a table of them."""
    names = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))["NAMES"]
    assert set(names) == set(KINDS)
