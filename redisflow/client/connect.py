"""Handles of redis-py, made from a `Config`.

A handle is redis-py's client of one server (by host, socket or sentinels) or of
a cluster. All of them are made with no retries of redis-py's own, with replies
as bytes, and named in the server's list of clients, if the user may do that.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import REDIS_ALLOWED_KEYS, ClusterNode, RedisCluster
from redis.connection import (
    URL_QUERY_ARGUMENT_PARSERS,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from redisflow.client import tls
from redisflow.client.clusters import Cluster
from redisflow.client.faults import NoSentinel
from redisflow.client.history import Histories
from redisflow.client.packing import packer
from redisflow.config import Config
from redisflow.errors import ConfigError

LOG = logging.getLogger(__name__)


class Handle(Protocol):
    """What redis-py's two kinds of client have in common."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and read its reply."""

    def pipeline(self, transaction: Any = ...) -> Any:
        """Collect commands, to send them together."""

    def close(self) -> None:
        """Disconnect."""


SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0

#: Threads that wait hold a connection each; the server's own limit is 10,000.
MAX_CONNECTIONS = 1000
_FEWEST_CONNECTIONS = 2

_CONNECTIONS: Mapping[str, type] = {
    "tcp": Connection,
    "tls": SSLConnection,
    "unix": UnixDomainSocketConnection,
    "embedded": UnixDomainSocketConnection,
}

#: Options that are set here and nowhere else: names, retries and replies.
_OURS = frozenset(
    {
        *("self", "host", "port", "path", "db", "username", "password", "retry"),
        *("retry_on_timeout", "retry_on_error", "decode_responses", "parser_class"),
        *("redis_connect_func", "command_packer", "legacy_responses", "kwargs"),
        *("maint_notifications_config", "event_dispatcher", "himport_registry"),
    }
)
#: How the values of options are read from a URL.
_READERS = {**URL_QUERY_ARGUMENT_PARSERS, "ssl_min_version": tls.version_of}


def options_of(config: Config, histories: Histories) -> dict[str, Any]:
    """Convert the options of a configuration as redis-py does, and complete them.

    Args:
        config: has them.
        histories: told of each server that a connection is made to.

    Raises:
        ConfigError: an option that redis-py does not have, a value it cannot read, or
            a file or cipher of TLS that cannot be used.
    """
    options = _given(config)
    most = options["max_connections"]
    if not isinstance(most, int) or most < _FEWEST_CONNECTIONS:
        least = _FEWEST_CONNECTIONS
        raise ConfigError(
            f"max_connections {most!r}: a number, {least} at least: one is for waiting"
        )
    if config.tls:
        tls.check(options)
    name = options.pop("client_name", "redisflow")
    options["redis_connect_func"] = functools.partial(_greet, name, histories)
    if config.username is not None:
        options["username"] = config.username
    if config.password is not None:
        options["password"] = config.password
    if _HAS_MAINTENANCE:
        options["maint_notifications_config"] = _no_maintenance()
    return options


def _given(config: Config) -> dict[str, Any]:
    known = _known_options(config.kind, config.tls)
    options: dict[str, Any] = {
        "socket_timeout": min(SOCKET_TIMEOUT_S, config.deadline_s),
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "max_connections": MAX_CONNECTIONS,
    }
    for name, value in config.options.items():
        if name not in known:
            raise ConfigError(f"{name}: no setting, and no option of {config.address}")
        read: Any = _READERS.get(name)
        try:
            options[name] = read(value) if read and isinstance(value, str) else value
        except ValueError:
            raise ConfigError(f"{name} {value!r}: redis-py cannot read it") from None
    return options


def _known_options(kind: str, tls: bool) -> set[str]:  # noqa: FBT001  as in Config
    cls = _CONNECTIONS.get(kind) or (SSLConnection if tls else Connection)
    known = {"max_connections"}
    for base in cls.__mro__[:-1]:
        known |= inspect.signature(base).parameters.keys()
    if kind == "cluster":
        known &= set(REDIS_ALLOWED_KEYS)
    return {name for name in known - _OURS if not name.startswith(("orig_", "maint"))}


def _takes_maintenance() -> bool:
    parameters = inspect.signature(ConnectionPool.__init__).parameters
    return "maint_notifications_config" in parameters


_HAS_MAINTENANCE = _takes_maintenance()


def _no_maintenance() -> object:
    """Ask for no notices of a hosted server: each would cost a command to connect."""
    from redis.maint_notifications import (  # noqa: PLC0415  since redis-py 6.3 only
        MaintNotificationsConfig,
    )

    return MaintNotificationsConfig(enabled=False)


