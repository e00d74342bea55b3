"""What `redisflow worker` exports and logs, and what documents say of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from taskflow import task
from taskflow.patterns import linear_flow

from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "docs/grafana/redisflow.json").read_text("utf-8"))

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


class Log(task.Task):
    """Does nothing much."""

    def execute(self):
        """Return a word."""
        return "done"


def one_task():
    """Make a flow of one task."""
    return linear_flow.Flow("one").add(Log("log"))


def scrape(port: int) -> str:
    """Read what a worker exports."""
    address = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read().decode()


def counted(text: str) -> str:
    """Return what a worker exports once it has counted the task and its time."""
    found = 'redisflow_atom_duration_seconds_count{kind="execute"} 1.0' in text
    return text if found else ""


@contextlib.contextmanager
def a_worker(url: str, *options: str, **environment: str):
    """Start a worker; gives its process, and ends it by SIGTERM."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "redisflow.cli",
            "worker",
            "--url",
            url,
            "--allow",
            "tests",
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def submit(url: str) -> None:
    """Submit the flow of one task, and wait for its end."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "redisflow.cli", "submit"),
            *("tests.integration.test_telemetry_logs:one_task", "--wait", "--url", url),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def told(process: subprocess.Popen, pattern: str) -> re.Match:
    """Read a worker's standard error up to a line."""
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"the worker has not told {pattern}")


def test_documented_metrics_are_exported_and_the_dashboard_uses_no_others(url):
    """The page, the dashboard and a live worker have the same names."""
    allow = ("--allow", "tests.integration.test_telemetry_logs")
    with a_worker(url, *allow, "--metrics-port", "0") as process:
        port = int(told(process, r"metrics on http://127.0.0.1:(\d+)/metrics")[1])
        submit(url)
        text = eventually(lambda: counted(scrape(port)))

    exported = set(re.findall(r"^# TYPE (redisflow_\w+) ", text, re.MULTILINE))
    exported = {name for name in exported if not name.endswith("_created")}
    documented = set(re.findall(r"^\| `(redisflow_\w+)` \|", PAGE, re.MULTILINE))
    assert documented == exported
    used = set(re.findall(r"redisflow_\w+", json.dumps(DASHBOARD["panels"])))
    assert used
    assert {re.sub(r"_bucket$", "", name) for name in used} == documented
    for target in (t for panel in DASHBOARD["panels"] for t in panel["targets"]):
        for label in re.findall(r"by \(([^)]+)\)", target["expr"]):
            (name,) = re.findall(r"redisflow_\w+", target["expr"])
            for word in set(label.split(", ")) - {"run"}:
                assert f"{name}{{" in text
                assert re.search(rf"^{name}{{[^}}]*{word}=", text, re.MULTILINE)


def test_a_worker_logs_in_json(url):
    """Each line of the log is an object, with the fields that are known."""
    options = ("--log-format", "json", "--log-level", "info", "--once")
    allow = ("--allow", "tests.integration.test_telemetry_logs")
    observer = {"REDISFLOW_OBSERVER": "tests.integration.test_telemetry_logs:loudly"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "redisflow.cli", "submit"),
            *("tests.integration.test_telemetry_logs:one_task", "--url", url),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with a_worker(url, *options, *allow, **observer) as process:
        _, said = process.communicate(timeout=30)

    entries = [json.loads(line) for line in said.splitlines() if line[:1] == "{"]
    (entry,) = [entry for entry in entries if entry["message"] == "observed"]
    assert entry["atom"] == "log"
    assert entry["run"]
    assert entry["attempt"] == 0


def loudly() -> None:
    """Have a record written from within each atom."""
    import logging  # noqa: PLC0415  # called by name, in the worker

    from redisflow import observing  # noqa: PLC0415

    class Loud(observing.Observer):
        def doing(self, work):
            @contextlib.contextmanager
            def around():
                yield

            return around()

    observing.add(Loud())
    execute = Log.execute

    def loud(self):
        logging.getLogger("user").info("observed")
        return execute(self)

    Log.execute = loud


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--log-format", "xml"], "text or json"),
        (["--log-level", "loud"], "debug, info"),
        (["--metrics-port", "0", "--metrics-host", "203.0.113.1"], "metrics on 203"),
    ],
)
def test_what_a_worker_cannot_use_is_a_usage_error(url, options, words):
    """With status 2 and one line that names it."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "redisflow.cli",
            "worker",
            "--url",
            url,
            "--allow",
            "tests",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
