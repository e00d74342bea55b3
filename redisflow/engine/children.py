"""The worker processes that a parent has started, and what became of them.

A worker is ``python -m redisflow.engine.child``. What it is to do comes as JSON through
its standard input; what it could not do goes back as a line through a pipe. Workers
import modules from where the parent does, and stand in process groups of their own, so
that Ctrl-C reaches the parent alone.

The death of a worker is told to the flow at once, so that nobody waits for its lease.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from redisflow.codec import dumps_plain, loads_plain
from redisflow.engine.membership import sweep_dead, worker_id
from redisflow.errors import (
    ConfigError,
    StructureMismatch,
    Unavailable,
    WorkersFailed,
)
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

#: Workers that may fail to start, in a row, before the run is given up.
_START_FAILURES = 3

#: A worker that has lived for so long did not fail to start, in seconds.
_STARTED_S = 60.0

#: What a worker can meet that no other worker will fare better with.
_HOPELESS = {"ConfigError": ConfigError, "StructureMismatch": StructureMismatch}


@dataclass(slots=True)
class Child:
    """A worker process.

    Attributes:
        process: the process.
        worker: its id in the flow.
        report: the pipe through which it tells what it could not do.
        began: when it was started, on the local clock.
        heard: whether there is something in that pipe, or its end.
    """

    process: subprocess.Popen[bytes]
    worker: str
    report: int
    began: float = field(default_factory=monotonic)
    heard: bool = False

    def read_report(self) -> dict[str, Any]:
        """Return what it told before it ended; {} if nothing."""
        # What it has forked may live on, and have the pipe still.
        os.set_blocking(self.report, False)
        with os.fdopen(self.report, "rb", buffering=0) as pipe:
            text = pipe.read()
        try:
            return dict(loads_plain(text)) if text else {}
        except ValueError:
            return {}


class End(NamedTuple):
    """How a worker has ended.

    Attributes:
        worker: its id.
        status: of its process; below 0: the signal that has killed it.
        lived_s: for how many seconds it lived.
        report: what it could not do.
    """

    worker: str
    status: int
    lived_s: float
    report: Mapping[str, Any]

    @property
    def died(self) -> bool:
        """Whether it neither came to its end nor told what it could not do."""
        return self.status != 0 and not self.report.get("fatal")


class Children:
    """Worker processes of one flow.

    Args:
        storage: the flow.
        task: what every worker is told to do.
        max_attempts: how many workers an atom may cost before it fails.
        output: the file descriptor to which they write what they would write to
            standard output and standard error; None leaves both as they are here.
        environment: what they have in their environment beside this process's.

    Attributes:
        deaths: which workers died, each with what became of it.
    """

    def __init__(
        self,
        storage: Storage,
        task: Mapping[str, Any],
        *,
        max_attempts: int,
        output: int | None,
        environment: Mapping[str, str],
    ) -> None:
        self.deaths: list[str] = []
        self._storage = storage
        self._task = task
        self._max_attempts = max_attempts
        self._output = output
        self._environment = environment
        self._children: list[Child] = []
        self._failed_starts = 0

    def __len__(self) -> int:
        return len(self._children)

    @property
    def pids(self) -> list[int]:
        """Process ids of those that have not been seen to end."""
        return [child.process.pid for child in self._children]

    def start(self) -> None:
        """Start one more."""
        tag = secrets.token_hex(4)
        reader, writer = os.pipe()
        task = {**self._task, "tag": tag, "report": writer, "path": _import_path()}
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "redisflow.engine.child"],
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **self._environment},
                pass_fds=(writer,),
                process_group=0,
            )
        finally:
            os.close(writer)
        assert process.stdin is not None  # noqa: S101  # asked for just above
        try:
            with process.stdin as stdin:
                stdin.write(dumps_plain(task))
        except BrokenPipeError:
            pass  # it died at once: that is noticed like any other death
        self._children.append(Child(process, worker_id(process.pid, tag), reader))

    def wait_for_an_end(self, seconds: float) -> None:
        """Wait until one has ended, as its pipe closes then, or for so long."""
        quiet = [child for child in self._children if not child.heard]
        ready = connection.wait([child.report for child in quiet], seconds)
        for child in quiet:
            child.heard = child.report in ready  # it may live on for a while

    def bury(self) -> list[End]:
        """Give back to the flow what those held that have ended; tell how they did."""
        return [
            self._bury(child, status)
            for child in list(self._children)
            if (status := child.process.poll()) is not None
        ]

    def note(self, end: End, *, limit: int) -> None:
        """Count how a worker ended early, and give up if it is hopeless.

        Args:
            end: of a worker whose run is not over.
            limit: how many deaths are too many.

        Raises:
            ConfigError, StructureMismatch: no worker can take part, for that reason.
            WorkersFailed: one after the other cannot, or too many have died.
        """
        if end.report.get("fatal"):
            self._note_failure(end)
            return
        self._failed_starts = 0
        self.count(end)
        if len(self.deaths) >= limit:
            died = len(self.deaths)
            raise WorkersFailed(f"{died} workers have died: the run is given up")

    def count(self, end: End) -> None:
        """Count a death."""
        how = f"ended with {end.status}"
        if end.status < 0:
            how = f"was killed by signal {-end.status}"
        self.deaths.append(f"{end.worker} {how}")
        logger.warning("worker %s %s", end.worker, how)

    def _note_failure(self, end: End) -> None:
        started = end.lived_s > _STARTED_S
        self._failed_starts = 1 if started else self._failed_starts + 1
        error, message = end.report.get("error", ""), end.report["message"]
        if error in _HOPELESS:
            raise _HOPELESS[error](message)
        if self._failed_starts >= _START_FAILURES:
            raise WorkersFailed(message, error=error)

    def kill(self) -> None:
        """Kill all; what they held goes back to the flow."""
        for child in self._children:
            child.process.kill()
        for child in list(self._children):
            self._bury(child, child.process.wait())

    def wait(self, seconds: float) -> None:
        """Wait until all have ended by themselves, each for so long at most."""
        for child in list(self._children):
            try:
                end = self._end(child, child.process.wait(timeout=seconds))
            except subprocess.TimeoutExpired:
                logger.warning("worker %s does not end: it is killed", child.worker)
                child.process.kill()
                self._end(child, child.process.wait())
            else:
                if end.died:
                    self.count(end)

    def _end(self, child: Child, status: int) -> End:
        self._children.remove(child)
        lived_s = monotonic() - child.began
        return End(child.worker, status, lived_s, child.read_report())

    def _bury(self, child: Child, status: int) -> End:
        end = self._end(child, status)
        scripts = self._storage.backend.scripts_of(self._storage.flow_uuid)
        with contextlib.suppress(Unavailable):  # then its lease has to say it
            sweep_dead(scripts, self._storage, child.worker, self._max_attempts)
        return end


def _import_path() -> list[str]:
    """Give this process's ``sys.path`` for others; they may be in another folder."""
    return [
        os.fsencode(entry or Path.cwd()).decode("latin-1")  # not all names are UTF-8
        for entry in sys.path
    ]