def _greet(name: str, histories: Histories, connection: Any) -> None:
    """Log in, learn which server this is, and set the name that CLIENT LIST shows.

    The last two only where the user may.
    """
    try:
        _introduce(name, histories, connection)
    except redis.RedisError:
        raise  # redis-py cuts the connection
    except BaseException:
        connection.disconnect()
        raise


def _introduce(name: str, histories: Histories, connection: Any) -> None:
    connection.on_connect()
    connection.send_command("CLIENT", "SETNAME", name)
    connection.send_command("INFO", "server")
    try:
        connection.read_response()
    except redis.ResponseError:
        LOG.debug("CLIENT SETNAME is not allowed: the connection has no name")
    try:
        info = connection.read_response()
    except redis.ResponseError:
        info = None
        LOG.debug("INFO is not allowed: every failure counts as another server")
    histories.greeted(connection, info)


def connect(config: Config, options: Mapping[str, Any], path: str | None) -> Handle:
    """Make a handle; only that of a cluster talks to the server already.

    Args:
        config: which server.
        options: from `options_of`.
        path: the socket of the embedded server.
    """
    options = {**options, "retry": Retry(NoBackoff(), 0)}
    if config.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in config.hosts]
        return Cluster(nodes, ssl=config.tls, **options)
    options |= {"db": config.db, "command_packer": packer()}
    if config.kind == "sentinel":
        return _sentinel(config, options)
    if config.kind in ("unix", "embedded"):
        options["path"] = path or config.path
    else:
        options["host"], options["port"] = config.hosts[0]
    pool = ConnectionPool(connection_class=_CONNECTIONS[config.kind], **options)
    return redis.Redis.from_pool(pool)


class _Sentinels(Sentinel):
    """Sentinels that say what keeps all of them from answering, for `judge`."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask one after the other for the primary; whoever knows it is asked first."""
        failures: list[Exception] = []
        asked = tuple(self.sentinels)
        for sentinel in asked:
            try:
                primaries: Any = sentinel.sentinel_masters()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                failures.append(error)
                continue
            state = primaries.get(service_name)
            if state and self._is_up(state, service_name):
                others = (each for each in asked if each is not sentinel)
                self.sentinels = [sentinel, *others]
                return state["ip"], state["port"]
        if len(failures) == len(asked):
            raise NoSentinel(failures)
        raise MasterNotFoundError(service_name)

    def _is_up(self, state: Mapping[str, Any], service_name: str) -> bool:
        check: Any = self.check_master_state
        return bool(check(state, service_name))


def _sentinel(config: Config, options: dict[str, Any]) -> redis.Redis:
    shared = ("socket_", "ssl_")
    own: dict[str, Any] = {k: v for k, v in options.items() if k.startswith(shared)}
    own |= {"retry": options["retry"], "ssl": config.tls}
    own |= {"username": config.sentinel_username, "password": config.sentinel_password}
    sentinel: Any = _Sentinels(  # type: ignore[no-untyped-call]  # redis-py has no types
        list(config.hosts), sentinel_kwargs=own
    )
    if config.tls:
        options = {**options, "ssl": True}
    handle: redis.Redis = sentinel.master_for(str(config.service), **options)
    return handle


def pools(handle: Handle) -> Iterator[ConnectionPool]:
    """Yield the connection pools of a handle, one for each server."""
    if isinstance(handle, redis.Redis):
        yield handle.connection_pool
        return
    for node in cast(RedisCluster, handle).get_nodes():
        if node.redis_connection is not None:
            yield node.redis_connection.connection_pool


def drop_idle(handle: Handle) -> None:
    """Disconnect what is not in use, so that the next attempt connects anew.

    After a failover or behind a router that forgets idle connections, all that
    wait in a pool are as dead as the one that failed.
    """
    if isinstance(handle, redis.Redis):
        handle.connection_pool.disconnect(inuse_connections=False)


def close(handle: Handle) -> None:
    """Disconnect everything, what other threads are using included."""
    handle.close()
    if isinstance(handle, redis.Redis):
        handle.connection_pool.disconnect()
        if isinstance(handle.connection_pool, SentinelConnectionPool):
            for each in handle.connection_pool.sentinel_manager.sentinels:
                each.close()


def abandon(handle: Handle) -> None:
    """Close a handle's sockets in a forked child; the parent's stay as they are.

    Another thread of the parent may have held the locks at the fork: they get
    new ones first, or the child would wait for ever.
    """
    if isinstance(handle, RedisCluster):
        handle._lock = threading.RLock()  # noqa: SLF001  see above
        handle.nodes_manager._lock = threading.RLock()  # noqa: SLF001
    for pool in pools(handle):
        pool._lock = pool._fork_lock = threading.RLock()  # noqa: SLF001
        pool.reset()
