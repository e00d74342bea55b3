"""TaskFlow flows that many processes run together, through Redis.

Write a flow as for any TaskFlow engine, and let several worker processes run it::

    import redisflow

    results = redisflow.run("pipeline.py:make_flow", workers=4, run_id="nightly")

or take part in it from a process of your own, as many as you like::

    engine = redisflow.load(make_flow(), run_id="nightly")
    engine.run()

Without a URL and without ``REDISFLOW_URL`` the embedded server is used.
"""

from __future__ import annotations

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
