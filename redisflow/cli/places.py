"""Where TaskFlow keeps logbooks: a URL as a person types it becomes a backend."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskflow import exceptions
from taskflow.persistence import backends, base

from redisflow.cli.problems import UsageProblem, without_passwords
from redisflow.errors import RedisFlowError
from redisflow.persistence import RedisBackend

_OURS = ("redis", "rediss", "unix", "redisflow")
_FOLDERS = ("dir", "file")
_SQL = ("sqlite", "mysql", "postgresql")
_NEEDED = ("sqlalchemy", "alembic")


@dataclass(frozen=True, slots=True)
class Place:
    """A place for logbooks.

    Attributes:
        url: as it was typed.
        scheme: the part of it before a plus sign or a colon.
        path: the file or the folder that it is; None for a server.
    """

    url: str
    scheme: str
    path: Path | None = None

    @property
    def label(self) -> str:
        """What it is called, without a password."""
        return without_passwords(self.url)

    @property
    def exists(self) -> bool:
        """Whether there is anything: opening a file would make it."""
        return self.path is None or self.path.exists()

    def conf(self) -> dict[str, Any]:
        """Write it as TaskFlow's backends take it."""
        if self.scheme in _FOLDERS:
            return {"connection": "dir", "path": str(self.path)}
        return {"connection": self.url}


def place_of(url: str) -> Place:
    """Read where logbooks are.

    Raises:
        UsageProblem: it is no place, or one that other processes cannot see.
    """
    scheme, colon, rest = url.partition(":")
    scheme = scheme.partition("+")[0].lower()
    if not colon:
        scheme, rest = "dir", url
    if scheme == "memory" or url == "memory":
        raise UsageProblem("memory is that of one process: nothing can be migrated")
    if scheme in _FOLDERS:
        path = rest.removeprefix("//")
        if not path:
            raise UsageProblem(f"{url!r} names no folder: write dir:///path/to/it")
        return Place(url, scheme, Path(path))
    if scheme == "sqlite" and rest.startswith("///"):
        return Place(url, scheme, Path(rest[3:].partition("?")[0]))
    return Place(url, scheme)


@contextlib.contextmanager
def opened(place: Place, *, upgrade: bool) -> Iterator[base.Connection]:
    """Connect to a place.

    Args:
        place: which one.
        upgrade: make there whatever it needs, such as tables.

    Raises:
        UsageProblem: nothing here can open it.
        StorageFailure: it was not reached, or is not fit.
    """
    with contextlib.closing(_backend(place)) as backend:
        try:
            connection = backend.get_connection()
            if upgrade:
                connection.upgrade()
            connection.validate()
        except RedisFlowError:
            raise
        except Exception as error:  # whatever a backend or its driver raises
            message = f"{place.label} cannot be used: {error}"
            raise exceptions.StorageFailure(message) from error
        with contextlib.closing(connection):
            yield connection


def _backend(place: Place) -> base.Backend:
    if place.scheme in _OURS:
        return RedisBackend.from_url(place.url)
    if place.scheme in _SQL:
        lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if lacking:
            raise UsageProblem(
                f"{place.scheme}:// needs {' and '.join(lacking)}:"
                " pip install 'redisflow[sql]'"
            )
    try:
        backend: base.Backend = backends.fetch(place.conf())
    except exceptions.NotFound:
        raise UsageProblem(
            f"TaskFlow has no backend for {place.label}: sqlite, mysql, postgresql,"
            " dir, zookeeper and redis are known"
        ) from None
    except ImportError as error:  # the driver of a database
        raise UsageProblem(f"{place.label} needs {error.name}, a driver") from error
    except Exception as error:
        raise UsageProblem(f"{place.label} cannot be opened: {error}") from error
    return backend
