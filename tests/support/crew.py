"""Worker processes that nobody looks after: when one dies, nobody tells the flow.

They are forked from a process that has imported everything and connected to nothing
(multiprocessing's fork server), so that starting one takes milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any

import redisflow
from redisflow.engine.factories import FactoryCall
from tests.support.eventually import eventually
from tests.support.failpoints import FailPoint, arm
from tests.support.workloads import append

#: Starts processes that have imported everything.
FORKS = multiprocessing.get_context("forkserver")
# The first is what every child imports for its parent's sake.
FORKS.set_forkserver_preload(
    ["pytest", "tests.support.crew", "tests.support.storm.working"]
)

_GATE_S = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker process is to do.

    Attributes:
        factory: makes the flow: ``module:name``.
        kwargs: what it is called with.
        run_id: names the flow.
        url: the server.
        options: of the engine.
        folder: where the process writes its log and its report.
        name: what its files are called.
        gate: a file that it waits for between loading and running.
        failpoint: where it dies.
    """

    factory: str
    kwargs: Mapping[str, Any]
    run_id: str
    url: str
    options: Mapping[str, Any]
    folder: str
    name: str
    gate: str | None = None
    failpoint: FailPoint | None = None

    def file(self, suffix: str) -> Path:
        """Name a file of the process."""
        return Path(self.folder, f"{self.name}.{suffix}")


class _Drains:
    """Drains an engine at SIGTERM, also one that came before the engine was there."""

    def __init__(self) -> None:
        self._engine: redisflow.SharedEngine | None = None
        self._told = False
        signal.signal(signal.SIGTERM, self._hear)

    def meet(self, engine: redisflow.SharedEngine) -> None:
        """Know the engine from now on."""
        self._engine = engine
        if self._told:
            engine.drain()

    def _hear(self, *_about: object) -> None:
        self._told = True
        if self._engine is not None:
            self._engine.drain()


def _work(order: Order) -> None:
    """Be a worker: load, wait for the gate, run, and report."""
    log = os.open(order.file("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, force=True)
    drains = _Drains()
    calls = arm(order.failpoint) if order.failpoint is not None else int
    engine = redisflow.load(
        FactoryCall(order.factory, (), order.kwargs).make_flow(),
        run_id=order.run_id,
        url=order.url,
        **order.options,
    )
    drains.meet(engine)
    if order.gate is not None:
        order.file("loaded").touch()
        eventually(Path(order.gate).exists, _GATE_S)
    acknowledged = order.file("acks")
    engine.atom_notifier.register(
        "SUCCESS",
        lambda _state, details: append(acknowledged, details["task_name"]),
    )
    error = ""
    try:
        engine.run()
    except Exception as raised:
        logging.getLogger(__name__).warning("run() raised", exc_info=True)
        error = type(raised).__name__
    report = {
        "outcome": engine.outcome(),
        "error": error,
        "statistics": engine.statistics,
        "calls": calls(),
    }
    order.file("report").write_text(json.dumps(report), encoding="utf-8")


@dataclass(slots=True)
class Member:
    """One worker process.

    Attributes:
        order: what it was told to do.
        process: the process.
    """

    order: Order
    process: ForkServerProcess

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it is there, even if it is stopped."""
        return self.process.is_alive()

    @property
    def acknowledged(self) -> list[str]:
        """The tasks of which it was told that their success is recorded."""
        file = self.order.file("acks")
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    @property
    def log(self) -> str:
        """What it wrote to standard output and standard error."""
        file = self.order.file("log")
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @property
    def stopped(self) -> bool:
        """Whether it has been stopped by a signal."""
        status = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        return status.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.join()

    def status(self, within_s: float = 60.0) -> int | None:
        """Wait for its end; returns its exit status, negative for a signal."""
        self.process.join(within_s)
        assert not self.alive, f"{self.order.name} does not end:\n{self.log}"
        return self.process.exitcode

    def report(self, within_s: float = 60.0) -> dict[str, Any]:
        """Wait until it has ended well, and return what it tells of its run."""
        status = self.status(within_s)
        assert status == 0, f"{self.order.name} ended with {status}:\n{self.log}"
        report: dict[str, Any] = json.loads(
            self.order.file("report").read_text(encoding="utf-8")
        )
        return report


@dataclass(slots=True)
class Crew:
    """The worker processes of one flow; `with` ends those that are left.

    Attributes:
        url: the server.
        run_id: names the flow.
        folder: where they write.
        factory: makes the flow.
        kwargs: what it is called with.
        options: of their engines.
        members: all that were started.
    """

    url: str
    run_id: str
    folder: Path
    factory: str
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for member in self.members:
            with contextlib.suppress(ProcessLookupError):
                member.process.kill()  # also ends one that is stopped
            member.process.join()
            member.process.close()

    @property
    def alive(self) -> list[Member]:
        """Those that are there."""
        return [member for member in self.members if member.alive]

    def start(
        self,
        *,
        failpoint: FailPoint | None = None,
        gate: Path | None = None,
        **changes: Any,
    ) -> Member:
        """Start a worker; ``changes`` replace options of its engine."""
        order = Order(
            factory=self.factory,
            kwargs=self.kwargs,
            run_id=self.run_id,
            url=changes.pop("url", self.url),
            options={**self.options, **changes},
            folder=str(self.folder),
            name=f"worker-{len(self.members)}",
            gate=None if gate is None else str(gate),
            failpoint=failpoint,
        )
        process = FORKS.Process(target=_work, args=(order,), name=order.name)
        process.start()
        member = Member(order, process)
        self.members.append(member)
        return member

    def loaded(self, member: Member) -> None:
        """Wait until a worker with a gate has loaded its engine."""
        eventually(member.order.file("loaded").exists, _GATE_S)
