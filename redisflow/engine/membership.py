"""Membership in a flow: an id, a lease, a heartbeat, and watching over the others.

The heartbeat renews the lease on a connection of its own. It also hears when the next
lease of another worker ends, and is there at that moment: a worker that has not renewed
by then is dead, and what it held goes back to the flow. While renewals here have not
been steady for half a lease nobody is declared dead: it may be the server that stood
still.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable

from redisflow import lease, observing
from redisflow.codec import failure_from
from redisflow.errors import CorruptKey, WorkerLost
from redisflow.persistence.sweeping import sweep, sweep_lapsed
from redisflow.scripts import FlowScripts
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

#: How long to go on trying to say goodbye, in seconds.
_GOODBYE_S = 2.0


class Membership:
    """One process among the workers of one flow.

    Args:
        storage: the flow.
        run: the run that it takes part in.
        lease_s: how long others wait before they take its work over.
        max_attempts: how many workers an atom may cost before it fails.
        tag: makes the id known beforehand to whoever started this process.

    Attributes:
        id: names this worker: host, pid and a random part.
        lease_ms: length of its lease, for the scripts.
        swept: called, from the heartbeat's thread, when there is something to look at:
            dead workers were found, or this one was forgotten, or the server is not
            the one that it was.
        busy: asked, from that thread, whether a task is under way here: no run ends
            before its result is recorded, unless it was taken back.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        run: int,
        lease_s: float,
        max_attempts: int,
        tag: str | None,
    ) -> None:
        self.id = worker_id(os.getpid(), tag or secrets.token_hex(4))
        self.lease_ms = int(lease_s * 1000)
        self.swept: Callable[[], object] = lambda: None
        self.busy: Callable[[], bool] = lambda: False
        self._storage = storage
        self._run = run
        self._max_attempts = max_attempts
        self._lease_s = lease_s
        self._lease = self._new_lease()
        self._scripts = storage.backend.scripts_of(storage.flow_uuid)
        self._wake_key = self._scripts.keys.wake(self.id)
        self._heart: FlowScripts | None = None
        self._epoch = 0
        self._damage: CorruptKey | None = None

    def keep(self) -> None:
        """Renew the lease from now on, also after it was lost."""
        if self._heart is None:
            # Renewals wait for a server that stands still no longer than they may.
            client = self._storage.backend.client.sibling(timeout_s=self._lease_s / 3)
            self._heart = FlowScripts(client, self._scripts.keys)
            self._epoch = self._heart.history.epoch
        elif not self._lease.lost.is_set():
            return
        self._lease = self._new_lease()
        lease.keep(self._lease)

    def _new_lease(self) -> lease.Lease:
        config = self._storage.backend.config
        # In a cluster flows are on many servers, one of which may stand still.
        apart = f" {self._storage.flow_uuid}" if config.kind == "cluster" else ""
        server = config.address + apart
        return lease.Lease(
            self._beat,
            lease_s=self._lease_s,
            server=server,
            unheard=False,
            on_lost=self._tell_lost,
        )

    def _tell_lost(self) -> None:
        about = {"flow": self._storage.flow_uuid, "worker": self.id}
        logger.warning("the lease of worker %s was lost", self.id, extra=about)
        observing.tell("lost_lease", self._storage.flow_uuid, self.id)

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be over."""
        return self._lease.lost.is_set()

    def leave(self, *, charged: bool = False) -> None:
        """Say goodbye; what is still held goes back to the others.

        Args:
            charged: this process ends for what it holds, which is charged with it as
                with the death of a worker: it might end all others, too.
        """
        lease.drop(self._lease)
        more = 0 if charged else 1
        try:
            if charged:
                sweep_dead(self._scripts, self._storage, self.id, self._max_attempts)
            while more:  # not for long: if the server is away, the lease says it
                reply = self._scripts.call(
                    "worker_leave", worker=self.id, deadline_s=_GOODBYE_S
                )
                more = reply.fields[1]
            self._storage.backend.client.execute("DEL", self._wake_key)
        finally:
            self._close_heart()

    def forget(self) -> None:
        """Stop renewing the lease of a run that is over."""
        lease.drop(self._lease)
        self._close_heart()

    def wait(self, block_s: float) -> bool:
        """Wait for a wake-up hint; returns whether one came."""
        client = self._storage.backend.client
        block_s = max(block_s, 0.01)
        return (
            client.block("BLPOP", self._wake_key, block_s, block_s=block_s) is not None
        )

    def sweep(self, *, needless: Callable[[], bool] = lambda: False) -> None:
        """Take back what those hold whose lease is over, once they had time for it.

        Args:
            needless: asked meanwhile: whether it is to be left.
        """
        sweep_lapsed(
            self._scripts,
            max_attempts=self._max_attempts,
            payload=_too_many(self._storage, self._max_attempts),
            needless=needless,
        )
        self._storage.mirror.suspect()

    def check(self) -> None:
        """Tell whoever takes work of damage that only the heartbeat has met.

        Raises:
            CorruptKey: the lease cannot be renewed, or the dead not be swept.
        """
        if self._damage is not None:
            raise self._damage

    def _beat(self) -> float | bool:
        """Renew the lease, and note what keeps that from being done."""
        try:
            again_s = self._renew()
        except CorruptKey as error:
            self._damage = error
            self.swept()
            raise
        self._damage = None
        return again_s

    def _renew(self) -> float | bool:
        """Renew the lease, and sweep once another's is over."""
        heart = self._heart
        if heart is None:
            return False
        reply = heart.call(
            "worker_heartbeat",
            run=self._run,
            worker=self.id,
            lease_ms=self.lease_ms,
            deadline_s=self._lease_s / 3,
        )
        if reply.status == "ENDED" and not self.busy():
            self.swept()
            return self._lease_s
        if reply.status in ("ENDED", "LOST"):
            self._lease.lose()
            self.swept()
            return False
        if self._epoch != heart.history.epoch:
            self._epoch = heart.history.epoch
            self.swept()
        wait_s: float = reply.fields[0] / 1000
        if wait_s < 0:
            return self._lease_s
        if wait_s == 0 and self._lease.steady:
            sweep_dead(heart, self._storage, "", self._max_attempts)
            self.swept()
        return max(wait_s, self._lease_s / 20)

    def _close_heart(self) -> None:
        if self._heart is not None:
            self._heart.client.close()
            self._heart = None


def worker_id(pid: int, tag: str) -> str:
    """Name the worker of a process: host, pid and a random part."""
    return f"{os.uname().nodename[:24]}:{pid}:{tag}"


def sweep_dead(
    scripts: FlowScripts, storage: Storage, dead: str, max_attempts: int
) -> None:
    """Take back at once what one holds that is dead, or, "": all whose lease is over.

    An atom that has cost ``max_attempts`` workers fails.
    """
    payload = _too_many(storage, max_attempts)
    sweep(scripts, dead, max_attempts=max_attempts, payload=payload)
    storage.mirror.suspect()


def _too_many(storage: Storage, max_attempts: int) -> bytes:
    """Encode the failure of an atom that has cost as many workers as it may."""
    lost = WorkerLost(f"this atom has cost {max_attempts} workers, as many as it may")
    return storage.backend.codec.encode_failure(failure_from(lost))
