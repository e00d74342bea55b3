"""``redisflow doctor``, as an operator uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.cli.app import invoke
from redisflow.doctor import RULES
from redisflow.keys import FlowKeys

ROOT = Path(__file__).parents[2]


class Noop(task.Task):
    """A task that does nothing."""

    def execute(self) -> None:
        """Do nothing."""


@pytest.fixture
def keys(url, namespace) -> FlowKeys:
    """Run a flow to its end."""
    engine = redisflow.load(
        linear_flow.Flow("f").add(Noop("a")), run_id="nightly", url=url
    )
    engine.run()
    return FlowKeys(namespace, engine.storage.flow_uuid)


def test_all_is_well(keys, url, capfd):
    """Status 0, and a line that says so; notes about the server do not count."""
    assert invoke(["doctor", "--url", url]) == 0
    told = capfd.readouterr()
    assert "looked at 1 flow: " in told.err
    assert not re.search(r"^error", told.out, re.MULTILINE)

    assert invoke(["doctor", "nightly", "--url", url]) == 0
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "redisflow: looked at 1 flow: all is well\n")


def test_damage_is_told_and_mended(keys, url, admin, capfd):
    """Status 5 with what is wrong; the repair says what it did, and leaves nothing."""
    admin.hset(keys.flow, "unfinished", 7)
    assert invoke(["doctor", "nightly", "--url", url]) == 5
    told = capfd.readouterr()
    assert told.out == (f"error unfinished  7 are counted, 0 are  ({keys.flow})\n")

    assert invoke(["doctor", "nightly", "--repair", "--dry-run", "--url", url]) == 5
    assert capfd.readouterr().out.startswith("would mend error unfinished")
    assert admin.hget(keys.flow, "unfinished") == "7"

    why = ["--reason", "ticket 4711"]
    assert invoke(["doctor", "nightly", *why, "--url", url]) == 2
    assert "add --repair" in capfd.readouterr().err
    assert invoke(["doctor", "nightly", "--repair", *why, "--url", url]) == 0
    assert capfd.readouterr().out.startswith("mended error unfinished")
    assert admin.hget(keys.flow, "unfinished") == "0"
    entry = admin.xrange(keys.events)[-1][1]
    assert (entry["repaired"], entry["reason"]) == ("unfinished", "ticket 4711")


def test_json_is_one_document(keys, url, admin, capfd):
    """Findings, with rule, key and flow; and what was repaired."""
    admin.zadd(keys.changes, {"nobody": 3})
    assert invoke(["doctor", "nightly", "-o", "json", "--url", url]) == 5
    document = json.loads(capfd.readouterr().out)
    (finding,) = document["findings"]
    assert document["flows"] == 1
    assert (finding["rule"], finding["severity"]) == ("changes", "error")
    assert (finding["key"], finding["flow_uuid"]) == (keys.changes, keys.flow_uuid)
    assert finding["repairable"] is True

    assert invoke(["doctor", "nightly", "-o", "jsonl", "--url", url]) == 5
    (line,) = capfd.readouterr().out.splitlines()
    assert json.loads(line) == finding | {"repaired": False}

    assert invoke(["doctor", "--repair", "-o", "json", "--url", url]) == 0
    document = json.loads(capfd.readouterr().out)
    assert "changes" in {each["rule"] for each in document["repaired"]}


def test_server_that_evicts_is_examined(keys, url, admin, capfd):
    """Other commands refuse it with status 4; the doctor says what is wrong."""
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert invoke(["ls", "--url", url]) == 4
        assert invoke(["doctor", "--url", url]) == 5
    finally:
        admin.config_set("maxmemory-policy", "noeviction")
    told = capfd.readouterr()
    assert "error server-evicts  maxmemory-policy is allkeys-lru" in told.out
    assert "looked at 1 flow: 1 error" in told.err


def test_flow_that_nobody_knows(url, capfd):
    """A mistake in the command: status 2, one line."""
    assert invoke(["doctor", "nowhere", "--url", url]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_every_rule_is_on_the_page():
    """docs/doctor.md says of each rule what to do, and of no other."""
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)`", page, re.MULTILINE)) == set(RULES)
    for name, rule in RULES.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}`"))
        assert rule.text in row
        assert ("repairable" in row) is rule.repairable


def test_dry_run_says_what_a_repair_would_mend(keys, url, admin, capfd):
    """Of a rule that can be mended not everything can."""
    admin.delete(keys.lock)
    for words in (["--dry-run"], []):
        capfd.readouterr()
        invoke(["doctor", "nightly", "--repair", *words, "--url", url])
        told = capfd.readouterr().out
        assert "lost-key" in told
        assert not told.startswith(("mended", "would"))
