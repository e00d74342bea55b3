"""Where the server is, and how to talk to it, as a value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import quote, urlencode

from redisflow.errors import ConfigError

Kind = Literal["tcp", "tls", "unix", "sentinel", "cluster", "embedded"]
Host = tuple[str, int]

#: For how long a call is repeated while the server is away, in seconds.
DEFAULT_DEADLINE_S = 10.0

#: URL schemes, and how each reaches its server.
SCHEMES: Mapping[str, Kind] = {
    "redis": "tcp",
    "rediss": "tls",
    "unix": "unix",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "redisflow": "embedded",
}
#: A namespace begins every key: no hash tag, no pattern, nothing to quote.
_NAMESPACE = re.compile(r"[^\s{}*?\[\]\\^\x00-\x1f\x7f-\x9f]{1,64}")


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """One server, and how to talk to it.

    >>> from redisflow.config import parse_url
    >>> parse_url("redis://:secret@db1/2?namespace=jobs").safe_url()
    'redis://:***@db1:6379/2?namespace=jobs'

    Attributes:
        kind: how the server is reached.
        hosts: the server; for sentinels and clusters all of them that are named.
        path: its socket (kind "unix").
        service: the name that sentinels know the primary by.
        db: number of the database.
        tls: whether connections are encrypted.
        username: the ACL user, or None for the default one.
        password: of that user.
        sentinel_username: the ACL user on the sentinels.
        sentinel_password: of that one.
        namespace: what every key begins with.
        deadline_s: for how long a call is repeated while the server is away.
        retention_s: for how long flows stay once they have ended, unless their engines
            say otherwise; None: for good.
        allow_eviction: accept a server that may throw keys away.
        options: redis-py's connection options, as they were given.

    Raises:
        ConfigError: a value that cannot be used.
    """

    kind: Kind
    hosts: tuple[Host, ...] = ()
    path: str | None = None
    service: str | None = None
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    namespace: str = "redisflow"
    deadline_s: float = DEFAULT_DEADLINE_S
    retention_s: float | None = None
    allow_eviction: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ConfigError(
                f"namespace {self.namespace!r}: 1 to 64 characters, without spaces, "
                "control characters and any of {}[]*?^\\"
            )
        if not (math.isfinite(self.deadline_s) and self.deadline_s > 0):
            raise ConfigError(f"deadline_s {self.deadline_s}: must be more than 0")
        kept_s = self.retention_s
        if kept_s is not None and not (math.isfinite(kept_s) and kept_s > 0):
            raise ConfigError(f"retention_s {kept_s}: must be more than 0")
        if self.db < 0 or (self.db and self.kind == "cluster"):
            wanted = "0 in a cluster" if self.kind == "cluster" else "0 or more"
            raise ConfigError(f"db {self.db}: must be {wanted}")

    @property
    def address(self) -> str:
        """The server in words, for messages."""
        hosts = ",".join(host_text(host) for host in self.hosts)
        match self.kind:
            case "unix":
                return f"the server at {self.path}"
            case "embedded":
                return "the embedded server"
            case "cluster":
                return f"the cluster at {hosts}"
            case "sentinel":
                return f"the primary {self.service!r} of the sentinels at {hosts}"
            case _:
                return f"the server at {hosts}"

    def safe_url(self) -> str:
        """Spell the URL of this configuration, with ``***`` for passwords."""
        credentials = quote(self.username or "", safe="")
        if self.password is not None:
            credentials += ":***"
        place = ",".join(host_text(host) for host in self.hosts)
        match self.kind:
            case "unix":
                place = quote(self.path or "")
            case "sentinel":
                place += f"/{quote(self.service or '', safe='')}/{self.db}"
            case "tcp" | "tls":
                place += f"/{self.db}"
        at = "@" if credentials else ""
        query = urlencode(self._query(), safe="*/:,")
        mark = "?" if query else ""
        return f"{self._scheme()}://{credentials}{at}{place}{mark}{query}"

    def _scheme(self) -> str:
        if self.kind in ("sentinel", "cluster"):
            return f"redis{'s' if self.tls else ''}+{self.kind}"
        return next(scheme for scheme, kind in SCHEMES.items() if kind == self.kind)

    def _query(self) -> dict[str, Any]:
        query: dict[str, Any] = {}
        if self.kind == "unix" and self.db:
            query["db"] = self.db
        if self.sentinel_username is not None:
            query["sentinel_username"] = self.sentinel_username
        if self.sentinel_password is not None:
            query |= {"sentinel_password": "***"}
        for name in ("namespace", "deadline_s", "retention_s", "allow_eviction"):
            if getattr(self, name) != _DEFAULTS[name]:
                query[name] = getattr(self, name)
        for name, value in self.options.items():
            secret = "password" in name or not isinstance(value, str | int | float)
            query[name] = "***" if secret else value
        return query

    def __repr__(self) -> str:
        return f"Config({self.safe_url()!r})"

    __str__ = safe_url


_DEFAULTS: Mapping[str, Any] = {each.name: each.default for each in fields(Config)}


def host_text(host: Host) -> str:
    """Spell a host and its port."""
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
