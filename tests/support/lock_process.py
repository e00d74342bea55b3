"""A process that does with a lock what it is told through a pipe."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from redisflow import ReaderWriterLock, RedisBackend, Storage
from tests.support.eventually import eventually
from tests.support.processes import storage_of

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "tests.support.crew"])

_PATIENCE_S = 30.0


class LockProcess:
    """One process with one lock; `with` ends it.

    Args:
        url: the server.
        name: of the lock; or, with ``flow``, the uuid of a flow whose lock it is.
        lease_s: length of its leases.
        flow: whether it is a flow's lock.
    """

    def __init__(
        self, url: str, name: str, *, lease_s: float, flow: bool = False
    ) -> None:
        self._pipe, there = _FORKS.Pipe()
        args = (there, url, name, lease_s, flow)
        self._process = _FORKS.Process(target=_serve, args=args, daemon=True)
        self._process.start()
        there.close()

    def __enter__(self) -> LockProcess:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def ask(self, method: str, /, *args: Any, **kwargs: Any) -> None:
        """Let it call a method of its lock, or of its storage; does not wait."""
        self._pipe.send((method, args, kwargs))

    def answer(self) -> Any:
        """Wait for what the last call returned, or the name of what it raised."""
        assert self._pipe.poll(_PATIENCE_S), "the process does not answer"
        return self._pipe.recv()

    def call(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Let it call a method, and wait for what it returns."""
        self.ask(method, *args, **kwargs)
        return self.answer()

    @property
    def answered(self) -> bool:
        """Whether an answer has come."""
        return self._pipe.poll()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """Let it stand still, as under a debugger or in a long pause."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{self._process.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def go_on(self) -> None:
        """End its pause."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)


def _serve(pipe: Connection, url: str, name: str, lease_s: float, flow: bool) -> None:
    storage: Storage | None = None
    if flow:
        storage = storage_of(url, name)
        lock: ReaderWriterLock = storage.lock
        lock._server.lease_s = lease_s
    else:
        lock = ReaderWriterLock(RedisBackend.from_url(url), name, lease_s=lease_s)
    while True:
        method, args, kwargs = pipe.recv()
        found = getattr(lock if hasattr(lock, method) else storage, method)
        try:
            answer = found(*args, **kwargs) if callable(found) else found
        except Exception as error:  # noqa: BLE001  # told to whoever asked
            traceback.print_exc()
            answer = type(error).__name__
        pipe.send(answer)
