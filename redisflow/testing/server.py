"""A real server that lasts as long as the tests do."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from time import monotonic
from types import TracebackType

from redisflow.embedded import find_binary
from redisflow.errors import StoreError, Unavailable
from redisflow.persistence import RedisBackend

#: A path of a unix socket has room for about 100 letters.
_LONG_PATH = 60

_GUARD = Path(__file__).with_name("guard.py")


class ThrowAwayServer:
    """A server in a folder of its own, on a private socket; ``with`` ends it.

    It is the embedded one, or a ``redis-server`` or ``valkey-server`` on the PATH. It
    keeps nothing, has no port, and ends with this process, even if that is killed.

    Args:
        start_timeout_s: how long to wait until it answers.

    Attributes:
        url: where to connect; other processes can, too.

    Raises:
        ConfigError: there is no server program.
        Unavailable: it did not answer in time.
    """

    def __init__(self, *, start_timeout_s: float = 30.0) -> None:
        binary = find_binary()
        short = len(tempfile.gettempdir()) <= _LONG_PATH
        parent = None if short else "/tmp"  # noqa: S108  # the folder is private
        self._folder = tempfile.mkdtemp(prefix="redisflow-", dir=parent)
        path = Path(self._folder, "socket")
        self.url = f"unix://{path}"
        options = {
            "--port": "0",
            "--unixsocket": os.fspath(path),
            "--unixsocketperm": "700",
            "--dir": self._folder,
            "--save": "",
            "--appendonly": "no",
            "--logfile": "server.log",
        }
        words = [word for option in options.items() for word in option]
        self._guard = subprocess.Popen(  # noqa: S603  # our own guard
            [sys.executable, "-I", _GUARD, binary.path, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=self._folder,
        )
        try:
            self._wait(start_timeout_s)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ThrowAwayServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def namespace(self, name: str) -> str:
        """Return the URL of a namespace of this server."""
        return f"{self.url}?namespace={name}"

    def close(self) -> None:
        """End it, and remove its folder."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self, timeout_s: float) -> None:
        until = monotonic() + timeout_s
        pause = threading.Event()
        while not Path(self._folder, "socket").exists() or not self._answers():
            if monotonic() > until or self._guard.poll() is not None:
                log = Path(self._folder, "server.log")
                text = log.read_text("utf-8", "replace") if log.exists() else ""
                raise Unavailable(
                    f"the server did not start: {text[-500:]}", outcome="not applied"
                )
            pause.wait(0.01)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(StoreError),
            contextlib.closing(RedisBackend.from_url(self.url)) as backend,
        ):
            return bool(backend.client.execute("TIME"))
        return False


def remove_namespace(backend: RedisBackend) -> int:
    """Remove all keys of a backend's namespace; returns how many there were."""
    found = 0
    cursor = 0
    while True:
        prefix = f"{backend.keys.namespace}:*"
        position, keys = backend.client.execute(
            "SCAN", cursor, "MATCH", prefix, "COUNT", 1000
        )
        for key in keys:
            found += int(backend.client.execute("UNLINK", key))
        cursor = int(position)
        if not cursor:
            return found
