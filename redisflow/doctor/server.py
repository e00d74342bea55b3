"""Settings of the server that cost data or work sooner or later."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from redisflow.client import OLDEST, Client, Report
from redisflow.doctor.findings import Finding

_FULL = 0.9
_LAG_S = 10
_SECTIONS = ("server", "memory", "persistence", "replication", "stats")
_SETTINGS = ("appendfsync",)


def check_server(client: Client) -> list[Finding]:
    """Look at the settings of the server; in a cluster at those of each primary.

    Raises:
        StoreError: the server did not answer.
    """
    return [
        dataclasses.replace(finding, node=report.node)
        for report in client.examine(_SECTIONS, _SETTINGS)
        for finding in _judge(report)
    ]


def _judge(report: Report) -> Iterator[Finding]:
    if report.info is None:
        silent = "this user may not ask for INFO: nothing is known"
        yield Finding("server-silent", silent)
        return
    yield from judge(report.info)
    if report.settings is None:
        silent = "this user may not ask for CONFIG: appendfsync is not known"
        yield Finding("server-silent", silent)
    elif _has_file(report.info):
        yield from judge_settings(report.settings)


def judge(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Give what is to be said of a server.

    Args:
        report: its INFO, as redis-py reads it.
    """
    yield from _version(report)
    yield from _memory(report)
    yield from _persistence(report)
    yield from _replication(report)


def judge_settings(settings: Mapping[str, str]) -> Iterator[Finding]:
    """Give what is to be said of the settings of a server with an append-only file."""
    if settings.get("appendfsync") == "no":
        yield Finding(
            "server-syncs-late",
            "appendfsync is no: the host's end loses half a minute of writes",
        )


def _version(report: Mapping[str, Any]) -> Iterator[Finding]:
    kind = "valkey" if "valkey_version" in report else "redis"
    version = str(report.get(f"{kind}_version", "0"))
    minimum = OLDEST[kind]
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < minimum:
        wanted = ".".join(map(str, minimum))
        yield Finding("server-old", f"it is {kind} {version}; {wanted} is the oldest")


def _memory(report: Mapping[str, Any]) -> Iterator[Finding]:
    policy = report.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "server-evicts", f"maxmemory-policy is {policy}, and should be noeviction"
        )
    if evicted := int(report.get("evicted_keys", 0)):
        yield Finding("server-evicted", f"{evicted:,} keys were evicted")
    limit, used = int(report.get("maxmemory", 0)), int(report.get("used_memory", 0))
    if not limit:
        yield Finding("server-unbounded", "maxmemory is not set: the host may run full")
    elif used >= limit:
        yield Finding("server-no-room", f"{used:,} of {limit:,} bytes are in use")
    elif used > limit * _FULL:
        yield Finding("server-full", f"{used:,} of {limit:,} bytes are in use")


def _persistence(report: Mapping[str, Any]) -> Iterator[Finding]:
    if not _has_file(report):
        yield Finding(
            "server-forgets",
            "appendonly is off: a restart loses what came after the last snapshot",
        )
    for name, what in (
        ("rdb_last_bgsave_status", "the last snapshot"),
        ("aof_last_write_status", "the last write of the append-only file"),
        ("aof_last_bgrewrite_status", "the last rewrite of the append-only file"),
    ):
        if report.get(name, "ok") != "ok":
            yield Finding("server-cannot-save", f"{what} failed: {report[name]}")


def _has_file(report: Mapping[str, Any]) -> bool:
    return str(report.get("aof_enabled", 0)) == "1"


def _replication(report: Mapping[str, Any]) -> Iterator[Finding]:
    if report.get("role") == "slave":
        yield Finding("server-replica", "it is a replica: nothing can be written")
        return
    count = int(report.get("connected_slaves", 0))
    if not count:
        yield Finding("server-alone", "no replica: what its disk loses is lost")
    for number in range(count):
        replica = report.get(f"slave{number}")
        if not isinstance(replica, Mapping):
            continue
        where = f"{replica.get('ip')}:{replica.get('port')}"
        if replica.get("state") != "online" or int(replica.get("lag", 0)) >= _LAG_S:
            yield Finding(
                "server-lags",
                f"replica {where} is {replica.get('state')}, {replica.get('lag')} s"
                " behind",
            )
