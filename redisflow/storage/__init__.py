"""TaskFlow's Storage for a flow that many processes share.

`Storage` has the methods of ``taskflow.storage.Storage``, with their meaning and
their exceptions. What differs is where the truth is:

* Every write is one script, one round trip, and atomic: it compares and sets on the
  server. Two processes cannot both win, and neither overwrites what the other added.
* Every read shows the flow as it is now, whoever changed it: it first asks what has
  changed since the last one (one round trip, at a cost of what changed). Results are
  fetched when they are wanted, not before.
* The first result of a round wins; a later one from another `Storage` raises
  `StaleToken` and changes nothing.

``mirror`` keeps this process's copy, `Storage` is the rest. When Redis is away, calls
raise `Unavailable` once the client's deadline has passed; its ``outcome`` tells
whether the write may have been made, and to repeat it is always safe.

Failures raised in this process are returned with their tracebacks; those of other
processes come back as TaskFlow's failures do from any backend, as text.
"""

from __future__ import annotations

from redisflow.storage.atoms import META_PROGRESS
from redisflow.storage.mirror import Mirror
from redisflow.storage.results import keep_raised, put
from redisflow.storage.storage import Storage

__all__ = ["META_PROGRESS", "Mirror", "Storage", "keep_raised", "put"]
