"""A reader-writer lock between threads, processes and hosts.

`fasteners.ReaderWriterLock`'s methods and thread semantics, with leases::

    lock = redisflow.ReaderWriterLock(backend, "reports")
    with lock.write_lock(timeout=5):
        ...
        lock.check()  # raises LeaseLost once others may be in

* **Owners are threads.** A thread that reads may read again, also while writers wait;
  a writer may write again and read; a reader may not begin to write. Depth is counted
  here, the server knows only owner -> deadline: what is sent twice has one effect. All
  lock objects of a name share it. The child of a fork owns nothing of its parent's.
* **One queue.** Readers and writers enter in the order of their tickets, consecutive
  readers together. Scripts let in whoever may enter, for three of its looks; a hint
  that names its ticket and fence wakes it, and it is in without asking again. Since a
  hint can be lost it also looks by itself, once a second or five times in a lease.
* **Leases.** The heartbeat thread renews them. A process, or a thread, that dies in its
  section is renewed no longer; at the end of its lease the next one enters. A waiter
  that dies costs the others at most three such looks.
* **A lost lease is told, and harmless.** `lost` is set, `on_lost` called, `check`
  raises, and so does the end of the section unless another exception is on its way.
  Each exclusive grant has a new ``fence``, greater than all before: a script that
  changes the flow carries it, and is refused if it is not the current one.
* Where the server cannot be reached, the lock is not had (`Unavailable`). A release
  that does not get through is left to the lease.

::

                ┌─────────── timeout, interrupt ──► nothing held
    acquire ─► queue ─► granted ─► held ─► release ─► next in the queue
                ▲         │         └─ lease over, or taken away ─► lost
                └─────────┘ hint lost, or read too late, and not confirmed in time
"""

from __future__ import annotations

from redisflow.rwlock.flow import FlowLock, flow_scripts
from redisflow.rwlock.lock import ReaderWriterLock
from redisflow.rwlock.owners import LockOwner

__all__ = ["FlowLock", "LockOwner", "ReaderWriterLock", "flow_scripts"]
