"""Several worker processes on this host that run one flow together.

`LocalRun` is the parent: it opens the flow, starts the workers, replaces those that
die, and tells the flow of a death at once, so that nobody waits for the dead one's
lease. It runs no task itself, and the flow does not need it: without the parent the
workers go on until the run is over.

A worker is ``python -m redisflow.engine.child``. What it is to do comes as JSON through
its standard input; what it could not do goes back as a line through a pipe. Workers
stand in process groups of their own, so that Ctrl-C reaches the parent alone, which
then suspends the flow: each worker ends what it is doing and leaves.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any

from taskflow import states

from redisflow.codec import Codec, dumps_plain, loads_plain
from redisflow.engine.factories import FactoryCall, FlowOrTask
from redisflow.engine.loading import OpenedRun, open_run
from redisflow.engine.membership import sweep, worker_id
from redisflow.engine.shared import SharedEngine
from redisflow.errors import (
    ConfigError,
    InvalidState,
    NotFound,
    RedisFlowError,
    StoreError,
    StructureMismatch,
)
from redisflow.persistence import RedisBackend
from redisflow.storage import Mirror

logger = logging.getLogger(__name__)

#: Longest time between two looks of the parent at its workers, in seconds.
_LOOK_S = 0.2

#: How often the parent asks what has changed in the flow, in seconds.
_SYNC_S = 0.2

#: Workers that may fail to start, in a row, before the run is given up.
_START_FAILURES = 3

#: What a worker can meet that no other worker will fare better with.
_HOPELESS = {"ConfigError": ConfigError, "StructureMismatch": StructureMismatch}

Watcher = Callable[[Mirror], object]


class WorkersFailed(RedisFlowError):
    """The workers could not take part in the flow; says what the last one told.

    Attributes:
        error: the name of the exception that the worker met, or "".
    """

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


@dataclass(slots=True)
class _Child:
    """A worker process.

    Attributes:
        process: the process.
        worker: its id in the flow.
        report: the pipe through which it tells what it could not do.
    """

    process: subprocess.Popen[bytes]
    worker: str
    report: int

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


@dataclass(slots=True)
class _Counts:
    deaths: list[str] = field(default_factory=list)
    failed_starts: int = 0


class LocalRun:
    """A run of a flow by worker processes of this host.

    Args:
        call: the factory of the flow, and what it is called with.
        workers: how many processes; more than 0.
        run_id: names the flow; None makes a random one.
        store: values for the flow.
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        rerun: start a run that has ended once more.
        options: of the workers' engines.
        output: the file descriptor to which workers write what they would write to
            standard output and standard error; None leaves both as they are here.
        environment: what workers have in their environment beside this process's.

    Attributes:
        run_id: the flow's name, also if it was made up.
        engine: on the same flow; it takes no part in running it.
        deaths: how many workers died and were replaced.
        dead: which ones, each with what became of it.

    Raises:
        ConfigError: the factory, the URL or an option cannot be used.
        MissingDependencies: an argument has no provider; nothing was written.
        InvalidState: live workers run it with another value for a name in ``store``.
        StoreError: the server cannot be used.
    """

    def __init__(
        self,
        call: FactoryCall,
        *,
        workers: int = 4,
        run_id: str | None = None,
        store: Mapping[str, Any] | None = None,
        url: str | None = None,
        rerun: bool = False,
        options: Mapping[str, Any] | None = None,
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers is at least 1, not {workers}")
        self._call = call
        self._workers = workers
        self._url = url
        self._options = dict(options or {})
        self._output = output
        self._environment = dict(environment or {})
        self.flow: FlowOrTask = call.make_flow()
        self._backend = RedisBackend.from_url(url)
        self._opened: OpenedRun = open_run(self._backend, self.flow, run_id=run_id)
        self.run_id = self._opened.run_id
        self._children: list[_Child] = []
        self._counts = _Counts()
        #: Whether somebody has asked to suspend it, here or elsewhere.
        self._stops = False
        #: Whether it was asked for here; what has not begun cannot be told yet.
        self._asked = False
        #: Whether it was left so by an earlier run; that is gone on with.
        self._left_suspending = True
        self.engine: SharedEngine = self._opened.engine(
            store=store, rerun=rerun, **self._options
        )

    def __enter__(self) -> LocalRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def deaths(self) -> int:
        """How many workers died and were replaced."""
        return len(self._counts.deaths)

    @property
    def dead(self) -> list[str]:
        """Which workers died and were replaced, each with what became of it."""
        return list(self._counts.deaths)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are at work."""
        return [child.process.pid for child in self._children]

    def run(self, watch: Watcher | None = None) -> str:
        """Run the flow to its end; returns the state in which it ended.

        May be called again after an interruption: it goes on with the same workers.

        Args:
            watch: called with the mirror whenever something may have changed.

        Raises:
            StructureMismatch: live workers run another structure.
            WorkersFailed: no worker can take part.
            StoreError: the server cannot be used.
        """
        self.engine.compile()
        self.engine.refuse_other_structure()
        outcome = self._look_at_flow()
        next_sync = 0.0
        while outcome is None:
            self._look_after_children()
            if self._stops and not self._children and not self.engine.outcome_known:
                if not self._begun:
                    outcome = states.SUSPENDED
                    break
                self.engine.settle()
            if monotonic() >= next_sync or not self._children:
                outcome = self._look_at_flow()
                if watch is not None:
                    watch(self.engine.storage.mirror)
                next_sync = monotonic() + _SYNC_S
            if outcome is None:
                self._wait_for_deaths()
        self._wait_for_children()
        self.engine.outcome()
        if watch is not None:
            watch(self.engine.storage.mirror)
        return outcome

    def suspend(self) -> None:
        """Ask all workers of the flow, here and elsewhere, to stop after their atom."""
        self._stops = self._asked = True
        self.engine.compile()
        self._ask_to_suspend()

    def _ask_to_suspend(self) -> None:
        """Tell the workers; while the run is being started, they cannot be told."""
        with contextlib.suppress(InvalidState):
            self.engine.suspend()

    @property
    def _begun(self) -> bool:
        """Whether the run is on, as far as is known."""
        flow = self.engine.storage.mirror.flow
        return flow is not None and flow.state in (states.RUNNING, states.SUSPENDING)

    def results(self) -> dict[str, Any]:
        """Return all named results of the flow."""
        return self.engine.storage.fetch_all()

    def raise_failures(self) -> None:
        """Raise what made the flow fail, if it did."""
        self.engine.raise_outcome()

    def kill(self) -> None:
        """Kill all workers; what they held goes back to the flow."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.wait()
        for child in list(self._children):
            self._bury(child)

    def close(self) -> None:
        """Kill what is still running here, and disconnect."""
        try:
            # With the server away leases end it; a flow that is gone needs no end.
            with contextlib.suppress(StoreError, NotFound):
                self.kill()
        finally:
            self._backend.close()

    def _start_child(self) -> None:
        tag = secrets.token_hex(4)
        reader, writer = os.pipe()
        task = {
            "reference": self._call.reference,
            # Through a pipe of our own, without the hook that the server's values have.
            "args": Codec().encode(list(self._call.args)).decode("latin-1"),
            "kwargs": Codec().encode(dict(self._call.kwargs)).decode("latin-1"),
            "run_id": self.run_id,
            "url": self._url,
            # Not "the current one": the run may be over when the worker gets there.
            "options": {**self._options, "run": self.engine.run_number},
            "tag": tag,
            "report": writer,
        }
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
        child = _Child(process, worker_id(process.pid, tag), reader)
        self._children.append(child)

    def _look_at_flow(self) -> str | None:
        """Return how the run has ended, if it has, and note whether it is to stop."""
        outcome = self.engine.outcome()
        flow = self.engine.storage.mirror.flow
        suspending = flow is not None and flow.state == states.SUSPENDING
        self._left_suspending = self._left_suspending and suspending
        self._stops = self._stops or (suspending and not self._left_suspending)
        if self._asked and self._begun and not suspending and outcome is None:
            self._ask_to_suspend()
        return outcome

    def _wait_for_deaths(self) -> None:
        """Wait a moment, or until a worker has ended: its pipe closes then."""
        pipes = [child.report for child in self._children]
        select.select(pipes, [], [], _LOOK_S)

    def _look_after_children(self) -> None:
        """Replace workers that have ended; before the first look there are none."""
        for child in list(self._children):
            status = child.process.poll()
            if status is None:
                continue
            report = self._bury(child)
            if self._look_at_flow() is not None:
                continue
            self._note_end(child, status, report)
        if self.engine.outcome_known or self._stops:
            return
        while len(self._children) < self._workers:
            self._start_child()

    def _note_end(self, child: _Child, status: int, report: dict[str, Any]) -> None:
        """Count how a worker ended early, and give up if it is hopeless."""
        counts = self._counts
        if report.get("fatal"):
            counts.failed_starts += 1
            error = report.get("error", "")
            if error in _HOPELESS:
                raise _HOPELESS[error](report["message"])
            if counts.failed_starts >= _START_FAILURES:
                raise WorkersFailed(report["message"], error=error)
            return
        counts.failed_starts = 0
        how = (
            f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        )
        counts.deaths.append(f"{child.worker} {how}")
        logger.warning("worker %s %s: another takes its place", child.worker, how)
        limit = 10 + 5 * self._workers * max(1, len(self.engine.storage.mirror.atoms))
        if self.deaths >= limit:
            raise WorkersFailed(f"{self.deaths} workers have died: the run is given up")

    def _bury(self, child: _Child) -> dict[str, Any]:
        """Take a child that has ended off the list, and what it held back."""
        self._children.remove(child)
        report = child.read_report()
        storage = self.engine.storage
        scripts = self._backend.scripts_of(storage.flow_uuid)
        attempts = int(self._options.get("max_attempts") or 3)
        sweep(scripts, storage, child.worker, max_attempts=attempts)
        return report

    def _wait_for_children(self) -> None:
        """Let the workers notice the end; they were woken for it."""
        for child in list(self._children):
            try:
                child.process.wait(timeout=self._backend.config.deadline_s + 5)
            except subprocess.TimeoutExpired:
                logger.warning("worker %s does not end: it is killed", child.worker)
                child.process.kill()
                child.process.wait()
            self._children.remove(child)
            child.read_report()


def run(
    factory: str | Callable[..., FlowOrTask],
    *,
    workers: int = 4,
    run_id: str | None = None,
    store: Mapping[str, Any] | None = None,
    url: str | None = None,
    factory_args: Sequence[Any] = (),
    factory_kwargs: Mapping[str, Any] | None = None,
    rerun: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Run a flow with several worker processes here, until it ends.

    Args:
        factory: makes the flow: a callable at a module's top level, ``module:name`` or
            ``file.py:name``.
        workers: how many processes.
        run_id: names the flow; other processes, here and elsewhere, can take part in
            it. None makes a random one.
        store: values for the flow.
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        rerun: start a run that has ended once more, instead of giving its outcome.
        options: of the workers' engines, see `SharedEngine`.

    Returns:
        All named results, as ``storage.fetch_all()`` gives them; of a run that was
        suspended those that there are.

    Raises:
        Exception: what made the flow fail, as TaskFlow's ``WrappedFailure``.
        WorkersFailed: no worker process can take part, or too many have died.
        RedisFlowError: the flow could not be run.
    """
    call = FactoryCall.of(factory, factory_args, factory_kwargs)
    with LocalRun(
        call,
        workers=workers,
        run_id=run_id,
        store=store,
        url=url,
        rerun=rerun,
        options=options,
    ) as local:
        try:
            outcome = local.run()
        except KeyboardInterrupt:
            local.suspend()
            local.run()
            raise
        if outcome != states.SUCCESS:
            local.raise_failures()
        return local.results()
