"""TaskFlow's persistence interface over Redis: a backend, its connections, its records.

`RedisBackend` is what TaskFlow calls a backend; it owns the `redisflow.client.Client`,
the namespace and the codec, and everything above it (the storage, the engine, the
command line) works through the one that it was given. Making it does no I/O.

`records` reads hashes into TaskFlow's details and `fields` writes details as hashes;
nobody else spells the fields of a record. `layout` tells which of them are numbers, for
those who judge what is stored. `reading`, `saving`, `books` and `removal` are what a
connection does; `plans` are what `saving` is about to write, and `sweeping` takes back
what dead workers hold.

A flow and its collections come to be in one script. Around that script, indexes
without a hash tag (``flows``, ``books``, ``atom-index``) and the logbook's own hash
are written first: an index may name a flow that does not exist, never the reverse.
"""

from __future__ import annotations

from redisflow.persistence.backend import RedisBackend
from redisflow.persistence.connection import RedisConnection
from redisflow.persistence.records import AtomRecord, FlowRecord

__all__ = ["AtomRecord", "FlowRecord", "RedisBackend", "RedisConnection"]
