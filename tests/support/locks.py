"""A lock driven by its scripts alone, and what its keys say of it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from redisflow.client import Client
from redisflow.keys import LockKeys
from redisflow.scripts import Script, Scripts, catalogue
from tests.support.flow_view import FlowView


class ScriptedLock:
    """One lock; owners are named as the test likes.

    Args:
        client: where the scripts run.
        keys: of the lock.

    Attributes:
        now_ms: what the server's clock says, for the scripts; its own time if None.
    """

    def __init__(self, client: Client, keys: LockKeys) -> None:
        self.client = client
        self.keys = keys
        self.scripts = Scripts(client, keys)
        self.now_ms: int | None = None

    @classmethod
    def of(cls, flow: FlowView) -> ScriptedLock:
        """Drive the lock of a flow."""
        return cls(flow.client, flow.keys)

    def call(self, name: str, /, **args: Any) -> list[Any]:
        """Run a script, at the test's time if it has one; answers in text."""
        scripts = self.scripts
        if self.now_ms is not None:
            scripts = Scripts(self.client, self.keys)
            script = at_time(catalogue()[name], self.now_ms)
            scripts._bound[name] = scripts._bind(name)._replace(script=script)
        if "sent" in args:
            args["deadline_s"] = 0.0
        reply = scripts.call(name, **args)
        return [reply.status, *(_text(field) for field in reply.fields)]

    def acquire(
        self,
        owner: str,
        does: str = "writes",
        *,
        lease_ms: int = 60_000,
        wait_ms: int = 60_000,
        **sent: str,
    ) -> list[Any]:
        """Enter, or wait."""
        return self.call(
            "lock_acquire",
            does=does,
            owner=owner,
            who=f"host 7 thread of {owner}",
            lease_ms=lease_ms,
            wait_ms=wait_ms,
            **sent,
        )

    def release(self, owner: str, *, keep_ms: int = 0, **sent: str) -> str:
        """Leave; returns the status."""
        return str(self.call("lock_release", owner=owner, keep_ms=keep_ms, **sent)[0])

    def extend(
        self, owner: str, *, lease_ms: int = 60_000, fence: int | None = None
    ) -> list[Any]:
        """Renew; the lease of the last writer, unless another fence is given."""
        fence = self.fence if fence is None else fence
        return self.call("lock_extend", owner=owner, lease_ms=lease_ms, fence=fence)

    def break_holders(self, script: str = "lock_break") -> list[Any]:
        """Take the lock away from all who hold it."""
        holders = self.call("lock_list")[3]
        rest = [part for row in holders for part in (row[0], row[2])]
        return self.call(script, rest=rest, who="operator", reason="stuck")

    @property
    def fields(self) -> dict[str, str]:
        """The hash of the lock."""
        found = self.client.execute("HGETALL", self.keys.lock)
        return {name.decode(): value.decode() for name, value in found.items()}

    @property
    def fence(self) -> int:
        """The fence of the last writer."""
        return int(self.fields["fence"])

    @property
    def writer(self) -> str:
        """Who writes, or ""."""
        fields = self.fields
        return fields["writer"] if fields["held"] == "write" else ""

    @property
    def readers(self) -> list[str]:
        """Who reads, in the order of their names."""
        return sorted(self._members(self.keys.lock_readers))

    @property
    def queue(self) -> list[str]:
        """Who waits, in order."""
        return self._members(self.keys.lock_queue)

    @property
    def owners(self) -> dict[str, str]:
        """What is noted of those who read or wait."""
        found = self.client.execute("HGETALL", self.keys.lock_owners)
        return {
            name.decode(): value.decode()
            for name, value in found.items()
            if name != b"-"
        }

    @property
    def inside(self) -> list[str]:
        """Who holds the lock."""
        return [self.writer] if self.writer else self.readers

    def woken(self, owner: str) -> bool:
        """Whether a hint waits for somebody."""
        return bool(self.client.execute("EXISTS", self.keys.lock_wake(owner)))

    def hints(self, owner: str) -> list[str]:
        """The hints that wait for somebody."""
        found = self.client.execute("LRANGE", self.keys.lock_wake(owner), 0, -1)
        return [hint.decode() for hint in found]

    def lapse(self, owner: str) -> None:
        """Let the lease of a holder be over, or a waiter not have been heard of."""
        if self.writer == owner:
            self.client.execute("HSET", self.keys.lock, "deadline", 1)
        elif owner in self.readers:
            self.client.execute("ZADD", self.keys.lock_readers, "XX", 1, owner)
        else:
            does, since, _deadline, rest = self.owners[owner].split(" ", 3)
            text = f"{does} {since} 1 {rest}"
            self.client.execute("HSET", self.keys.lock_owners, owner, text)

    def _members(self, key: str) -> list[str]:
        found = self.client.execute("ZRANGE", key, 0, -1)
        return [member.decode() for member in found if member != b"-"]


def at_time(script: Script, now_ms: int) -> Script:
    """Make a script that takes the server's clock to say this."""
    clock = f"{{{now_ms // 1000}, {now_ms % 1000 * 1000}}}"
    source = script.source.replace("redis.call('TIME')", clock)
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return dataclasses.replace(script, source=source, sha=sha)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_text(part) for part in value]
    return value
