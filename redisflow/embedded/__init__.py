"""A real server for one user, started when it is first needed.

:func:`ensure_running` joins the user's server, or starts it. Who comes first
starts it under a file lock; the rest find it running. It listens on a private
unix socket only, keeps an append-only file, never evicts, and its data stays.

Two file locks (``flock``), both in the state directory::

    start.lock   held by whoever joins, starts, stops, or decides to shut down
    server.lock  held by a server process and its supervisor while either lives

``server.lock`` is the truth about what runs: the server inherits the locked file
from its supervisor, so the kernel frees it when the last of them is gone, however
they went. Two servers therefore never share a data folder, a killed server leaves
nothing that must be cleaned up, and no process is ever signalled by a pid from a
file. The one on the socket counts as ours only if it runs on our configuration.

::

            ensure_running                          idle_s with nobody connected
    nothing ─────────────► loading ─► ready ─────────────────────┐
       ▲                                │ stop, SIGTERM, kill -9  │
       └────────────────────────────────┴─────────────────────────┘

* Shutting down is decided under ``start.lock``, and joining stamps that file: who
  joins has ``idle_s`` seconds to connect. A client that comes later than that, or
  loses its connection, calls :func:`ensure_running` again.
* A supervisor never starts a server twice; the next caller does that. Where one
  was killed, the next caller gives the orphaned server a new supervisor.
* ``idle_s`` of those who join a running server has no effect.
* Valkey and Redis keep data in folders of their own: neither reads the other's.
* A socket path has about 100 characters. Where the state directory is longer, the
  socket lives in a private directory elsewhere, and a note in the state directory
  says where, since another process may have another TMPDIR.

``binaries`` finds a server, ``places`` knows the files, ``filelock`` and ``wire``
are the two mechanisms, ``supervisor`` starts a server and watches over it.
"""

from __future__ import annotations

from redisflow.embedded.binaries import ServerBinary, find_binary
from redisflow.embedded.lifecycle import (
    EmbeddedServer,
    ensure_running,
    foreground,
    status,
    stop,
)
from redisflow.embedded.places import state_dir

__all__ = [
    "EmbeddedServer",
    "ServerBinary",
    "ensure_running",
    "find_binary",
    "foreground",
    "state_dir",
    "status",
    "stop",
]
