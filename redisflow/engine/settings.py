"""The options of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redisflow.client import Replication
from redisflow.config import Config
from redisflow.errors import ConfigError

#: Three renewals must fit into a lease, each with time for a slow reply.
SHORTEST_LEASE_S = 0.2

#: What users may ask of an engine.
OPTIONS = (
    *("claim_all", "defer_reverts", "durability", "executor", "inject_transient"),
    *("lease_s", "max_attempts", "max_workers", "never_resolve", "replicas"),
    *("rerun", "retention_s"),
)

#: What a parent tells its worker processes.
_OF_WORKERS = ("run", "worker_tag")

#: A thousand years.
_LONGEST_S = 3.2e10


class Settings:
    """An engine's options, read and checked."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.executor = options.get("executor", "serial")
        self.max_workers = _number(options, "max_workers", None, int)
        self.lease_s = _number(options, "lease_s", 15.0, float)
        self.retention_s = _number(options, "retention_s", None, float)
        self.max_attempts = _number(options, "max_attempts", 3, int)
        self.claim_all = _flag(options, "claim_all", default=False)
        self.worker_tag: str | None = options.get("worker_tag")
        self.run: int | None = _number(options, "run", None, int)
        self.rerun = _flag(options, "rerun", default=True)
        self.inject_transient = _flag(options, "inject_transient", default=True)
        self.shared = {
            "defer_reverts": _flag(options, "defer_reverts", default=False),
            "never_resolve": _flag(options, "never_resolve", default=False),
        }
        if not SHORTEST_LEASE_S <= self.lease_s < _LONGEST_S:
            bounds = f"at least {SHORTEST_LEASE_S} s, and less than a thousand years"
            raise ConfigError(f"lease_s is {bounds}, not {self.lease_s}")
        if self.retention_s is not None and not 0 < self.retention_s < _LONGEST_S:
            raise ConfigError(f"retention_s is more than 0, not {self.retention_s}")
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts is at least 1, not {self.max_attempts}")
        self.replication = _replication(options)

    def check_server(self, config: Config) -> None:
        """Look whether these options go with a server, before anything is written.

        Raises:
            ConfigError: it has no replicas to wait for, or more than one primary.
        """
        if self.replication is not None and config.kind in {"cluster", "embedded"}:
            raise ConfigError(
                "durability='replicated' takes one server with replicas, or sentinels:"
                f" not {config.address}"
            )


def refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuse options that no engine has.

    TaskFlow hands its engines all that it was given, and so they cannot do this.

    Raises:
        ConfigError: one is unknown.
    """
    for name in options:
        if name not in OPTIONS and name not in _OF_WORKERS:
            raise ConfigError(f"{name} is no option of an engine: {', '.join(OPTIONS)}")


def _replication(options: Mapping[str, Any]) -> Replication | None:
    durability = options.get("durability", "server")
    replicas = _number(options, "replicas", None, int)
    if durability == "replicated":
        if replicas is not None and replicas < 1:
            raise ConfigError(f"replicas is at least 1, not {replicas}")
        return Replication(replicas)
    if durability != "server":
        raise ConfigError(f"durability is server or replicated, not {durability!r}")
    if replicas is not None:
        raise ConfigError("replicas goes with durability='replicated'")
    return None


def _number(
    options: Mapping[str, Any], name: str, default: Any, kind: type[int] | type[float]
) -> Any:
    value = options.get(name, default)
    try:
        return default if value is None else kind(value)
    except (OverflowError, TypeError, ValueError):
        raise ConfigError(f"{name} is a number, not {value!r}") from None


def _flag(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if isinstance(value, str):
        return value.strip().lower() in {"1", "t", "true", "on", "y", "yes"}
    return bool(value)
