"""Processes that do one thing at the same moment, and what each of them got.

A crew is started once and used for many races, since a process takes a second to
import everything and a race a few milliseconds::

    with Crew(3) as crew:
        answers = crew.race(change_state, url, flow_uuid)

Each process calls ``change_state(turn, url, flow_uuid)``. It prepares what it needs,
calls ``turn.wait()``, which returns in all processes at once, and then does what the
race is about. What it returns comes back in the order of the processes.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from taskflow.persistence import models

from redisflow import RedisBackend, Storage

_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a process of a crew knows of itself.

    Attributes:
        index: 0 for the first process.
        barrier: of the whole crew.
    """

    index: int
    barrier: Any

    def wait(self) -> None:
        """Wait until all processes of the crew have come here."""
        self.barrier.wait(_PATIENCE_S)


class Crew:
    """Several processes that wait for something to do.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(size)  # gone with its last reference
        self._members: list[tuple[Any, Connection]] = []
        for index in range(size):
            here, there = context.Pipe()
            turn = Turn(index, self._barrier)
            process = context.Process(target=_serve, args=(turn, there), daemon=True)
            process.start()
            there.close()
            self._members.append((process, here))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def race(self, function: Callable[..., Any], /, *args: Any) -> list[Any]:
        """Call a function in all processes; returns what each of them returned.

        Args:
            function: at the top level of its module.
            args: what it is called with after its `Turn`.

        Raises:
            AssertionError: it raised in one of them.
        """
        for _, pipe in self._members:
            pipe.send((function, args))
        replies = [self._reply(index) for index in range(self.size)]
        failed = [text for good, text in replies if not good]
        if failed:
            raise AssertionError("\n".join(failed))
        return [answer for _, answer in replies]

    def close(self) -> None:
        """End all processes."""
        for process, pipe in self._members:
            with contextlib.suppress(OSError):
                pipe.send(None)
            process.join(_PATIENCE_S)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._members.clear()

    def _reply(self, index: int) -> tuple[bool, Any]:
        _, pipe = self._members[index]
        if not pipe.poll(2 * _PATIENCE_S):
            return False, f"process {index} does not answer"
        good, answer = pipe.recv()
        return good, answer if good else f"process {index}: {answer}"


def storage_of(url: str, flow_uuid: str) -> Storage:
    """Open a storage on a flow that exists; a process keeps its connections."""
    backend = _backend(url)
    name = backend.client.execute("HGET", backend.keys.of_flow(flow_uuid).flow, "name")
    return Storage(models.FlowDetail(name.decode(), flow_uuid), backend)


@functools.cache
def _backend(url: str) -> RedisBackend:
    return RedisBackend.from_url(url)


def _serve(turn: Turn, pipe: Connection) -> None:
    for function, args in _requests(pipe):
        try:
            answer = function(turn, *args)
        except BaseException:  # noqa: BLE001 - told to whoever asked
            turn.barrier.abort()
            pipe.send((False, traceback.format_exc()))
        else:
            pipe.send((True, answer))


def _requests(pipe: Connection) -> Iterator[Any]:
    """Give what comes through a pipe until it says None or its end is gone."""
    with contextlib.suppress(EOFError):
        while (request := pipe.recv()) is not None:
            yield request
