"""The program on a terminal of a known size, and what it shows there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import redisflow
from tests.support.eventually import eventually

PROGRAM = (sys.executable, "-m", "redisflow.cli")
ROOT = Path(redisflow.__file__).parents[1]

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SOON_S = 60.0


def environment(url: str) -> dict[str, str]:
    """Give the environment of the program, with a server."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
    }
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**kept, "PYTHONPATH": path, "REDISFLOW_URL": url, "TERM": "xterm-256color"}


class Screen:
    """The program with its standard output on a terminal; ``with`` ends it.

    Args:
        words: the command.
        columns: width of the terminal.
        rows: its height.
        environment: of the program.
    """

    def __init__(
        self,
        *words: str,
        columns: int,
        rows: int = 24,
        environment: Mapping[str, str],
    ) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        os.set_blocking(self._terminal, False)
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        self._written = bytearray()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_error: object) -> None:
        with self.process:
            self.process.kill()
        os.close(self._terminal)

    @property
    def written(self) -> str:
        """All that was written to the terminal until now, control codes included."""
        with contextlib.suppress(OSError):
            while data := os.read(self._terminal, 1 << 16):
                self._written += data
        return self._written.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """The lines that were written, without the codes of colours."""
        return _CODES.sub("", self.written).replace("\r", "").splitlines()

    def end(self) -> int:
        """Wait for the program's end; returns its status."""

        def ended() -> bool:
            _ = self.written  # a full terminal would stop it
            return self.process.poll() is not None

        eventually(ended, _SOON_S)
        return self.process.returncode
