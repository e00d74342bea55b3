"""Advisory file locks that end with the processes that hold them.

A lock belongs to the open file, not to a process: a child that inherits the file
descriptor holds it too, and it is free when the last of them has closed it or
ended. :func:`release` unlocks explicitly, so that a copy of the descriptor in a
child that another thread happened to fork cannot keep the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

POLL_S = 0.01


def pause() -> None:
    """Wait a moment before looking again at what sends no signal."""
    time.sleep(POLL_S)  # noqa: TID251 - a lock or a socket file wakes nobody


def try_acquire(path: Path) -> int | None:
    """Take the lock and return its file descriptor, or None if it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # Whoever locked a file that was deleted meanwhile has locked nothing.
    if not _is_at(descriptor, path):
        os.close(descriptor)
        return None
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def release(descriptor: int) -> None:
    """Free a lock that this process holds."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def is_free(path: Path) -> bool:
    """Tell whether nobody holds the lock now."""
    if not path.exists():
        return True
    descriptor = try_acquire(path)
    if descriptor is None:
        return False
    release(descriptor)
    return True


@contextlib.contextmanager
def held(path: Path, *, deadline: float) -> Iterator[int]:
    """Hold the lock for a block, waiting for it until ``deadline`` (monotonic).

    Raises:
        TimeoutError: somebody else held it until then.
    """
    while (descriptor := try_acquire(path)) is None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"somebody else holds {path}")
        pause()
    try:
        yield descriptor
    finally:
        release(descriptor)
