"""TaskFlow's helpers, so that they load our engine where no other is asked for by name.

TaskFlow's own tests and examples make engines through ``taskflow.engines``. While this
is installed those get a `SharedEngine` on a server of ours, whatever backend they name;
"parallel" ones get threads, and take all that is ready, as TaskFlow's do.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from taskflow import engines
from taskflow.engines import helpers
from taskflow.persistence import backends as persistence

from redisflow import RedisBackend
from tests.support.installed import announce_plugins

#: Where the server is, for programs that are run with `SITE`.
VARIABLE = "REDISFLOW_ENGINE_SHIM"

#: A sitecustomize module that installs it in a program and in those that it starts.
SITE = f"""
import os
from tests.support.engine_shim import install
install(os.environ[{VARIABLE!r}])
"""

_THREADS = {"executor": "threads", "claim_all": True}

#: Options of our engine in place of each of TaskFlow's.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "serial": {},
    "parallel": _THREADS,
    "threaded": _THREADS,
}


def install(url: str) -> Callable[[], None]:
    """Put our engine in the place of TaskFlow's; returns what takes it away again."""
    announce_plugins()
    original: Any = helpers.load
    fetch: Any = persistence.fetch
    signature = inspect.signature(original)
    backends: list[RedisBackend] = []

    def load(*args: Any, **options: Any) -> Any:
        call = signature.bind(*args, **options)
        given = call.arguments
        ours = _OPTIONS.get(given.get("engine", helpers.ENGINE_DEFAULT))
        if ours is not None:
            given["engine"] = "redisflow"
            given["kwargs"] = {**ours, **given.get("kwargs", {})}
            if not isinstance(given.get("backend"), RedisBackend):
                given["backend"] = backend()
                given.pop("book", None)
        return original(*call.args, **call.kwargs)

    def backend(*_args: Any, **_options: Any) -> RedisBackend:
        if not backends:
            backends.append(RedisBackend.from_url(url))
        return backends[0]

    def uninstall() -> None:
        _put(original, fetch)
        for backend in backends:
            backend.close()

    _put(load, backend)
    return uninstall


@contextlib.contextmanager
def installed(url: str) -> Iterator[None]:
    """Have it installed for a while."""
    uninstall = install(url)
    try:
        yield
    finally:
        uninstall()


def _put(load: Any, fetch: Any) -> None:
    persistence.fetch = fetch
    helpers.load = load
    engines.load = load  # type: ignore[attr-defined]  # it is there, not exported


def environment(url: str, folder: os.PathLike[str], root: str) -> dict[str, str]:
    """Make the environment of a program in which it is installed.

    Args:
        url: the server.
        folder: an empty one, for `SITE`.
        root: of this checkout.
    """
    Path(folder, "sitecustomize.py").write_text(SITE, encoding="utf-8")
    path = os.pathsep.join([os.fspath(folder), root])
    return {**os.environ, "PYTHONPATH": path, VARIABLE: url}
