"""Looking at a server: what it is, what it tells of itself, whether it can be used.

A user may be allowed little: what may not be asked is left out.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import redis
from redis.cluster import RedisCluster

from redisflow.client.connect import CONNECT_TIMEOUT_S, Handle
from redisflow.client.faults import Fault, hopeless
from redisflow.config import Config
from redisflow.errors import Refused

LOG = logging.getLogger(__name__)

_SECTIONS = ("server", "memory", "replication")

#: The oldest server of each kind that can be used.
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says about itself.

    Attributes:
        kind: which of the two servers it is.
        version: of that server, such as ``(7, 0, 15)``.
        run_id: changes with each start of a server process.
        role: "master" or "slave".
        maxmemory: its limit in bytes, 0 for none.
        maxmemory_policy: what it does at that limit.
    """

    kind: Literal["redis", "valkey"]
    version: tuple[int, ...]
    run_id: str
    role: str
    maxmemory: int
    maxmemory_policy: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a primary tells of itself.

    Attributes:
        node: its address in a cluster; "" for a single server.
        info: its INFO, as redis-py reads it; None if the user may not ask.
        settings: what CONFIG GET tells; None if the user may not ask.
    """

    node: str
    info: Mapping[str, Any] | None
    settings: Mapping[str, str] | None


def look(handle: Handle) -> list[ServerInfo]:
    """Ask each primary what it is; an empty list if the user may not ask."""
    found = [_info(report) for report in reports(handle, *_SECTIONS)]
    if not found:
        LOG.debug("INFO is not allowed: version and eviction policy are not checked")
    return found


def _info(found: Mapping[str, Any]) -> ServerInfo:
    kind: Literal["redis", "valkey"] = (
        "valkey" if "valkey_version" in found else "redis"
    )
    version = str(found.get(f"{kind}_version", "0"))
    return ServerInfo(
        kind=kind,
        version=tuple(int(part) for part in re.findall(r"\d+", version)[:3]),
        run_id=str(found.get("run_id", "")),
        role=str(found.get("role", "")),
        maxmemory=int(found.get("maxmemory", 0)),
        maxmemory_policy=str(found.get("maxmemory_policy", "noeviction")),
    )


def reports(handle: Handle, *sections: str) -> list[Mapping[str, Any]]:
    """Ask each primary for sections of INFO; an empty list if the user may not."""
    try:
        return [_report(handle, sections, target) for _, target in _targets(handle)]
    except redis.exceptions.NoPermissionError:
        return []


def examine(
    handle: Handle, sections: Sequence[str], settings: Sequence[str]
) -> list[Report]:
    """Ask each primary for sections of INFO and for settings, as far as it tells."""
    found = []
    for node, target in _targets(handle):
        info: Mapping[str, Any] | None = None
        with contextlib.suppress(redis.exceptions.NoPermissionError):
            info = _report(handle, sections, target)
        found.append(Report(node, info, _settings(handle, settings, target)))
    return found


def _targets(handle: Handle) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(handle, RedisCluster):
        return [("", {})]
    return [(str(n.name), {"target_nodes": n}) for n in handle.get_primaries()]


def _settings(
    handle: Handle, names: Sequence[str], target: Mapping[str, Any]
) -> Mapping[str, str] | None:
    try:
        found: Any = handle.execute_command("CONFIG GET", *names, **target)
    except redis.ResponseError:  # not allowed, or, of a hosted server, not there
        return None
    return cast(Mapping[str, str], found)


def _report(
    handle: Handle, sections: Sequence[str], target: Mapping[str, Any]
) -> Mapping[str, Any]:
    try:
        found: Any = handle.execute_command("INFO", *sections, **target)
    except redis.exceptions.NoPermissionError:
        raise
    except redis.ResponseError:  # older than 7.0: one section at a time
        found = handle.execute_command("INFO", sections[0], **target)
    return cast(Mapping[str, Any], found)


def check(info: ServerInfo, config: Config) -> None:
    """Refuse a server that is too old, or that may throw keys away.

    Raises:
        Refused: it is.
    """
    minimum = OLDEST[info.kind]
    if info.version < minimum:
        raise Refused(
            f"{config.address} is {info.kind} {_dotted(info.version)}: "
            f"{info.kind} {_dotted(minimum)} is the oldest that redisflow can use"
        )
    if info.maxmemory_policy == "noeviction":
        return
    problem = (
        f"{config.address} has maxmemory-policy {info.maxmemory_policy}, which throws "
        "away flows and leases when memory is short"
    )
    if not config.allow_eviction:
        raise Refused(f"{problem}: set noeviction, or allow_eviction=true here")
    LOG.warning("%s: allow_eviction accepts that", problem)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def explain(fault: Fault, config: Config) -> Fault:
    """Look closer at a server that failed on first contact: does it expect TLS?"""
    if config.kind != "tcp" or not re.search("reset|closed", fault.reason):
        return fault
    if not _speaks_tls(*config.hosts[0]):
        return fault
    return hopeless("it expects TLS: use rediss://")


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except OSError:
        return False
    return True
