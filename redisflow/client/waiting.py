"""A blocking read on a connection that nothing else uses meanwhile."""

from __future__ import annotations

from typing import Any, cast

import redis
from redis.cluster import RedisCluster

from redisflow.client.connect import Handle

Argument = str | bytes | int | float


def wait_on(handle: Handle, command: tuple[Argument, ...], timeout_s: float) -> Any:
    """Send a blocking command and wait for its reply.

    Whatever goes wrong, the connection is cut: a reply that comes too late must
    not be read by somebody else.

    Raises:
        redis.TimeoutError: there was no reply in time.
    """
    if isinstance(handle, RedisCluster):
        node = handle.get_node_from_key(first_key(command))
        server = handle.get_redis_connection(node)
    else:
        server = cast(redis.Redis, handle)
    shape = server.response_callbacks.get(str(command[0]).upper())
    pool = server.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command(*command)
        if not connection.can_read(timeout_s):
            raise redis.TimeoutError("no reply to a blocking read")  # noqa: TRY301  cuts
        reply = connection.read_response()
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    # What redis-py makes of no reply differs: None here, an empty list there.
    return reply if shape is None or reply is None else shape(reply)


def first_key(command: tuple[Argument, ...]) -> Argument:
    """Find the key that says which server of a cluster to ask.

    >>> first_key(("XREAD", "BLOCK", 100, "STREAMS", "events", "$"))
    'events'
    """
    words = [str(word).upper() for word in command]
    return command[words.index("STREAMS") + 1 if "STREAMS" in words else 1]
