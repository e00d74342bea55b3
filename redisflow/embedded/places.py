"""The embedded server's files, all of which only their user can reach.

::

    <state>/start.lock  server.lock  server.sock  supervisor.log  [socket-directory]
    <state>/<kind>/server.conf  server.log  appendonlydir/
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redisflow.errors import ConfigError

# Linux has room for 107 bytes, macOS for 103.
_LONGEST_SOCKET_PATH = 100
_SOCKET_NAME = "server.sock"
_START_LOCK = "start.lock"
_TAIL_BYTES = 2_000


def state_dir() -> Path:
    """Return the directory of the user's embedded server, which may not exist yet.

    Raises:
        ConfigError: the user has no home directory.
    """
    configured = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG specification says to ignore a relative path.
    if configured.is_absolute():
        return (configured / "redisflow").resolve()
    try:
        return (Path.home() / ".local" / "state" / "redisflow").resolve()
    except RuntimeError as error:
        raise ConfigError(
            f"{error}: set HOME, XDG_STATE_HOME or REDISFLOW_URL"
        ) from error


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of one embedded server are."""

    state: Path
    socket: Path

    @property
    def start_lock(self) -> Path:
        """The lock of those who join, start or end; its mtime is the last joining."""
        return self.state / _START_LOCK

    @property
    def server_lock(self) -> Path:
        """The lock that a server and its supervisor hold while either lives."""
        return self.state / "server.lock"

    @property
    def supervisor_log(self) -> Path:
        """What supervisors had to say."""
        return self.state / "supervisor.log"

    def data(self, kind: str) -> Path:
        """Return the folder of one kind of server."""
        return self.state / kind

    def config(self, kind: str) -> Path:
        """Return the configuration file of one kind of server."""
        return self.state / kind / "server.conf"

    def log(self, kind: str) -> Path:
        """Return the log of one kind of server."""
        return self.state / kind / "server.log"


def start_lock() -> Path:
    """Return the lock under which to join or start, making its directory.

    Raises:
        ConfigError: it cannot be made, or belongs to somebody else.
    """
    state = state_dir()
    make_private(state)
    return state / _START_LOCK


def prepare() -> Places:
    """Return the places, choosing one for the socket; call it under the start lock.

    Raises:
        ConfigError: there is no good place for the socket.
    """
    state = state_dir()
    return Places(state, _known_socket(state) or _new_socket(state))


def existing() -> Places | None:
    """Return the places if a server can ever have run there; create nothing."""
    state = state_dir()
    if not state.is_dir():
        return None
    socket = _known_socket(state)
    return None if socket is None else Places(state, socket)


def make_private(directory: Path) -> None:
    """Create a directory that only the user can enter, or make it so.

    Raises:
        ConfigError: it cannot be made, or is not the user's own.
    """
    try:
        # mkdir's own parents would have the mode that the umask leaves them.
        for missing in [d for d in reversed(directory.parents) if not d.exists()]:
            missing.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise ConfigError(f"{directory} is not a directory of this user's own")
        directory.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"the embedded server needs the directory {directory}: {error};"
            " set XDG_STATE_HOME to one that can be written, or REDISFLOW_URL"
        ) from error


def tail(path: Path, *, since: int = 0) -> str:
    """Return the last lines of a log, from the byte ``since`` on."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(since, end - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-10:])


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH


def _note(state: Path) -> Path:
    return state / "socket-directory"


def _known_socket(state: Path) -> Path | None:
    if _fits(state / _SOCKET_NAME):
        return state / _SOCKET_NAME
    try:
        directory = Path(os.fsdecode(_note(state).read_bytes()))
    except FileNotFoundError:
        return None
    return directory / _SOCKET_NAME if _is_private(directory) else None


def _new_socket(state: Path) -> Path:
    name = f"redisflow-{hashlib.sha256(os.fsencode(state)).hexdigest()[:16]}"
    for base in _short_bases():
        directory = base / name
        if not _fits(directory / _SOCKET_NAME):
            continue
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        # In a directory that all can write to, somebody else may have been first.
        if _is_private(directory):
            _write_whole(_note(state), os.fsencode(directory))
            return directory / _SOCKET_NAME
    raise ConfigError(
        f"{state} is too long a path for a socket, and no short directory can be"
        " made under XDG_RUNTIME_DIR, TMPDIR or /tmp: set XDG_STATE_HOME or"
        " REDISFLOW_URL"
    )


def _short_bases() -> Iterator[Path]:
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime.is_absolute():
        yield runtime
    yield Path(tempfile.gettempdir()).absolute()
    yield Path("/tmp")  # noqa: S108 - checked for its owner and mode before use


def _is_private(directory: Path) -> bool:
    """Tell whether it is a real directory, the user's, and closed to all others."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )


def _write_whole(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
