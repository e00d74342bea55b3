"""A server for the benchmarks alone: a free port, nothing on disk, gone at the end."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from redisflow.embedded.binaries import find_binary

_START_S = 10.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        url: where it is.
        admin: a client for looking at it and for emptying it.
    """

    url: str
    admin: redis.Redis

    def connect(self) -> redis.Redis:
        """Make a client as any user of redis-py would, with its defaults."""
        return redis.Redis.from_url(self.url)

    def describe(self) -> str:
        """Name the program and its version."""
        found = self.admin.info("server")
        if "valkey_version" in found:
            return f"Valkey {found['valkey_version']}"
        return f"Redis {found['redis_version']}"


@contextlib.contextmanager
def running(program: str | None = None) -> Iterator[Server]:
    """Start a server, and end it afterwards.

    Args:
        program: what to run; the ``redis-server`` on the PATH by default, or else the
            one that the embedded server would use.

    Raises:
        RuntimeError: it does not start.
    """
    program = program or shutil.which("redis-server") or str(find_binary().path)
    port = _free_port()
    command = [
        *(program, "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no"),
    ]
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            with contextlib.closing(redis.Redis.from_url(url)) as admin:
                _wait_for(process, admin)
                yield Server(url, admin)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], admin: redis.Redis) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            admin.ping()
        except redis.ConnectionError:
            if process.poll() is not None or time.monotonic() > until:
                message = f"the server does not start: {process.args!r}"
                raise RuntimeError(message) from None
            time.sleep(0.02)
        else:
            return
