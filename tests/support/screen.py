"""The program on a terminal of a known size, and what it shows there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import redisflow
from tests.support.eventually import eventually

PROGRAM = (sys.executable, "-m", "redisflow.cli")
ROOT = Path(redisflow.__file__).parents[1]

#: Each command in a fork of a program that has imported all: a process of its own, to
#: its end. Marks and statuses stand between what they print.
_FORKING = (
    sys.executable,
    "-c",
    """
import json, os, sys
from redisflow.cli.app import invoke

for words in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        sys.exit(invoke(words))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(2, b"\\x1e%d\\n" % status)
    try:
        os.write(1, b"\\x1e")
    except BrokenPipeError:
        pass
""",
)
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SOON_S = 120.0


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
        program: what is run with these words.
        errors: whether its standard error is there, too; otherwise it is a pipe.
    """

    def __init__(
        self,
        *words: str,
        columns: int,
        rows: int = 24,
        environment: Mapping[str, str],
        program: Sequence[str] = PROGRAM,
        errors: bool = False,
    ) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        os.set_blocking(self._terminal, False)
        self.process = subprocess.Popen(
            [*program, *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs if errors else subprocess.PIPE,
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
        return lines_of(self.written)

    def end(self) -> int:
        """Wait for the program's end; returns its status."""

        def ended() -> bool:
            _ = self.written  # a full terminal would stop it
            return self.process.poll() is not None

        eventually(ended, _SOON_S)
        return self.process.returncode


def lines_of(written: str) -> list[str]:
    """Split what was written into lines, without the codes of colours."""
    return _CODES.sub("", written).replace("\r", "").splitlines()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command has printed.

    Attributes:
        words: the command.
        status: how it ended.
        out: its standard output, control codes included.
        err: its standard error.
    """

    words: Sequence[str]
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output, without the codes of colours."""
        return lines_of(self.out)


def shown_by(
    commands: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    *,
    columns: int | None = None,
    read: bool = True,
) -> list[Shown]:
    """Run commands, one after the other; gives what each has printed.

    Starting the program takes most of its time: these share their imports.

    Args:
        commands: the words of each.
        environment: of all of them.
        columns: width of the terminal that they print on; None for a pipe.
        read: whether anybody reads the pipe; otherwise it is closed at once.
    """
    text = json.dumps(commands)
    if columns is not None:
        where = {"columns": columns, "environment": environment, "program": _FORKING}
        with Screen(text, **where) as screen:  # type: ignore[arg-type]
            assert screen.end() == 0
            out = screen.written
            err = screen.process.stderr.read().decode() if screen.process.stderr else ""
    else:
        out, err = _piped(text, environment, read=read)
    outs = out.split("\x1e") if read else [""] * (len(commands) + 1)
    *parts, _rest = re.split("\x1e(-?\\d+)\n", err)
    return [
        Shown(words, int(status), out, err)
        for words, out, err, status in zip(
            commands, outs, parts[::2], parts[1::2], strict=False
        )
    ]


def _piped(text: str, environment: Mapping[str, str], *, read: bool) -> tuple[str, str]:
    process = subprocess.Popen(
        [*_FORKING, text],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not read:
        assert process.stdout
        process.stdout.close()
        process.stdout = None
    with process:
        out, err = process.communicate(timeout=_SOON_S)
    assert process.returncode == 0, err
    return out or "", err
