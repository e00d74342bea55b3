"""A jobboard beside redisflow: a conductor dies, and another one finishes its job.

::

    python examples/conductors.py                     # on the embedded server
    python examples/conductors.py --url redis://db1 --engine serial

Jobs, boards and conductors are TaskFlow's own; redisflow keeps the flows. The flow::

    reserve ──► copy ──► publish

is posted as a job. Of two conductors one claims it, and is killed with ``SIGKILL`` in
the middle of ``copy``. Its claim on the job runs out, the other conductor claims the
job, does ``copy`` again and ``publish`` for the first time, and takes the job off the
board. ``reserve``, which was done, is not done again.

A conductor of TaskFlow claims for ever, so that a dead one would keep its job. Here a
claim lasts for some seconds and is renewed while the job is worked on: see
`LeasedBoard` and `ClaimKeeper`, the two things to take from here.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taskflow import engines, exceptions, states, task
from taskflow.conductors.backends.impl_blocking import BlockingConductor
from taskflow.jobs.backends.impl_redis import RedisJob, RedisJobBoard
from taskflow.patterns import linear_flow
from taskflow.persistence import models

from redisflow import RedisBackend, SharedEngine
from redisflow.embedded import ensure_running
from redisflow.errors import FlowCancelled

LOG = logging.getLogger("conductors")

#: How long a claim, and a worker of redisflow's engine, outlive their process.
LEASE_S = 3.0

_PATIENCE_S = 30.0


# The flow


def make_flow(folder: str) -> linear_flow.Flow:
    """Make the flow; conductors find this function by its name in the job's flow."""
    flow = linear_flow.Flow("copies")
    return flow.add(
        *(Step(name, Path(folder)) for name in ("reserve", "copy", "publish"))
    )


class Step(task.Task):
    """Notes that it begins and ends; ``copy`` waits for as long as it is held up."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, provides=name)  # type: ignore[no-untyped-call]
        self._folder = folder

    def execute(self) -> int:
        """Do the work; returns the process that did it."""
        note(self._folder, "begin", self.name)
        while self.name == "copy" and (self._folder / "hold").exists():
            time.sleep(0.02)
        note(self._folder, "end", self.name)
        return os.getpid()


def note(folder: Path, what: str, name: str) -> None:
    """Add a line to the log that all processes share."""
    with (folder / "log").open("a") as log:
        log.write(f"{what} {name} {os.getpid()}\n")


def notes(folder: Path) -> list[tuple[str, str, int]]:
    """Return what begun and ended so far, each with the process that did it."""
    with contextlib.suppress(FileNotFoundError):
        text = (folder / "log").read_text()
        lines = [
            line.split() for line in text.splitlines(keepends=True) if "\n" in line
        ]
        return [(what, name, int(pid)) for what, name, pid in lines]
    return []


# The board


class LeasedBoard(RedisJobBoard):
    """TaskFlow's board, but a claim ends by itself unless it is renewed."""

    def claim(self, job: RedisJob, who: str, expiry: float | None = None) -> None:
        """Claim a job for some seconds."""
        super().claim(job, who, expiry=expiry or LEASE_S)

    def find_owner(self, job: RedisJob) -> str | None:
        """Return who has claimed a job; None for nobody, where TaskFlow's raises."""
        try:
            return str(super().find_owner(job))
        except TypeError:
            return None


def open_board(backend: RedisBackend) -> LeasedBoard:
    """Open a board on the server that a backend uses, in a namespace beside it."""
    config = backend.config
    conf: dict[str, Any] = {
        "board": "redis",
        "namespace": f"{config.namespace}-jobs",
        "db": config.db,
        "username": config.username,
        "password": config.password,
        **config.options,
    }
    if config.kind == "embedded":
        conf["unix_socket_path"] = str(ensure_running().socket_path)
    elif config.kind == "unix":
        conf["unix_socket_path"] = config.path
    elif config.kind in ("tcp", "tls"):
        conf["host"], conf["port"] = config.hosts[0]
        conf["ssl"] = config.tls
    else:
        raise SystemExit(f"this example knows no board on {config.address}")
    conf = {name: value for name, value in conf.items() if value is not None}
    board = LeasedBoard("copies", conf, persistence=backend)
    board.connect()
    return board


class ClaimKeeper:
    """Renews the claim on a job for as long as it is worked on.

    Args:
        job: the job.
        who: who has claimed it.
        lost: called if somebody else has it now; by then this process was silent for
            longer than a claim lasts.
    """

    def __init__(self, job: RedisJob, who: str, lost: Callable[[], None]) -> None:
        self._job = job
        self._who = who
        self._lost = lost
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> ClaimKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        while not self._over.wait(LEASE_S / 4):
            try:
                if not self._is_ours():
                    LOG.warning("%s is somebody else's now", self._job)
                    self._lost()
                    return
            except exceptions.NotFound:  # it was consumed
                return
            except exceptions.JobFailure as error:  # the server is away: once more
                LOG.warning("the claim was not renewed: %s", error)

    def _is_ours(self) -> bool:
        board = self._job.board
        try:
            ours = board.find_owner(self._job) == self._who
            if not (ours and self._job.extend_expiry(LEASE_S)):
                board.claim(self._job, self._who)  # it had run out, and nobody came
        except exceptions.UnclaimableJob:
            return bool(board.find_owner(self._job) == self._who)
        return True


# Conductors


