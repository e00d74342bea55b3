"""The one door to the server: connections, sending again, and what errors mean.

Only this package imports redis-py and tenacity.

* **One loop of retries, ours.** redis-py sends a command again by itself, up to
  ten times and in silence; here that is switched off on every connection. A
  `Client` sends again until a deadline, with growing random pauses, and only on
  errors that can pass: a lost connection, a server that loads, fails over, is
  busy or moves a slot. A script may therefore run twice for one call. All
  scripts of ours are made for that, and so must be every command given to
  `Client.execute` and `Client.execute_many`.
* **Errors say what became of the change.** `Unavailable`: not reached, or not
  ready, until the deadline. `Refused`: reached, and it said no (password, ACL,
  memory, version, eviction). Their ``outcome`` is "unknown" as soon as one
  attempt lost its reply. Any other error reply is a `ServerError` with its text;
  what it means is the caller's to say.
* **The first use looks at the server**: its version, and that it does not evict
  keys. Making a `Client` does no I/O.
* **A script that changes a flow runs in a history that is known.** Each connection
  learns from which life of which server it comes; see `redisflow.client.history`.
* **Blocking reads are hints.** `Client.block` has a connection for itself and
  answers None whenever there is nothing to tell, a lost connection included.
* **After a fork** the child makes connections of its own. After `close` every
  call raises `Unavailable`, and those that wait end at once.

A call can outlive its deadline by one socket timeout (5 s unless configured),
when the server stays silent. The embedded server is started again whenever it
is found gone.

::

    call ── first attempt ──────────────────────────────► reply
               │ can pass                                  ▲
               └─► pause ─► attempt ─► … until deadline ───┤
               │ cannot pass                               │ too late
               └─► Refused, ServerError                    └─► Unavailable
"""

from __future__ import annotations

from redisflow.client.client import Client
from redisflow.client.examining import OLDEST, Report, ServerInfo
from redisflow.client.faults import ServerError
from redisflow.client.history import History, Run, Witness
from redisflow.client.link import SILENT_S
from redisflow.client.outages import Outage
from redisflow.client.replication import Replication

__all__ = [
    "OLDEST",
    "SILENT_S",
    "Client",
    "History",
    "Outage",
    "Replication",
    "Report",
    "Run",
    "ServerError",
    "ServerInfo",
    "Witness",
]
