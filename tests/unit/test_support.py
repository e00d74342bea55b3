"""The tests' own tools: waiting, servers, namespaces."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
import redis

from tests.support.eventually import eventually
from tests.support.records import Entry, Flow
from tests.support.servers import KINDS, Server, absent
from tests.support.verdict import broken_halts
from tests.support.workloads import Note, append, read_notes


def test_eventually_returns_the_first_true_answer():
    """It asks again until the answer is true, and hands it over."""
    answers = iter([0, None, "", "here"])

    assert eventually(lambda: next(answers)) == "here"


def test_eventually_says_what_was_still_wrong():
    """The last failed assert of the condition is in the message."""

    def never():
        raise AssertionError("three are missing")

    with pytest.raises(AssertionError, match="three are missing"):
        eventually(never, within_s=0.02)


def test_server_is_the_one_that_was_asked_for(server: Server, admin: redis.Redis):
    """Kind, port and process are those of the program that answers."""
    facts = admin.info("server")

    assert server.kind in KINDS
    assert facts.get("server_name", "redis") == server.kind
    assert facts["tcp_port"] == server.port != 6379
    assert facts["process_id"] == server.pid
    assert os.getpgid(server.pid) != os.getpgid(0)


def test_server_keeps_idle_connections(admin: redis.Redis):
    """It neither cuts off who waits nor stops for snapshots, as in production."""
    assert admin.config_get("timeout", "save") == {"timeout": "0", "save": ""}


def test_namespace_is_named_after_the_test(namespace: str, url: str):
    """A key that was left behind tells which test left it."""
    assert namespace.startswith("rf-test-namespace-is-named-after-the-test-")
    assert url.endswith(f"/0?namespace={namespace}")


def test_surroundings_are_not_the_users(tmp_path):
    """A test never finds the user's server, nor writes to the user's state."""
    assert "REDISFLOW_URL" not in os.environ
    assert os.environ["XDG_STATE_HOME"].startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_an_absent_program_skips_here_and_fails_in_ci(monkeypatch, ci, outcome):
    """Nobody has to install all servers, and CI cannot forget one."""
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match="some-server"):
        absent("some-server")


def test_notes_are_read_while_they_are_written(tmp_path):
    """A line that is half there is not read, nor does it spoil the next one."""
    note = Note("t1", "execute", "begin", 1, 0, 0, "5")
    line = json.dumps(dataclasses.asdict(note))
    file = tmp_path / "notes"

    file.write_text(line[:17])
    assert read_notes(file) == []

    append(file, line)
    assert read_notes(file) == [note]


class Told(Flow):
    """A flow of which only the journal and some fields are known."""

    def __init__(self, *moves, **fields):
        self.journal = [
            Entry(0, rev, atom, old, new, "", "", 0)
            for rev, (atom, old, new) in enumerate(moves)
        ]
        self.fields = fields


FAILED = ("a", "REVERTING", "REVERT_FAILURE")
ON = [("", "RUNNING", "RESUMING"), ("", "RESUMING", "SUSPENDED")]


@pytest.mark.parametrize("between", [[], ON], ids=["at-once", "taken-over"])
def test_run_whose_revert_failed_is_a_failure(between):
    """Whoever ends it, and also when it was taken over in between."""
    for state in ("REVERTED", "SUSPENDED", "SUCCESS"):
        told = Told(FAILED, *between, ("", "RUNNING", state), state=state)
        assert len(list(broken_halts(told))) == 1
    told = Told(FAILED, *between, ("", "RUNNING", "FAILURE"), state="FAILURE")
    assert list(broken_halts(told)) == []


def test_next_run_after_a_failed_revert_is_another():
    """What has failed in the run before says nothing of this one."""
    ends = [("", "RUNNING", "FAILURE"), ("", "RUNNING", "REVERTED")]
    assert list(broken_halts(Told(FAILED, *ends, state="REVERTED"))) == []


def test_run_that_was_halted_is_a_failure():
    """Also where no revert has failed."""
    ends = ("", "RUNNING", "REVERTED")
    assert len(list(broken_halts(Told(ends, state="REVERTED", halt="1")))) == 1
    assert list(broken_halts(Told(ends, state="REVERTED", halt="0"))) == []
