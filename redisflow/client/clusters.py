"""Clusters of which one server stands still: the others are asked.

redis-py asks for the table of all commands whenever a handle is made, and asks one
server alone. Were that the one that stands still, no heartbeat of this process could be
begun, and leases on all other servers were lost.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import redis
from redis.cluster import ClusterNode, NodesManager, RedisCluster

#: The tables of this process, by where the cluster is.
_commands: dict[tuple[str, ...], dict[str, Any]] = {}

_ASKS_LAST = (
    "last_failed_node_name" in inspect.signature(NodesManager.initialize).parameters
)


class Cluster(RedisCluster):
    """redis-py's handle of a cluster, whose commands any of its servers tells.

    Args:
        nodes: where it begins to look for the others.
        options: of redis-py.
    """

    def __init__(self, nodes: Sequence[ClusterNode], **options: Any) -> None:
        self._begins_at = tuple(node.name for node in nodes)
        super().__init__(startup_nodes=list(nodes), **options)

    def command(self, **_options: Any) -> dict[str, Any]:
        """Give the table of commands, which is asked for once in a process."""
        known = _commands.get(self._begins_at)
        if known is None:
            known = _commands[self._begins_at] = self._ask_for_commands()
        return dict(known)

    def _ask_for_commands(self) -> dict[str, Any]:
        failed: Exception = redis.ConnectionError("no server of the cluster is known")
        for node in self.get_primaries():  # type: ignore[no-untyped-call]  # redis-py's
            try:
                found: dict[str, Any] = self.get_redis_connection(node).execute_command(
                    "COMMAND"
                )
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failed = error
            else:
                return found
        raise failed


def look_anew(handle: RedisCluster, failed: ClusterNode) -> None:
    """Ask who has which slots now, and the server that has failed last of all.

    Raises:
        RedisError: nobody answers.
        RedisClusterException: likewise.
    """
    last: Any = {"last_failed_node_name": failed.name} if _ASKS_LAST else {}
    handle.nodes_manager.initialize(**last)
    if handle.get_default_node() == failed:
        handle.replace_default_node()
