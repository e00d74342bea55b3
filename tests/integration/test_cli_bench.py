"""``redisflow bench``: what it tells, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import redisflow
from redisflow import measuring
from redisflow.cli.app import invoke
from tests.support.eventually import eventually

ROOT = Path(redisflow.__file__).parents[1]
NAMES = [each.name for each in measuring.MEASURES]

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


@pytest.fixture
def typed(url, capfd):
    """Type the command; gives its status, and what it printed."""

    def run(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = invoke(["bench", "--seconds", "0.5", "--url", url, *words])
        return status, *capfd.readouterr()

    return run


def test_a_person_gets_a_table(typed, admin, namespace):
    """A line for each thing, and where its keys are; none of them is left."""
    status, out, err = typed()
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 1 + len(NAMES))
    assert lines[0].split("  ")[0] == "WHAT"
    assert lines[2].split()[-1] == "1.00"
    assert all(len(line) < 80 for line in lines)
    assert f"under {namespace}:bench-" in err
    assert list(admin.scan_iter()) == []


def test_a_program_gets_all_of_it(typed):
    """Rates of every round, the median, and the ratio to bare scripts."""
    status, out, _ = typed("-o", "json")
    document = json.loads(out)
    measures = {each["name"]: each for each in document["measures"]}
    assert (status, list(measures)) == (0, NAMES)
    assert document["version"].count(".") >= 1
    for each in measures.values():
        assert len(each["rates"]) == document["rounds"]
        assert 0 < each["lowest"] <= each["median"] <= each["highest"]
    assert measures["evalsha"]["of_bare"] == 1
    assert measures["round_trip"]["of_bare"] is None
    ours, bare = measures["lock"]["median"], measures["evalsha"]["median"]
    assert measures["lock"]["of_bare"] == pytest.approx(2 * ours / bare, abs=0.01)
    status, out, _ = typed("-o", "jsonl")
    assert [json.loads(line)["name"] for line in out.splitlines()] == NAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(url, admin, namespace, number):
    """Status 130, and no key, wherever it was; what others have stays."""
    admin.set(f"{namespace}:others", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "redisflow.cli", "bench", "--seconds", "300"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "REDISFLOW_URL": url},
    ) as program:
        eventually(lambda: len(list(admin.scan_iter(f"{namespace}:bench-*:*"))) > 5)
        program.send_signal(number)
        out, err = program.communicate(timeout=20)
    assert (program.returncode, out) == (130, ""), err
    assert "interrupted" in err
    assert list(admin.scan_iter()) == [f"{namespace}:others"]


def test_server_that_is_not_there(typed):
    """Status 4, in a line; likewise a mistake with status 2."""
    status, out, err = typed("--url", "redis://127.0.0.1:1/0?deadline_s=0.2")
    assert (status, out, "127.0.0.1:1" in err.splitlines()[-1]) == (4, "", True)
    assert typed("--seconds", "0")[0] == 2


def test_nothing_of_the_repository_is_needed():
    """What is shipped measures by itself."""
    text = Path(measuring.__file__).read_text(encoding="utf-8")
    assert "benchmarks" not in text
