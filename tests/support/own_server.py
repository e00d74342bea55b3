"""Servers that a test starts for itself: to kill them, to follow them, to join them.

Those that all tests share come from pytest-redis, see `tests.support.servers`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis

from tests.support.eventually import eventually
from tests.support.servers import absent, executable

#: A cluster's servers talk to each other on their port and 10,000.
_HIGHEST_PORT = 55000

#: What holds the ports that were given away; until the process ends.
_held: list[socket.socket] = []


class OwnServer:
    """A server on a free port of the loopback interface; constructing starts it.

    Args:
        kind: ``"redis"`` or ``"valkey"``.
        folder: for its data; it is made if it is not there.
        options: of the command line, name and value in turn.
        environment: variables that it gets beside those of this process.

    Attributes:
        kind: of its program.
        folder: where its data is.
        port: where it listens.
        client: a client that answers in text.
        run_ids: of each time that it was started.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = executable(kind) or absent(f"{kind}-server")
        self.kind = kind
        self.folder = folder
        self._options: Sequence[str] = options
        self._environment = {**os.environ, **(environment or {})}
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.client = redis.Redis.from_url(self.url, decode_responses=True)
        self.run_ids: set[str] = set()
        self.start()

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, once more too, and wait until it has read its data."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [self._program, *words, "--logfile", "server.log", *self._options],
            cwd=self.folder,
            env=self._environment,
        )
        self.run_ids.add(str(eventually(self._run_id, 30)))

    def _run_id(self) -> str | None:
        with contextlib.suppress(redis.RedisError):
            info = self.client.info()
            return None if info["loading"] else str(info["run_id"])
        return None

    def freeze(self, seconds: float) -> None:
        """Stop it for a while: it answers nothing, and forgets nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            threading.Event().wait(seconds)
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it without warning; also where it is stopped."""
        self.process.kill()
        self.process.wait()

    def mark(self) -> int:
        """Tell how much its append-only file holds now, for `rewind`.

        A server whose disk is slow answers before it has written: that is waited for.
        """
        eventually(lambda: self.client.info("persistence")["aof_buffer_length"] == 0)
        return self.file.stat().st_size

    def rewind(self, mark: int) -> None:
        """Kill it, and start it with what it had at a mark: it has lost all since."""
        assert self.mark() > mark, "there is nothing to lose"
        self.kill()
        os.truncate(self.file, mark)
        self.start()

    def copy(self, folder: Path, mark: int) -> OwnServer:
        """Start another one with what this one had in its file at a mark."""
        shutil.copytree(self.folder, folder)
        (file,) = folder.glob("appendonlydir/*.incr.aof")
        os.truncate(file, mark)
        return OwnServer(self.kind, folder, *self._options)

    @property
    def file(self) -> Path:
        """Its append-only file."""
        (file,) = self.folder.glob("appendonlydir/*.incr.aof")
        return file

    def close(self) -> None:
        """End it for good."""
        self.client.close()
        self.kill()


def free_port() -> int:
    """Find a port that is free, low enough for a cluster, and given to nobody else.

    It stays bound here, so that the system chooses it for no other process before its
    server listens; a server may share it, since it reuses addresses as well.
    """
    while True:
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if port < _HIGHEST_PORT:
            _held.append(holder)
            return port
        holder.close()
