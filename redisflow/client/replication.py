"""Scripts whose changes are to be on replicas, too, before they count as made.

WAIT tells how many replicas have all that its own connection has written: it is sent
right behind the script, in the same packet, so that both cost one round trip and the
slowest replica. A script that ran but was not confirmed in time is neither done nor
failed: the caller sends it again, as after a lost reply, until its deadline.

What was confirmed is lost only together with the replicas that confirmed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

import redis
from redis.exceptions import NoScriptError

from redisflow.client.history import Histories, Witness, compare

#: How long one WAIT waits at most, in seconds; never longer than half of what the
#: socket waits for a reply.
_WAIT_S = 1.0

#: For how long the number of connected replicas is believed, in seconds.
_BELIEVED_S = 5.0


class NotReplicated(redis.RedisError):
    """A script ran, and not enough replicas have confirmed it."""


class Replication:
    """Runs scripts on one server and waits for its replicas.

    Args:
        replicas: how many have to confirm; None for every connected one, and at least
            one.
    """

    def __init__(self, replicas: int | None = None) -> None:
        self._asked_for = replicas
        self._connected = 0
        self._looked_at = -_BELIEVED_S

    def run(
        self,
        handle: redis.Redis,
        sha: str,
        source: str,
        words: Sequence[Any],
        *,
        witness: Witness | None,
        histories: Histories,
    ) -> list[Any]:
        """Run a script, and wait until it is replicated.

        Args:
            handle: where.
            sha: of the script.
            source: its text.
            words: what follows in the command.
            witness: of the call, see `Client.run_script`.
            histories: of the server.

        Raises:
            NotReplicated: it ran, and was not confirmed in time.
            RedisError: it failed, or its reply was lost.
        """
        pool = handle.connection_pool
        connection = pool.get_connection()
        clean = False
        try:
            if witness is not None:
                compare(connection, witness, histories)
            wanted = self._wanted(connection)
            try:
                reply, count = _send(connection, ("EVALSHA", sha, *words), wanted)
            except NoScriptError:
                reply, count = _send(connection, ("EVAL", source, *words), wanted)
            if count < wanted:
                self._looked_at = -_BELIEVED_S
                wanted = self._wanted(connection)
            clean = True
        except redis.ResponseError:
            clean = True
            raise
        finally:
            if not clean:  # nobody is to read what was meant for this call
                connection.disconnect()
            pool.release(connection)
        if count < wanted:
            raise NotReplicated(f"{count} of {wanted} replicas have confirmed")
        confirmed: list[Any] = reply
        return confirmed

    def _wanted(self, connection: Any) -> int:
        if self._asked_for is not None:
            return self._asked_for
        if monotonic() - self._looked_at > _BELIEVED_S:
            connection.send_command("INFO", "replication")
            self._connected = _connected(connection.read_response())
            self._looked_at = monotonic()
        return max(1, self._connected)


def _send(connection: Any, command: tuple[Any, ...], wanted: int) -> tuple[Any, int]:
    """Send a script and WAIT together; read both replies, whatever the first is."""
    timeout_s = connection.socket_timeout
    wait_s = _WAIT_S if timeout_s is None else min(_WAIT_S, timeout_s / 2)
    commands = [command, ("WAIT", wanted, int(1000 * wait_s))]
    connection.send_packed_command(connection.pack_commands(commands))
    try:
        reply = connection.read_response()
    except redis.ResponseError:
        connection.read_response()
        raise
    return reply, int(connection.read_response())


def _connected(info: bytes) -> int:
    """Count the replicas that INFO calls online."""
    lines = info.decode(errors="replace").splitlines()
    return sum(line.startswith("slave") and "state=online" in line for line in lines)
