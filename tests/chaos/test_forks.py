"""A process forks when it is connected, or in the middle of a task."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]

#: A program that loads an engine, forks, and runs the flow in all of its processes.
PROGRAM = """\
import os, sys
import redisflow
from tests.support.workloads import independent

url, notes = sys.argv[1:]
engine = redisflow.load(
    independent(notes, 90, 0.01), run_id="fault", url=url, lease_s=1.0
)
engine.compile()
engine.prepare()  # it has used its connections by now
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        engine.run()
        os._exit(0 if engine.outcome() == "SUCCESS" else 1)
    children.append(child)
engine.run()
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert engine.outcome() == "SUCCESS"
"""


def test_engine_is_taken_along(stage):
    """Parent and children are three workers with a lease and connections each."""
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM, stage.url, str(stage.notes_file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    flow = stage.assert_ended("SUCCESS", Counter())
    workers = {
        claim.entry.worker for claims in flow.claims.values() for claim in claims
    }
    pids = {note.pid for note in stage.notes}
    assert len(workers) == len(pids) == 3, workers


def test_task_forks(stage):
    """The child of a task holds no lease, and its end ends nothing of its parent's."""
    with stage.crew("line", 1.0, names=["a", "b", "c"], ends={"b": "fork"}) as crew:
        member = crew.start()
        pid = member.pid
        report = member.report()
    assert report["outcome"] == "SUCCESS"
    assert report["statistics"]["stale"] == 0
    stage.assert_ended("SUCCESS", Counter())
    child = int((stage.folder / "notes.child").read_text(encoding="utf-8"))
    assert child != pid
