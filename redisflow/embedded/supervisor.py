"""Start one server, watch over it, and end it when nobody needs it any more.

A supervisor is the parent of the server that it started, or has adopted one whose
supervisor was killed. It lives exactly as long as the server: it holds one
connection, whose end is the end of the server, and never starts a second one. Its
connection carries a name, by which others see that the server has a supervisor.

The server ends when ``idle_s`` seconds have passed with no other connection and
nobody joining, or when its socket has been removed: nobody could join it then, and
whoever wants to would wait for it in vain.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from redisflow.embedded import filelock, places, wire
from redisflow.embedded.binaries import ServerBinary
from redisflow.embedded.places import Places
from redisflow.errors import Unavailable

CLIENT_NAME = "redisflow-supervisor"

_LONGEST_WATCH_S = 15.0
_LARGEST_LOG = 1024 * 1024

# No TCP port, no eviction, every write in the append-only file.
_CONFIG = """\
# Written anew by redisflow at every start.
port 0
unixsocket {socket}
unixsocketperm 700
dir {data}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync everysec
maxmemory 0
maxmemory-policy noeviction
"""


@dataclass(frozen=True, slots=True)
class Started:
    """A server process that this process started, and where its log began."""

    process: subprocess.Popen[bytes]
    kind: str
    log_start: int


def start(at: Places, binary: ServerBinary, *, server_lock: int) -> Started:
    """Start a server that keeps the locked file ``server_lock`` open.

    Raises:
        Unavailable: the program cannot be executed.
    """
    places.make_private(at.data(binary.kind))
    config = _CONFIG.format(
        socket=_quoted(os.fspath(at.socket)),
        data=_quoted(os.fspath(at.data(binary.kind))),
    )
    at.config(binary.kind).write_bytes(os.fsencode(config))
    with at.log(binary.kind).open("ab") as log:
        if log.tell() > _LARGEST_LOG:
            log.truncate(0)
        log_start = os.fstat(log.fileno()).st_size
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [binary.path, at.config(binary.kind)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=at.data(binary.kind),
                # A locale that is not installed keeps a server from starting.
                env={**os.environ, "LC_ALL": "C"},
                pass_fds=(server_lock,),
                # Ctrl-C is for us; a second SIGINT makes a server drop its data.
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            raise Unavailable(f"{binary.path} cannot be started: {error}") from error
    return Started(process, binary.kind, log_start)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@contextlib.contextmanager
def ready(
    at: Places, started: Started, *, listen_s: float
) -> Iterator[wire.Connection]:
    """Wait until the server has loaded its data; give a named connection to it.

    It may take any time to load, but has to listen within ``listen_s`` seconds.

    Raises:
        Unavailable: the server ended instead; the error quotes its log.
    """
    with contextlib.ExitStack() as stack:
        try:
            _await_listening(at, started.process, listen_s=listen_s)
            # No timeout: the end of the server ends every wait.
            connection = stack.enter_context(wire.connected(at.socket, timeout_s=None))
            while connection.info()["loading"] != "0":
                filelock.pause()
            connection.ask(f"CLIENT SETNAME {CLIENT_NAME}")
        except OSError as error:
            code = started.process.wait()
            log = at.log(started.kind)
            raise Unavailable(
                f"the embedded {started.kind} server ended with status {code} while"
                f" starting ({error}); its log, {log}, says:\n"
                f"{places.tail(log, since=started.log_start)}"
            ) from error
        yield connection


def _await_listening(
    at: Places, process: subprocess.Popen[bytes], *, listen_s: float
) -> None:
    deadline = time.monotonic() + listen_s
    while process.poll() is None:
        with (
            contextlib.suppress(FileNotFoundError, ConnectionRefusedError),
            wire.connected(at.socket, timeout_s=listen_s),
        ):
            return
        if time.monotonic() >= deadline:
            # Left alone, it would keep all others from starting one that works.
            process.kill()
            raise TimeoutError(f"it did not listen within {listen_s:g} s")
        filelock.pause()
    raise ConnectionResetError("it never listened")


def watch(at: Places, connection: wire.Connection, *, idle_s: float) -> None:
    """Return when the server has ended; end it when it is idle or unreachable."""
    interval_s = min(max(idle_s / 4, filelock.POLL_S), _LONGEST_WATCH_S)
    socket_found = _identity(at.socket)
    quiet = _Quiet(at, connection)
    while not connection.closed_within(interval_s):
        try:
            if socket_found is None or _identity(at.socket) != socket_found:
                _shut_down(connection)
                return
            if quiet.seconds() >= idle_s and _end_if_unused(quiet):
                return
        except ConnectionError:
            return
        except wire.ErrorReply:
            # Busy with a script, or unwilling to end: not now.
            quiet.since = None


@dataclass(slots=True)
class _Quiet:
    """How long nobody else has been connected to the server or joined it."""

    at: Places
    connection: wire.Connection
    joined: int = -1
    since: float | None = None

    def seconds(self) -> float:
        """Look, and return for how long it has looked like this."""
        if not self.is_unchanged():
            self.joined = _last_joining(self.at)
            self.since = None
            return 0.0
        now = time.monotonic()
        if self.since is None:
            self.since = now
        return now - self.since

    def is_unchanged(self) -> bool:
        """Tell whether nobody is connected, and nobody joined since the last look."""
        return (
            _last_joining(self.at) == self.joined
            and self.connection.info()["connected_clients"] == "1"
        )


def _end_if_unused(quiet: _Quiet) -> bool:
    """End the server unless somebody joins it at this moment."""
    lock = filelock.try_acquire(quiet.at.start_lock)
    if lock is None:
        return False
    try:
        if not quiet.is_unchanged():
            return False
        _shut_down(quiet.connection)
        return True
    finally:
        filelock.release(lock)


def _shut_down(connection: wire.Connection) -> None:
    with contextlib.suppress(ConnectionError):
        connection.ask("SHUTDOWN")


def _last_joining(at: Places) -> int:
    try:
        return at.start_lock.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class SignalsEndServer:
    """While it is entered, SIGTERM and SIGINT end the server, and so the watch."""

    def __init__(self) -> None:
        self.server: subprocess.Popen[bytes] | None = None
        self.received = False
        self._before: dict[int, object] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self.server is None:
            raise SystemExit(128 + number)
        self.server.terminate()

    def __enter__(self) -> SignalsEndServer:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as it was
