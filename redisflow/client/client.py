"""`Client`: calls to one server or cluster, sent again until their deadline.

The first attempt is a plain call. Only when it fails does `Attempts` come in,
which waits, counts and judges the further ones.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, NoScriptError

from redisflow.client import examining
from redisflow.client.attempts import Attempts
from redisflow.client.connect import Handle
from redisflow.client.examining import Report, ServerInfo
from redisflow.client.faults import REDIS_ERRORS, judge, reply_text
from redisflow.client.history import Histories, Witness
from redisflow.client.link import Link
from redisflow.client.replication import Replication
from redisflow.client.sending import evaluate, send_many, send_script
from redisflow.client.waiting import Argument, first_key, wait_on
from redisflow.config import Config
from redisflow.errors import Outcome, Unavailable

T = TypeVar("T")

#: How much later than the server's own timeout a blocking read may end.
BLOCK_MARGIN_S = 2.0


class Client:
    """Connections to one server or cluster; any number of threads may share it.

    >>> with Client(parse_url("redis://db1")) as client:  # doctest: +SKIP
    ...     client.execute("HGET", "redisflow:{F}:flow", "state")
    b'RUNNING'

    Args:
        config: which server, and how to talk to it.

    Attributes:
        config: the same.
        namespace: what every key begins with.

    Raises:
        ConfigError: a connection option that redis-py does not have.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.namespace = config.namespace
        self._link = Link(config, Histories())

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.config.safe_url()!r})"

    @property
    def histories(self) -> Histories:
        """Those of its server; siblings share them."""
        return self._link.histories

    @property
    def steady_since(self) -> float:
        """Since when the server answers without a break, on the local clock.

        Before that it was away, stood still, or was not asked by this client for a
        while.
        """
        return self._link.steady_since

    def run_script(
        self,
        sha: str,
        source: str,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        again: Callable[[Outcome], Sequence[Argument]] | None = None,
        deadline_s: float | None = None,
        replication: Replication | None = None,
        witness: Witness | None = None,
    ) -> list[Any]:
        """Run a script by its sha; where the server lacks it, by its source.

        It may run more than once: a lost reply does not tell whether it ran.

        Args:
            sha: SHA-1 of the source, in hex.
            source: the Lua text.
            keys: KEYS; in a cluster all of one slot.
            args: ARGV.
            again: gives ARGV for a further sending, told what became of the one before;
                the same by default.
            deadline_s: for how long to go on trying; the client's own by default.
            replication: waits for replicas, too; not in a cluster.
            witness: asked first where the server is of another history than it knows.

        Raises:
            Unavailable: not reached, not ready, or not replicated until the deadline.
            Refused: reached, and it said no.
            ServerError: any other error, the script's own included.
        """
        short = ("EVALSHA", sha, len(keys), *keys, *args)
        link = self._link
        lines, histories = link.lines, link.histories
        started = monotonic()
        failed: Exception | None = None
        if replication is None and (handle := link.handle) is not None:
            try:
                reply = send_script(handle, lines, short, witness, histories)
                return link.answered(reply, started)
            except NoScriptError:
                pass
            except Exception as error:  # noqa: BLE001  _again raises it
                failed = error

        def send(handle: Handle) -> list[Any]:
            nonlocal short, failed
            if failed is not None and again is not None:
                fault = judge(failed, sent=True, seen=True)
                short = (*short[: 3 + len(keys)], *again(fault.outcome))
            try:
                return evaluate(
                    handle,
                    short,
                    source,
                    lines=lines,
                    witness=witness,
                    histories=histories,
                    replication=replication,
                )
            except Exception as error:
                failed = error
                raise

        if replication is not None:
            return self._run(send, deadline_s)
        return self._again(send, failed, started, deadline_s)

    def execute(self, *command: Argument, deadline_s: float | None = None) -> Any:
        """Run one command; it may run more than once, like a script.

        Replies are bytes, in redis-py's shapes (``HGETALL`` a dict, …).

        Raises:
            Unavailable: not reached, or not ready, until the deadline.
            Refused: reached, and it said no.
            ServerError: any other error.
        """
        return self.execute_many([command], deadline_s=deadline_s)[0]

    def execute_many(
        self,
        commands: Sequence[tuple[Argument, ...]],
        *,
        deadline_s: float | None = None,
    ) -> list[Any]:
        """Run plain commands (no scripts) in one round trip per server.

        They are not a transaction: some may be done and others not, and after a
        lost reply all are sent again.

        Returns:
            Their replies, in order.

        Raises:
            Unavailable: not reached, or not ready, until the deadline.
            Refused: one of them was refused.
            ServerError: any other error of any of them.
        """
        lines = self._link.lines

        def send(handle: Handle) -> list[Any]:
            replies = send_many(handle, lines, commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            return replies

        return self._run(send, deadline_s) if commands else []

    def now_ms(self) -> int:
        """Ask the server's clock, by which all times in Redis are: milliseconds."""
        seconds, microseconds = self.execute("TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    def block(self, *command: Argument, block_s: float) -> Any:
        """Wait for a hint, on a connection that nothing else uses meanwhile.

        >>> client.block("BLPOP", key, 5, block_s=5)  # doctest: +SKIP

        Args:
            command: a blocking command, complete with its own timeout.
            block_s: that timeout, more than 0.

        Returns:
            The reply; None for whatever else ends the wait: the timeout, a server
            that is away or not the primary, `close`. A hint can be lost.

        Raises:
            Unavailable: the client was closed before, or cannot ever connect.
            Refused: the server does not allow it.
            ServerError: the key is of another type, for instance.
        """
        until = monotonic() + block_s
        link = self._link
        handle = link.handle
        try:
            handle = handle or link.open()
            return wait_on(handle, command, until + BLOCK_MARGIN_S - monotonic())
        except Exception as error:
            if handle is not None and link.closing.is_set():
                return None  # redis-py trips over connections that others close
            if reply_text(error).startswith("UNBLOCKED"):
                return None
            if not isinstance(error, REDIS_ERRORS):
                raise
            moved = isinstance(error, AskError) and isinstance(handle, RedisCluster)
            fault = link.judge(error, sent=handle is not None)
            if not (fault.passing or moved):
                address = self.config.address
                raise fault.error(address, fault.outcome, block_s) from error
        if moved:
            self.execute("EXISTS", first_key(command))  # it finds the slot's server
        # Whoever loops over hints must not spin while the server is away.
        pause_s = random.uniform(0.05, 0.25)  # noqa: S311  no secret
        link.closing.wait(max(0.0, min(until - monotonic(), pause_s)))
        return None

    def scan(self, match: str) -> Iterator[bytes]:
        """Yield the keys that match a pattern, from all primaries.

        As with SCAN, a key can come twice, and one that is made or deleted
        meanwhile may come or not.

        Raises:
            Unavailable: not reached, or not ready, until the deadline.
        """
        for node in self._run(_primaries, None):
            cursor = 0
            while True:
                command = ("SCAN", cursor, "MATCH", match, "COUNT", 1000)
                cursor, found = (
                    self.execute(*command)
                    if node is None
                    else self._run(_scan_of(node, command), None)
                )
                yield from found
                if not cursor:
                    break

    def server_info(self) -> ServerInfo | None:
        """Ask the server what it is; None if the user may not ask.

        In a cluster one of the primaries answers.
        """
        return next(iter(self._run(examining.look, None)), None)

    def reports(self, *sections: str) -> list[Mapping[str, Any]]:
        """Ask each primary for sections of INFO; an empty list if the user may not."""
        return self._run(lambda handle: examining.reports(handle, *sections), None)

    def examine(self, sections: Sequence[str], settings: Sequence[str]) -> list[Report]:
        """Ask each primary for sections of INFO and for settings, as far as it tells.

        It is not refused for what it is, here and in later calls: that is for who asks.
        """
        self._link.examined = True
        return self._run(
            lambda handle: examining.examine(handle, sections, settings), None
        )

    def sibling(self, *, timeout_s: float | None = None) -> Client:
        """Make another client of the same server, with connections of its own.

        Args:
            timeout_s: how long it waits for a reply at most, if that is shorter.
        """
        config = self.config
        if timeout_s is not None:
            before = self._link.timeout_s
            timeout_s = timeout_s if before is None else min(before, timeout_s)
            options = {**config.options, "socket_timeout": timeout_s}
            config = dataclasses.replace(config, options=options)
        other = Client(config)
        other._link = Link(config, self.histories)
        other._link.seen = self._link.seen
        return other

    def close(self) -> None:
        """Disconnect, and wake whoever waits; there is no way back."""
        self._link.close()

    def _run(self, operation: Callable[[Handle], T], deadline_s: float | None) -> T:
        link, started = self._link, monotonic()
        failed: Exception | None = None
        if (handle := link.handle) is not None:
            try:
                return link.answered(operation(handle), started)
            except Exception as error:  # noqa: BLE001  _again raises it
                failed = error
        return self._again(operation, failed, started, deadline_s)

    def _again(
        self,
        operation: Callable[[Handle], T],
        failed: Exception | None,
        started: float,
        deadline_s: float | None,
    ) -> T:
        """Make the further attempts of a call, or its first where nobody connected."""
        link, sent = self._link, failed is not None

        def attempt() -> T:
            nonlocal sent
            sent = False
            handle = link.handle or link.open()
            sent = True
            return operation(handle)

        limit_s = self.config.deadline_s if deadline_s is None else deadline_s
        attempts = Attempts(
            attempt,
            lambda error: link.judge(error, sent=sent),
            deadline=started + limit_s,
            closing=link.closing,
            failed=failed,
        )
        try:
            return attempts.run()
        except Exception as error:
            if link.closing.is_set():
                # redis-py trips over connections that another thread closes.
                outcome: Outcome = "unknown" if sent else attempts.outcome
                raise Unavailable("the client was closed", outcome=outcome) from error
            if attempts.fault is None or not isinstance(error, REDIS_ERRORS):
                raise
            waited_s = monotonic() - started
            address = self.config.address
            raise attempts.fault.error(address, attempts.outcome, waited_s) from error


def _primaries(handle: Handle) -> list[ClusterNode | None]:
    return list(handle.get_primaries()) if isinstance(handle, RedisCluster) else [None]


def _scan_of(
    node: ClusterNode, command: tuple[Argument, ...]
) -> Callable[[Handle], tuple[int, list[bytes]]]:
    def scan(handle: Handle) -> tuple[int, list[bytes]]:
        cursors, found = handle.execute_command(*command, target_nodes=node)
        return int(next(iter(cursors.values()))), found

    return scan
