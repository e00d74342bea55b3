"""TaskFlow flows that many processes run together, through Redis.

Write a flow as for any TaskFlow engine, and let several worker processes run it::

    import redisflow

    results = redisflow.run("pipeline.py:make_flow", workers=4, run_id="order-17")

or take part in it from a process of your own, as many as you like::

    engine = redisflow.load(make_flow(), run_id="order-17")
    engine.run()

Without a URL and without ``REDISFLOW_URL`` the embedded server is used.

Each name is imported when it is first asked for: pytest's plug-in is a part of this
package, too, and is to cost tests nothing that run no flow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redisflow import codec as codec
    from redisflow import errors as errors
    from redisflow.engine import SharedEngine, current, follow, load, run, submit
    from redisflow.persistence import RedisBackend
    from redisflow.rwlock import ReaderWriterLock
    from redisflow.storage import Storage

__all__ = [
    "ReaderWriterLock",
    "RedisBackend",
    "SharedEngine",
    "Storage",
    "current",
    "follow",
    "load",
    "run",
    "submit",
]

#: Where each name is.
_HOMES = {
    "ReaderWriterLock": "rwlock",
    "RedisBackend": "persistence",
    "SharedEngine": "engine",
    "Storage": "storage",
    "current": "engine",
    "follow": "engine",
    "load": "engine",
    "run": "engine",
    "submit": "engine",
}

#: Modules that are there without an import of their own.
_MODULES = {"codec", "errors"}

if not TYPE_CHECKING:  # to a type checker every name would be one of this module

    def __getattr__(name: str) -> Any:
        """Import what stands behind a name, and keep it."""
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
