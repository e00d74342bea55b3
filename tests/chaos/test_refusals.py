"""The server is there and refuses: nothing is half done, and the flow goes on later."""

from __future__ import annotations

import contextlib

import pytest

from tests.support.eventually import eventually
from tests.support.scenarios import Stage

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

LEASE_S = 2.0


@contextlib.contextmanager
def cannot_save(own):
    """MISCONF: there is a folder where the snapshot should go."""
    (own.folder / "dump.rdb").mkdir()
    own.client.config_set("save", "3600 1")
    own.client.bgsave()
    eventually(
        lambda: own.client.info("persistence")["rdb_last_bgsave_status"] == "err"
    )
    yield "MISCONF"
    own.client.config_set("stop-writes-on-bgsave-error", "no")


@contextlib.contextmanager
def has_no_replica(own):
    """NOREPLICAS: more of them are asked for than there are."""
    own.client.config_set("min-replicas-to-write", "1")
    yield "NOREPLICAS"
    own.client.config_set("min-replicas-to-write", "0")


@contextlib.contextmanager
def is_a_replica(own):
    """READONLY: it was made the replica of one that does not exist."""
    own.client.replicaof("127.0.0.1", "1")
    yield "READONLY"
    own.client.replicaof("NO", "ONE")


REFUSALS = [cannot_save, has_no_replica, is_a_replica]


def _told(own, code):
    """Count how many times the server has refused with this code."""
    found = own.client.info("errorstats").get(f"errorstat_{code}", {"count": 0})
    return int(found["count"])


@pytest.mark.parametrize("refuses", REFUSALS)
def test_for_a_while(own, tmp_path, refuses):
    """The flow stands still, and goes on as if nothing had been."""
    stage = Stage(f"{own.url}?deadline_s=20", own.client, tmp_path)
    with stage.crew("mixed", LEASE_S, takes_s=0.01) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        with refuses(own) as code:
            eventually(lambda: _told(own, code) > 20, 20)
            stands = own.client.xlen(stage.keys.events)
            before = _told(own, code)
            eventually(lambda: _told(own, code) > before + 10, 20)
            assert own.client.xlen(stage.keys.events) == stands
        reports = [member.report() for member in crew.members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 3
    flow = stage.assert_ended("SUCCESS")
    assert len(flow.atoms) == 200


@pytest.mark.parametrize("refuses", REFUSALS)
def test_until_the_deadline(own, tmp_path, refuses):
    """Each worker ends with an error of ours; what they held is done by later ones."""
    stage = Stage(f"{own.url}?deadline_s=0.5", own.client, tmp_path)
    with stage.crew("mixed", LEASE_S, takes_s=0.01) as crew:
        for _ in range(2):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 2, 30)
        with refuses(own) as code:
            for member in crew.members:
                member.status(20)
                assert code in member.log
                assert "Refused" in member.log or "Unavailable" in member.log
        assert crew.start().report()["outcome"] == "SUCCESS"
    stage.assert_ended("SUCCESS")


#: What is taken from the user, one at a time.
COMMANDS = ["hset", "hdel", "hincrby", "zadd", "zrem", "xadd", "unlink", "time"]


@pytest.fixture
def limited(own, tmp_path):
    """Give a place for flows of a user with an ACL, and the user's name."""
    own.client.execute_command(
        *("ACL", "SETUSER", "worker", "on", ">secret", "~redisflow:*", "+@all")
    )
    url = f"redis://worker:secret@127.0.0.1:{own.port}/0?deadline_s=2"
    return Stage(url, own.client, tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_taken_away(own, limited, command):
    """Each worker is told by Refused; nothing was half done, so others can go on."""
    stage = limited
    with stage.crew("mixed", LEASE_S, fails=True, takes_s=0.005) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 3, 30)
        own.client.execute_command("ACL", "SETUSER", "worker", f"-{command}")
        for member in crew.members:
            member.status(30)
            assert f"may not run {command.upper()}" in member.log, member.log
            assert "Refused" in member.log, member.log
        own.client.execute_command("ACL", "SETUSER", "worker", "+@all")
        assert crew.start().report()["outcome"] == "REVERTED"
    stage.assert_ended("REVERTED")


@pytest.mark.parametrize(
    "change", [("resetkeys",), ("off",), ("-evalsha", "-eval"), ("resetpass", ">other")]
)
def test_user_is_locked_out(own, limited, change):
    """Keys, the user or scripts are taken away: as if the server had gone."""
    stage = limited
    with stage.crew("mixed", LEASE_S, takes_s=0.005) as crew:
        for _ in range(2):
            crew.start()
        eventually(lambda: len({note.pid for note in stage.notes}) == 2, 30)
        own.client.execute_command("ACL", "SETUSER", "worker", *change)
        own.client.execute_command("CLIENT", "KILL", "USER", "worker")
        for member in crew.members:
            member.status(30)
            assert "Refused" in member.log, member.log
        own.client.execute_command(
            *("ACL", "SETUSER", "worker", "on", ">secret", "~redisflow:*", "+@all")
        )
        assert crew.start().report()["outcome"] == "SUCCESS"
    stage.assert_ended("SUCCESS")
