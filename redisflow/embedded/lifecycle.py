"""Join, start, look at and end the user's embedded server."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from redisflow.embedded import filelock, places, supervisor, wire
from redisflow.embedded.binaries import Kind, ServerBinary, find_binary
from redisflow.embedded.places import Places
from redisflow.errors import ConfigError, InvalidState, Unavailable

IDLE_VARIABLE = "REDISFLOW_EMBEDDED_IDLE_S"

_IDLE_S = 600.0
_PROBE_S = 5.0
_START_S = 30.0
# What a supervisor needs to say that it has waited in vain.
_GRACE_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running embedded server."""

    socket_path: Path
    kind: str
    data_dir: Path
    log_path: Path
    pid: int


@dataclass(frozen=True, slots=True)
class Probe:
    """What the server on the socket said about itself."""

    server: EmbeddedServer
    loading: bool
    supervised: bool


def ensure_running(
    *, idle_s: float | None = None, start_timeout_s: float = _START_S
) -> EmbeddedServer:
    """Join the user's server, starting it if none runs; it is ready on return.

    Connect within ``idle_s`` seconds. A server that this call starts ends after
    that time with nobody connected; the default is ten minutes, or the number in
    ``REDISFLOW_EMBEDDED_IDLE_S``.

    Raises:
        ConfigError: no server program, or no place for its files.
        Unavailable: it did not start; the error quotes its log.
    """
    if idle_s is None:
        idle_s = _idle_from_environment()
    if not idle_s > 0:
        raise ConfigError(f"idle_s is {idle_s}: it has to be above 0")
    deadline = time.monotonic() + start_timeout_s
    with _start_lock(places.start_lock(), deadline=deadline) as lock:
        os.utime(lock)
        at = places.prepare()
        while True:
            found = probe(at, timeout_s=max(deadline - time.monotonic(), 0.1))
            if found is not None and not found.loading:
                break
            if found is None:
                _start(at, idle_s=idle_s, deadline=deadline)
            elif time.monotonic() >= deadline:
                raise _not_in_time(at, found.server.kind, start_timeout_s)
            else:
                filelock.pause()
        if not found.supervised:
            _launch(at, idle_s=idle_s, deadline=deadline)
        # The time to connect counts from here, not from the start of a long load.
        os.utime(lock)
        return found.server


def status() -> EmbeddedServer | None:
    """Return the server that runs now, if any; starts and creates nothing.

    Raises:
        Unavailable: what is on the socket is not our server, or refuses to answer.
    """
    at = places.existing()
    if at is None:
        return None
    found = probe(at, timeout_s=_PROBE_S)
    return None if found is None else found.server


def stop(*, timeout_s: float = 10.0) -> bool:
    """End the server that runs, keeping its data; tell whether one ran.

    Raises:
        Unavailable: it did not end in time, or refused to.
        ConfigError: its files cannot be written.
    """
    deadline = time.monotonic() + timeout_s
    at = places.existing()
    if at is None:
        return False
    with _start_lock(at.start_lock, deadline=deadline):
        if filelock.is_free(at.server_lock):
            return False
        while not filelock.is_free(at.server_lock):
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the embedded server on {at.socket} has not ended within"
                    f" {timeout_s:g} s"
                )
            # Told again: it may have been about to listen the first time.
            _tell_to_end(at, timeout_s=timeout_s)
            filelock.pause()
    return True


def foreground() -> int:
    """Run the server until SIGINT, SIGTERM or :func:`stop`; return an exit status.

    Call it from the main thread. Idleness does not end this server.

    Raises:
        ConfigError: no server program, or no place for its files.
        InvalidState: an embedded server of this user runs already.
        Unavailable: the server did not start; the error quotes its log.
    """
    with contextlib.ExitStack() as starting, contextlib.ExitStack() as running:
        deadline = time.monotonic() + _PROBE_S
        starting.enter_context(_start_lock(places.start_lock(), deadline=deadline))
        at = places.prepare()
        lock = take_server_lock(at, deadline=deadline)
        if lock is None:
            raise InvalidState(
                f"an embedded server already runs on {at.socket}; end it first with"
                " `redisflow server stop`"
            )
        running.callback(os.close, lock)
        binary = _chosen_binary(at)
        signals = running.enter_context(supervisor.SignalsEndServer())
        started = supervisor.start(at, binary, server_lock=lock)
        signals.server = started.process
        try:
            connection = running.enter_context(
                supervisor.ready(at, started, listen_s=_START_S)
            )
        except Unavailable:
            if signals.received:  # told to end while it was loading
                return 0
            raise
        starting.close()
        supervisor.watch(at, connection, idle_s=math.inf)
        return 0 if started.process.wait() == 0 else 1


def take_server_lock(at: Places, *, deadline: float) -> int | None:
    """Wait for the last server to be gone; None if it turns out to serve.

    Raises:
        Unavailable: it neither ended nor answered until the deadline.
    """
    while (lock := filelock.try_acquire(at.server_lock)) is None:
        if probe(at, timeout_s=1.0) is not None:
            return None
        if time.monotonic() >= deadline:
            raise Unavailable(
                f"a server holds {at.server_lock} but does not answer on {at.socket}"
            )
        filelock.pause()
    return lock


