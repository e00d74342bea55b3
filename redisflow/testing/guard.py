"""Runs a program until its own standard input ends, and then ends it.

A process of its own, run as a file: when the tests are killed, the pipe that they hold
is closed, and so nothing is left behind. It needs the standard library alone.
"""

from __future__ import annotations

import signal
import subprocess
import sys


def main() -> int:
    """Run the program that the arguments name; returns its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the pipe tells when it is over
        signal.signal(number, signal.SIG_IGN)
    program = subprocess.Popen(  # noqa: S603  # what `ThrowAwayServer` has found
        sys.argv[1:], stdin=subprocess.DEVNULL
    )
    sys.stdin.read()
    program.terminate()
    try:
        return program.wait(timeout=5)
    except subprocess.TimeoutExpired:
        program.kill()
        return program.wait()


if __name__ == "__main__":
    sys.exit(main())
