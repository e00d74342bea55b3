"""Other processes: one that does as it is told, and crews that run flows together.

All are on this machine, so that the monotonic clock is one for all of them, and all are
started before a clock runs: starting a Python process is not what is measured.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import redis
from taskflow import flow, task

import redisflow
from benchmarks.bare import BareAtom

#: How long another process is waited for.
PATIENCE_S = 120


@contextlib.contextmanager
def process(
    target: Callable[[str, Connection], object], url: str
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Start a process that is called with a URL and a pipe; yield it and the other end.

    It has to end when the pipe is closed.
    """
    # A server that forks has imported everything once; a plain fork has our threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.__main__"])
    here, there = context.Pipe()
    started = context.Process(target=target, args=(url, there), daemon=True)
    started.start()
    there.close()
    try:
        yield started, here
    finally:
        here.close()
        started.join(5)
        started.kill()
        started.join()


def answer(pipe: Connection) -> Any:
    """Return what the other process says next."""
    assert pipe.poll(PATIENCE_S), "the other process does not answer"
    return pipe.recv()


def pop(url: str, pipe: Connection) -> None:
    """Wait for an element of each list that is named, until the pipe is closed.

    This is what another process does; it answers when it had the element.
    """
    with (
        redis.Redis.from_url(url, socket_timeout=None) as client,
        contextlib.suppress(EOFError),
    ):
        while True:
            client.blpop([pipe.recv()], PATIENCE_S)
            pipe.send(time.monotonic())


def pop_and_take(url: str, pipe: Connection) -> None:
    """Wait likewise, and then call a script that decides nothing before it answers."""
    with (
        redis.Redis.from_url(url, socket_timeout=None) as client,
        contextlib.suppress(EOFError),
    ):
        atom = BareAtom(client)
        while True:
            client.blpop([pipe.recv()], PATIENCE_S)
            atom.burst(1)
            pipe.send(time.monotonic())


def handed_over_s(
    admin: redis.Redis,
    waiter: Connection,
    what: str,
    give: Callable[[], object],
    *,
    asleep_s: float,
) -> float:
    """Let the other process wait for something, give it; returns how long it took.

    The time begins before it is sent and ends when the other one has it.

    Args:
        admin: tells when the other process is blocked on the server.
        waiter: to the other process, which answers when it had it.
        what: it is told to wait for.
        give: gives it.
        asleep_s: for how long it is blocked before it is given anything.
    """
    waiter.send(what)
    until = time.monotonic() + PATIENCE_S
    while not admin.info("clients")["blocked_clients"]:
        assert time.monotonic() < until, f"the other process does not {what}"
    time.sleep(asleep_s)
    began = time.monotonic()
    give()
    had: float = answer(waiter)
    return had - began


@dataclass(frozen=True, slots=True)
class Note:
    """One execution of one task.

    Attributes:
        name: of the task.
        pid: of the process.
        began: on the monotonic clock.
        ended: on the same clock.
    """

    name: str
    pid: int
    began: float
    ended: float


_notes: list[Note] = []


class Noted(task.Task):
    """Sleeps in place of work, and notes when and where.

    Args:
        name: of the task.
        for_s: how long.
    """

    def __init__(self, name: str, for_s: float) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._for_s = for_s

    def execute(self) -> None:
        """Sleep."""
        began = time.monotonic()
        time.sleep(self._for_s)
        _notes.append(Note(self.name, os.getpid(), began, time.monotonic()))


@dataclass(frozen=True, slots=True)
class Ended:
    """One process' part in a flow.

    Attributes:
        at: when its ``run`` returned, on the monotonic clock.
        completed: how many atoms it did.
        notes: of its tasks that take notes.
    """

    at: float
    completed: int
    notes: Sequence[Note]


class Crew:
    """Processes that run one flow after the other.

    Args:
        members: pipes to them.
        processes: the same ones.
    """

    def __init__(
        self, members: Sequence[Connection], processes: Sequence[BaseProcess]
    ) -> None:
        self._members = members
        self._processes = processes

    def load(
        self,
        who: Sequence[int],
        make: Callable[..., flow.Flow],
        *arguments: object,
        **options: object,
    ) -> None:
        """Have members load an engine each, all on one new flow, ready to run.

        Args:
            who: the numbers of the members.
            make: makes the flow; at the top level of a module.
            arguments: what it is called with.
            options: of the engines.
        """
        run_id = f"crew-{time.monotonic_ns()}"
        for number in who:
            task = (make, arguments, {**options, "run_id": run_id})
            self._members[number].send(task)
        for number in who:
            answer(self._members[number])

    def start(self, who: Sequence[int]) -> float:
        """Have members run what they have loaded; returns when they were told."""
        began = time.monotonic()
        for number in who:
            self._members[number].send(None)
        return began

    def ended(self, who: Sequence[int]) -> list[Ended]:
        """Wait until members have run their flow."""
        return [answer(self._members[number]) for number in who]

    def kill(self, number: int) -> float:
        """Kill a member; returns when it was told to die."""
        at = time.monotonic()
        self._processes[number].kill()
        self._processes[number].join()
        return at


@contextlib.contextmanager
def crew(url: str, count: int) -> Iterator[Crew]:
    """Start processes that run flows together."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(process(_work, url)) for _ in range(count)]
        members = [pipe for _, pipe in started]
        for pipe in members:
            answer(pipe)
        yield Crew(members, [each for each, _ in started])


def _work(url: str, pipe: Connection) -> None:
    """Load and run flows, until the pipe is closed."""
    logging.disable(logging.WARNING)
    pipe.send("here")
    with contextlib.suppress(EOFError):
        while True:
            make, arguments, options = pipe.recv()
            _notes.clear()
            engine = redisflow.load(make(*arguments), url=url, **options)
            engine.compile()
            engine.prepare()
            engine.validate()
            pipe.send("ready")
            pipe.recv()
            engine.run()
            completed = engine.statistics["completed"]
            pipe.send(Ended(time.monotonic(), completed, list(_notes)))
            engine.storage.backend.close()