class Conductor(BlockingConductor):
    """TaskFlow's conductor, for TaskFlow's engines; it renews its claims."""

    def _listeners_from_job(self, job: RedisJob, engine: Any) -> list[Any]:
        keeper = ClaimKeeper(job, self._name, lost=engine.suspend)
        return [*super()._listeners_from_job(job, engine), keeper]


class SharedConductor(BlockingConductor):
    """A conductor whose flows run on redisflow's engine.

    Should its claim run out while it is only slow, nothing is lost: whoever claims
    the job joins the flow, and both work on it. To stop it does not suspend the
    flow: it finishes the task that it is at, and leaves the rest to others.
    """

    _running: SharedEngine | None = None

    def stop(self) -> None:
        """Take no more work, and end soon."""
        super().stop()
        if self._running is not None:
            self._running.drain()

    def _dispatch_job(self, job: RedisJob) -> bool:
        """Run a job's flow; returns whether the job is done with."""
        engine: SharedEngine = self._engine_from_job(job)
        self._running = engine
        if not self.dispatching or self._wait_timeout.is_stopped():
            engine.drain()
        try:
            with ClaimKeeper(job, self._name, lost=lambda: None):
                engine.run()
        except FlowCancelled as error:  # TaskFlow would have it run again
            LOG.warning("%s was cancelled: %s", job, error)
        except self.NO_CONSUME_EXCEPTIONS as error:  # another time, or elsewhere
            LOG.warning("%s goes back to the board: %s", job, error)
            return False
        except Exception:
            LOG.exception("%s has failed", job)
        finally:
            self._running = None
        return engine.outcome() not in (None, states.SUSPENDED)


def conduct(backend: RedisBackend, engine: str) -> None:
    """Work on jobs until one has been finished here, or until ``SIGTERM``."""
    # A name of its own: claiming again under the same name would renew the claim of a
    # dead conductor, for ever.
    name = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
    board = open_board(backend)
    kind = SharedConductor if engine == "redisflow" else Conductor
    # Whoever takes up the job of a flow that has ended does not run that again.
    own = {"lease_s": LEASE_S, "rerun": False}
    options = own if engine == "redisflow" else {}
    conductor = kind(
        name,
        board,
        persistence=backend,
        engine=engine,
        engine_options=options,
        wait_timeout=0.1,
    )
    conductor.notifier.register("job_consumed", lambda _event, **_: conductor.stop())

    def stop() -> None:
        conductor.stop()
        LOG.warning("ends as soon as its task has ended")

    # In a thread: the signal may have interrupted the very lock that stop() needs.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
    with contextlib.closing(board):
        conductor.run()


# What posts the job, and the demonstration


def post(backend: RedisBackend, board: RedisJobBoard, folder: Path) -> RedisJob:
    """Store the flow, and post it as a job."""
    book = models.LogBook("copies")
    detail = models.FlowDetail("copies", uuid=book.uuid)
    engines.save_factory_details(
        detail, "conductors.make_flow", [], {"folder": str(folder)}
    )
    book.add(detail)
    with contextlib.closing(backend.get_connection()) as connection:
        connection.save_logbook(book)
    return board.post("copies", book=book, details={"flow_uuid": detail.uuid})


@contextlib.contextmanager
def conductors(url: str | None, engine: str, count: int) -> Iterator[dict[int, Any]]:
    """Start conductors, each in its own process; those still alive are killed."""
    command = [sys.executable, __file__, "--engine", engine, "--conduct"]
    command += ["--url", url] if url else []
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield {process.pid: process for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_copy(folder: Path) -> int:
    """Wait until somebody is in the middle of ``copy``; returns who."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for what, name, pid in notes(folder):
            if (what, name) == ("begin", "copy"):
                return pid
        time.sleep(0.02)
    raise SystemExit("WRONG: nobody began to copy")


def demonstrate(url: str | None, engine: str, folder: Path) -> bool:
    """Let a conductor die and another finish; tells whether all was as it should be."""
    (folder / "hold").touch()
    backend = RedisBackend.from_url(url)
    with contextlib.closing(open_board(backend)) as board:
        job = post(backend, board, folder)
        with conductors(url, engine, 2) as processes:
            victim = wait_for_copy(folder)
            print(f"Conductor {victim} is in the middle of its job: kill -9 {victim}")
            processes[victim].kill()
            (folder / "hold").unlink()
            job.wait(timeout=_PATIENCE_S, max_delay=0.1)
        for what, name, pid in notes(folder):
            print(f"  {pid} {what:5} {name}")
        flow = backend.get_connection().get_flow_details(job.book_uuid)
        print(f"The job is {job.state}, the flow is in {flow.state}.")
        done = (job.state, flow.state) == (states.COMPLETE, states.SUCCESS)
    backend.close()
    ends = [(name, pid == victim) for what, name, pid in notes(folder) if what == "end"]
    return done and ends == [("reserve", True), ("copy", False), ("publish", False)]


def main() -> int:
    """Run the demonstration, or one conductor of it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="use this server")
    parser.add_argument("--engine", default="redisflow", help="redisflow or serial")
    parser.add_argument("--conduct", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig(format="  %(process)d says: %(message)s")
    if arguments.conduct:
        conduct(RedisBackend.from_url(arguments.url), arguments.engine)
        return 0
    with tempfile.TemporaryDirectory(prefix="redisflow-jobs-") as folder:
        good = demonstrate(arguments.url, arguments.engine, Path(folder))
    print("All went as it should." if good else "Something went WRONG, see above.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
