"""Where tasks run: in the engine's own thread, in its threads, or in a given pool."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Protocol

from redisflow.engine.atoms import Job
from redisflow.engine.items import Outcome
from redisflow.errors import ConfigError


class Ended(Protocol):
    """A job that has come to its end; `concurrent.futures.Future` is one."""

    def result(self) -> Outcome:
        """Return what came of it, or raise what it raised."""


Done = Callable[[Ended], object]

_SERIAL = frozenset({"serial", "sync", "synchronous"})
_THREADS = frozenset({"thread", "threads", "threaded", "parallel"})


class ExecutorUnusable(Exception):
    """Jobs cannot be run in this process any more; its cause says why."""


class Executor(Protocol):
    """What the engine needs of an executor.

    Attributes:
        slots: how many jobs can run at a time.
    """

    slots: int

    def start(self) -> None:
        """Get ready to run jobs."""

    def submit(self, job: Job, done: Done) -> None:
        """Run a job, and call ``done`` once it has ended, from whatever thread.

        Raises:
            ExecutorUnusable: it takes nothing more.
        """

    def stop(self, *, cancels: bool = False) -> None:
        """End what was started here, once all jobs are done.

        Args:
            cancels: those that have not begun are left undone.
        """


@dataclass(slots=True)
class _Done:
    outcome: Outcome

    def result(self) -> Outcome:
        return self.outcome


@dataclass(slots=True)
class _Failed:
    error: Exception

    def result(self) -> Outcome:
        raise self.error


class SerialExecutor:
    """Runs each job at once, in the calling thread."""

    slots = 1

    def start(self) -> None:
        """Do nothing."""

    def submit(self, job: Job, done: Done) -> None:
        """Run a job now."""
        try:
            outcome = job()
        except Exception as error:  # noqa: BLE001  # handed on, not swallowed
            done(_Failed(error))
        else:
            done(_Done(outcome))

    def stop(self, *, cancels: bool = False) -> None:
        """Do nothing."""


class PoolExecutor:
    """Runs jobs in a `concurrent.futures` executor.

    Args:
        slots: how many jobs can run at a time.
        given: the executor of a user, which is not shut down; None makes threads.
    """

    def __init__(self, slots: int, given: futures.Executor | None = None) -> None:
        self.slots = slots
        self._given = given
        self._own: futures.ThreadPoolExecutor | None = None
        self._jobs: set[futures.Future[Outcome]] = set()

    def start(self) -> None:
        """Make the threads, unless an executor was given."""
        if self._given is None:
            self._own = futures.ThreadPoolExecutor(
                self.slots, thread_name_prefix="redisflow"
            )

    def submit(self, job: Job, done: Done) -> None:
        """Hand a job to the pool."""
        pool = self._given or self._own
        if pool is None:
            raise RuntimeError("the executor was not started")
        try:
            submitted = pool.submit(job)
        except RuntimeError as error:  # it was shut down, or the interpreter ends
            raise ExecutorUnusable from error
        self._jobs.add(submitted)
        submitted.add_done_callback(self._jobs.discard)
        submitted.add_done_callback(done)

    def stop(self, *, cancels: bool = False) -> None:
        """Wait for what still runs, and end the threads that were made here."""
        for job in list(self._jobs) if cancels else ():
            job.cancel()
        futures.wait(list(self._jobs))
        if self._own is not None:
            self._own.shutdown(wait=True)
            self._own = None


def make_executor(executor: Any, max_workers: int | None) -> Executor:
    """Make an executor from an engine's options.

    Args:
        executor: "serial", "threads", one of TaskFlow's synonyms, or an executor.
        max_workers: how many tasks run at a time; for serial it means nothing.

    Raises:
        ConfigError: it is neither.
    """
    if max_workers is not None and max_workers < 1:
        raise ConfigError(f"max_workers is at least 1, not {max_workers}")
    if isinstance(executor, str):
        if executor in _SERIAL:
            return SerialExecutor()
        if executor in _THREADS:
            return PoolExecutor(max_workers or _default_slots())
    elif isinstance(executor, futures.ProcessPoolExecutor):
        raise ConfigError("executor: tasks do not run in a pool of processes")
    elif isinstance(executor, futures.Executor):
        slots = max_workers or getattr(executor, "_max_workers", None)
        return PoolExecutor(int(slots or _default_slots()), executor)
    raise ConfigError(
        f"executor is 'serial', 'threads' or a concurrent.futures.Executor, "
        f"not {executor!r}"
    )


def _default_slots() -> int:
    pool = futures.ThreadPoolExecutor()
    return int(pool._max_workers)  # noqa: SLF001  # the standard library's own default
