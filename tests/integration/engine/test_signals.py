"""Signal handlers of a worker, and the processes that its tasks fork."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, signal, sys, time
{first}
from redisflow.engine.signals import handle

heard = []
handle(signal.SIGTERM, lambda *about: heard.append(about[0]))
{more}
for _ in range(20):
    pid = os.fork()
    if not pid:
        {child}
        os._exit(7)
    {parent}
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(heard)
"""


def run(
    child="time.sleep(30)", parent="os.kill(pid, signal.SIGTERM)", first="", more=""
):
    """Fork from a process that handles a signal; returns how its children ended."""
    program = _PROGRAM.format(child=child, parent=parent, first=first, more=more)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    *statuses, heard = done.stdout.splitlines()
    return {*statuses}, heard


def test_process_that_is_ended_as_soon_as_it_is_forked_ends():
    """Its SIGTERM comes before Python has begun there, and is not forgotten."""
    assert run() == ({"-15"}, "[]")


def test_process_that_is_ended_later_ends():
    """It does not do what its parent would."""
    itself = "os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
    assert run(child=itself, parent="") == ({"-15"}, "[]")


def test_process_that_has_forked_still_hears():
    """What comes while it forks is held back, and no longer than that."""
    # Who is registered first is called last.
    comes = "os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGTERM))"
    statuses, heard = run(child="pass", parent="", first=comes)
    assert (statuses, heard) == ({"7"}, str([15] * 20))


@pytest.mark.parametrize("other", ["signal.SIG_IGN", "lambda *about: None"])
def test_handler_that_a_task_has_set_stays(other):
    """What is not ours is the task's own matter."""
    ends = "os.kill(os.getpid(), signal.SIGTERM)"
    statuses, heard = run(child=ends, parent="", more=f"signal.signal(15, {other})")
    assert (statuses, heard) == ({"7"}, "[]")