def probe(at: Places, *, timeout_s: float) -> Probe | None:
    """Ask the server on the socket who it is; None if nobody answers there.

    Raises:
        Unavailable: what answers is not our server, or refuses to say.
    """
    try:
        with wire.connected(at.socket, timeout_s=timeout_s) as connection:
            server, loading = _identified(at, connection)
            clients = "" if loading else connection.ask("CLIENT LIST")
    except wire.ErrorReply as error:
        raise Unavailable(f"the server on {at.socket} answered: {error}") from error
    except OSError:
        return None
    return Probe(server, loading, f" name={supervisor.CLIENT_NAME} " in clients)


def _identified(at: Places, connection: wire.Connection) -> tuple[EmbeddedServer, bool]:
    """Return the server on a connection, and whether it still loads its data."""
    info = connection.info()
    # Only a server that runs on our configuration file is ours to use and to end.
    for kind in get_args(Kind):
        if info.get("config_file") == os.fspath(at.config(kind)):
            server = EmbeddedServer(
                socket_path=at.socket,
                kind=kind,
                data_dir=at.data(kind),
                log_path=at.log(kind),
                pid=int(info["process_id"]),
            )
            return server, info["loading"] != "0"
    raise Unavailable(f"the server on {at.socket} is not one that redisflow started")


def _tell_to_end(at: Places, *, timeout_s: float) -> None:
    """Tell our server, if one listens, to end."""
    try:
        with wire.connected(at.socket, timeout_s=timeout_s) as connection:
            _identified(at, connection)
            with contextlib.suppress(ConnectionError):
                connection.ask("SHUTDOWN")
    except wire.ErrorReply as error:
        raise Unavailable(f"the server on {at.socket} answered: {error}") from error
    except OSError:
        return


@contextlib.contextmanager
def _start_lock(path: Path, *, deadline: float) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(filelock.held(path, deadline=deadline))
        except TimeoutError as error:
            raise Unavailable(
                f"another process has been starting or ending the embedded server"
                f" for too long ({error})"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"the embedded server cannot be started or ended from here: {error}"
            ) from error
        yield lock


def _start(at: Places, *, idle_s: float, deadline: float) -> None:
    """Start a supervisor with a new server, and wait until it is ready.

    Raises:
        Unavailable: it did not start, or not before the deadline.
    """
    binary = _chosen_binary(at)
    began = time.monotonic()
    report = _launch(at, idle_s=idle_s, deadline=deadline, binary=binary)
    if report == "ready":
        return
    if report is None:
        raise _not_in_time(at, binary.kind, time.monotonic() - began)
    raise Unavailable(
        report
        or "the supervisor of the embedded server failed; its log,"
        f" {at.supervisor_log}, says:\n{places.tail(at.supervisor_log)}"
    )


def _launch(
    at: Places,
    *,
    idle_s: float,
    deadline: float,
    binary: ServerBinary | None = None,
) -> str | None:
    """Start a supervisor, of what runs or of a new server; None if it is silent."""
    if not sys.executable:
        raise ConfigError(
            "this Python does not know its own path and so cannot start a server:"
            " set REDISFLOW_URL, or run `redisflow server`"
        )
    wait_s = max(deadline - time.monotonic(), 0.0)
    new = () if binary is None else ("--kind", binary.kind, "--binary", binary.path)
    # The supervisor has another working directory, yet must import what we do.
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    with at.supervisor_log.open("ab") as log:
        try:
            return subprocess.run(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-P", "-m", "redisflow.embedded", "--supervise"),
                    *("--state", at.state, "--socket", at.socket),
                    *("--idle-s", str(idle_s), "--wait-s", str(wait_s), *new),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=at.state,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
                timeout=wait_s + _GRACE_S,
                check=False,
            ).stdout.decode(errors="replace")
        except subprocess.TimeoutExpired:
            return None


def _chosen_binary(at: Places) -> ServerBinary:
    binary = find_binary()
    if not at.data(binary.kind).exists():
        for other in get_args(Kind):
            if at.data(other).exists():
                _log.warning(
                    "flows that an embedded %s server kept in %s are not seen by the"
                    " new %s server: neither reads the other's files",
                    other,
                    at.data(other),
                    binary.kind,
                )
    return binary


def _not_in_time(at: Places, kind: str, waited_s: float) -> Unavailable:
    return Unavailable(
        f"the embedded {kind} server was not ready within {waited_s:g} s; it may"
        f" still be loading; its log, {at.log(kind)}, says:\n"
        f"{places.tail(at.log(kind))}"
    )


def _idle_from_environment() -> float:
    configured = os.environ.get(IDLE_VARIABLE)
    if not configured:
        return _IDLE_S
    try:
        return float(configured)
    except ValueError:
        raise ConfigError(f"{IDLE_VARIABLE} is {configured!r}, no number") from None
