"""How commands are sent, by the shortest way there is; scripts to a known history.

redis-py's own way does half as much work again around it: retries, which are off, and
measurements, which nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import redis
from redis.cluster import RedisCluster
from redis.connection import ConnectionPool
from redis.exceptions import (
    AskError,
    ClusterError,
    NoScriptError,
    RedisClusterException,
    TryAgainError,
)

from redisflow.client.clusters import look_anew
from redisflow.client.connect import Handle
from redisflow.client.history import NOWHERE, Histories, Witness, compare, runner
from redisflow.client.lines import Lines
from redisflow.client.replication import Replication

#: A slot that is on its way, or on another server than redis-py believes.
_ELSEWHERE = (AskError, ClusterError, RedisClusterException, TryAgainError)


def send_script(
    handle: Handle,
    lines: Lines,
    command: tuple[Any, ...],
    witness: Witness | None,
    histories: Histories,
) -> list[Any]:
    """Send EVAL or EVALSHA, to a history that the witness of the call has confirmed.

    Args:
        handle: where to.
        lines: connections of it that are at hand.
        command: all of it; its fourth word is the first key.
        witness: of the call; None if it does not matter which history it is.
        histories: of the server.
    """
    if isinstance(handle, redis.Redis):
        return _send(handle.connection_pool, lines, command, witness, histories)
    if witness is None:
        reply: list[Any] = handle.execute_command(*command)
        return reply
    cluster = cast(RedisCluster, handle)
    return _send_to_cluster(cluster, lines, command, witness, histories)


def evaluate(
    handle: Handle,
    short: tuple[Any, ...],
    source: str,
    *,
    lines: Lines,
    witness: Witness | None,
    histories: Histories,
    replication: Replication | None,
) -> list[Any]:
    """Send an EVALSHA; where its script is unknown, the source.

    Args:
        handle: where to.
        short: the EVALSHA, all of it.
        source: the Lua text.
        lines: connections that are at hand.
        witness: as for `send_script`.
        histories: of the server.
        replication: waits for replicas, too; not in a cluster.
    """
    if replication is not None:
        one, sha, words = cast(redis.Redis, handle), short[1], short[2:]
        return replication.run(
            one, sha, source, words, witness=witness, histories=histories
        )
    try:
        return send_script(handle, lines, short, witness, histories)
    except NoScriptError:
        whole = ("EVAL", source, *short[2:])
        return send_script(handle, lines, whole, witness, histories)


def _send(
    pool: ConnectionPool,
    lines: Lines,
    command: tuple[Any, ...],
    witness: Witness | None,
    histories: Histories,
) -> list[Any]:
    connection = lines.take(pool)
    clean = False
    try:
        if witness is not None and connection.history != witness.history.server:
            compare(connection, witness, histories)
        connection.send_command(*command)
        reply: list[Any] = connection.read_response()
        clean = True
    except redis.ResponseError:
        clean = True
        raise
    finally:
        lines.give(pool, connection, clean=clean)
    return reply


def send_many(
    handle: Handle, lines: Lines, commands: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """Send plain commands together; replies in redis-py's shapes, errors among them.

    The error of a single command may be raised instead.

    Args:
        handle: where to.
        lines: connections of it that are at hand.
        commands: each complete, and none of them a script.
    """
    if not isinstance(handle, redis.Redis):
        if len(commands) == 1:  # the only way for those without a key
            return [handle.execute_command(*commands[0])]
        with handle.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            found: list[Any] = pipeline.execute(raise_on_error=False)
            return found
    pool = handle.connection_pool
    connection = lines.take(pool)
    clean = False
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        replies = [_reply(connection) for _ in commands]
        clean = True
    finally:
        lines.give(pool, connection, clean=clean)
    return [
        _shaped(handle, command[0], reply)
        for command, reply in zip(commands, replies, strict=True)
    ]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _shaped(handle: redis.Redis, name: str, reply: Any) -> Any:
    shape = handle.response_callbacks.get(name.upper())
    return reply if shape is None or isinstance(reply, Exception) else shape(reply)


def _send_to_cluster(
    handle: RedisCluster,
    lines: Lines,
    command: tuple[Any, ...],
    witness: Witness,
    histories: Histories,
) -> list[Any]:
    """Send a script to the server of its slot, as far as redis-py knows it.

    redis-py would follow the slot to another server, whose history nobody has looked
    at, without a word. So this is sent to the known one; only where that says that the
    slot is elsewhere redis-py is asked to find it, first for the witness.
    """
    key = command[3]
    node: Any = None  # redis-py's types do not tell
    try:
        node = handle.get_node_from_key(key)
        server = handle.get_redis_connection(node)
        return _send(server.connection_pool, lines, command, witness, histories)
    except _ELSEWHERE:
        pass
    except (redis.ConnectionError, redis.TimeoutError):
        with suppress(redis.RedisError, RedisClusterException):
            look_anew(handle, node)
        raise
    witness.confirm(runner(handle.execute_command))
    witness.history.server = NOWHERE  # it may have been any server
    reply: list[Any] = handle.execute_command(*command)
    return reply
