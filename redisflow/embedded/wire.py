"""The few words that are exchanged with the server to start, watch and end it.

Inline commands over the unix socket, one reply each: simple, error, integer or
bulk. All other traffic goes through ``redisflow.client``.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path


class ErrorReply(Exception):
    """The server answered with an error; its text is the argument."""


class Connection:
    """One connected client; ends with the ``with`` block of :func:`connected`."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._replies = stream.makefile("rb")

    def ask(self, command: str) -> str:
        """Send one inline command and return its reply as text.

        Raises:
            ErrorReply: the server refused it.
            ConnectionError: the server went away.
        """
        self._stream.sendall(command.encode() + b"\r\n")
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        mark, rest = line[:1], os.fsdecode(line[1:-2])
        if mark == b"-":
            raise ErrorReply(rest)
        if mark != b"$":
            return rest
        # Paths in the reply need not be UTF-8.
        return os.fsdecode(self._replies.read(int(rest) + 2)[:-2])

    def info(self) -> dict[str, str]:
        """Return the fields of ``INFO``; works while the server loads its data."""
        lines = self.ask("INFO").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def closed_within(self, timeout_s: float) -> bool:
        """Wait, and tell whether the server has closed the connection by then."""
        # Nothing is ever sent unasked, so what can be read is the end.
        return bool(select.select([self._stream], [], [], timeout_s)[0])

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._stream.close()


@contextlib.contextmanager
def connected(path: Path, *, timeout_s: float | None) -> Iterator[Connection]:
    """Connect for a block; ``timeout_s`` bounds each wait, None waits for ever.

    Raises:
        OSError: nobody listens there, or the server went away.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout_s)
    try:
        stream.connect(os.fspath(path))
    except BaseException:
        stream.close()
        raise
    connection = Connection(stream)
    try:
        yield connection
    finally:
        connection.close()
