"""`redisflow.run`: worker processes of this one."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys

import pytest
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.engine.factories import FactoryCall
from redisflow.engine.processes import LocalRun
from redisflow.errors import ConfigError

PIPELINE = """
from taskflow import task
from taskflow.patterns import linear_flow

class Add(task.Task):
    default_provides = "total"

    def execute(self, x):
        return x + 1

def make_flow():
    return linear_flow.Flow("mine").add(Add())
"""

MAIN = """
import sys
import redisflow
from pipeline import make_flow

if __name__ == "__main__":
    done = redisflow.run(make_flow, workers=1, store={"x": 1}, url=sys.argv[1])
    print(done["total"])
"""


def test_workers_import_from_where_their_parent_does(tmp_path, url):
    """A module beside the program is found, whatever the current folder is."""
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py", url],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def empty():
    """Make a flow with nothing in it."""
    return linear_flow.Flow("empty")


def test_an_option_that_no_engine_has_is_refused(url):
    """One that is misspelt is not passed over."""
    with pytest.raises(ConfigError, match="worker is no option of an engine"):
        redisflow.run(empty, worker=3, url=url)


class DieLate(task.Task):
    """Has its process die when that ends by itself."""

    def execute(self):
        """Leave the death to the end."""
        atexit.register(os.kill, os.getpid(), signal.SIGKILL)


def dying_late():
    """Make a flow whose worker dies after the run has ended."""
    return linear_flow.Flow("late").add(DieLate())


def test_a_death_is_counted_although_the_run_has_ended(url):
    """The parent may learn of the run's end before it learns of the death."""
    with LocalRun(FactoryCall.of(dying_late), workers=1, url=url) as local:
        assert local.run() == "SUCCESS"

    assert local.deaths == 1
    assert "was killed by signal 9" in local.dead[0]
