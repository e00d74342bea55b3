"""Where the server is, and how to talk to it: one value, from a URL or a mapping.

=============================================  ================================
``redis://[user:password@]host[:6379][/db]``   one server
``rediss://…``                                 the same over TLS
``unix:///path?db=0``                          one server, by its socket
``redis+sentinel://h1[:26379],h2/service/db``  the primary that sentinels name
``redis+cluster://h1[:6379],h2``               a cluster
``redisflow://``, or no URL                    the embedded server
=============================================  ================================

``rediss+sentinel`` and ``rediss+cluster`` are those over TLS. User and password
are percent-decoded; so a ``/``, ``?``, ``#`` or ``@`` in them must be encoded.

Query parameters are settings of ours (``namespace``, ``deadline_s``,
``retention_s``, ``allow_eviction``, ``db``, ``username``, ``password``,
``sentinel_username``, ``sentinel_password``) or else options of redis-py's
connections. Those stay as they were written: redisflow.client knows their names and
types.

With no URL, ``REDISFLOW_URL`` of the environment is used; without that, the
embedded server. Nothing here does any I/O, and no text made here (errors, repr,
``safe_url``) ever holds a password.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from redisflow.errors import ConfigError

Kind = Literal["tcp", "tls", "unix", "sentinel", "cluster", "embedded"]
Host = tuple[str, int]

ENVIRONMENT = "REDISFLOW_URL"
DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

#: For how long a call is repeated while the server is away, in seconds.
DEFAULT_DEADLINE_S = 10.0

_SCHEMES: Mapping[str, Kind] = {
    "redis": "tcp",
    "rediss": "tls",
    "unix": "unix",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
    "redisflow": "embedded",
}
_KNOWN = ", ".join(f"{scheme}://" for scheme in _SCHEMES)

#: A namespace begins every key: no hash tag, no pattern, nothing to quote.
_NAMESPACE = re.compile(r"[^\s{}*?\[\]\\^\x00-\x1f\x7f-\x9f]{1,64}")

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", ""})


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """One server, and how to talk to it.

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
        hosts = ",".join(_host_text(host) for host in self.hosts)
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
        place = ",".join(_host_text(host) for host in self.hosts)
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
        return next(scheme for scheme, kind in _SCHEMES.items() if kind == self.kind)

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


def parse_url(url: str | None = None, **overrides: object) -> Config:
    """Read a URL; without one the environment's; without that, the embedded server.

    >>> parse_url("redis+sentinel://a,b:7000/main/1").hosts
    (('a', 26379), ('b', 7000))

    Args:
        url: one of the forms in this module's docstring, or None.
        overrides: settings and redis-py options that count more than the URL's;
            those that are None do not count.

    Raises:
        ConfigError: the URL or a setting cannot be used; names which, and why.
    """
    text = url or os.environ.get(ENVIRONMENT) or "redisflow://"
    if not all(map(_is_utf8, (text, *overrides, *overrides.values()))):
        raise ConfigError("the URL, or a setting, is not UTF-8: write it as %XX")
    scheme, separator, rest = text.partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if not separator or kind is None:
        # Text without "://" may be anything, a password included.
        named = (
            f" {scheme!r}" if separator and re.fullmatch(r"[\w+.-]+", scheme) else ""
        )
        raise ConfigError(f"URL scheme{named} is not one of {_KNOWN}")
    if "#" in rest:
        raise ConfigError(f"the {scheme} URL has a '#': write it as %23")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in path and kind != "unix":
        raise ConfigError(f"the {scheme} URL has '@' after a '/': write '/' as %2F")
    credentials, _, place = authority.rpartition("@")
    values = _credentials(credentials)
    values |= _place(kind, scheme, place, slash + path)
    values |= _query_values(query)
    for name, value in overrides.items():
        if name in _PLACES:
            raise ConfigError(f"{name}: not a setting, but part of the URL")
        if value is not None:
            values[name] = value
    values |= {"kind": kind, "tls": scheme.lower().startswith("rediss")}
    return _build(values)


def from_conf(conf: Mapping[str, Any]) -> Config:
    """Read the mapping that TaskFlow gives to a persistence backend.

    ``connection`` is a URL; further keys are settings and redis-py options, and
    count more than the URL's query. TaskFlow adds the URL's parts to the mapping,
    undecoded: for user, password, host and port, what the URL says counts.
    TaskFlow itself cannot read a URL with several ports; such a one goes into
    the key ``url``, beside ``connection="redis"``.

    >>> from_conf({"connection": "redis://db1", "namespace": "jobs"}).namespace
    'jobs'

    Raises:
        ConfigError: the URL or a setting cannot be used; names which, and why.
    """
    values = dict(conf)
    connection = values.pop("connection", None)
    url = values.pop("url", None) or connection
    if url is not None and not isinstance(url, str):
        raise ConfigError(f"connection: a URL is text, not {type(url).__name__}")
    if url is None or url == "redisflow":
        url = None
    elif url in _SCHEMES:
        url = f"{url}://"
    hostname, port = values.pop("hostname", None), values.pop("port", None)
    if url:
        url, has_credentials = _completed(url, hostname, port)
        if has_credentials:
            values.pop("username", None)
            values.pop("password", None)
    return parse_url(url, **values)


def _completed(url: str, hostname: object, port: object) -> tuple[str, bool]:
    """Add host and port where a URL has none; tell whether it has credentials."""
    scheme, _, rest = url.partition("://")
    found = re.match(r"([^/?#]*@)?([^/?#@]*)", rest)
    credentials, place = (found[1] or "", found[2]) if found else ("", "")
    tail = rest[len(credentials) + len(place) :]
    place = place or str(hostname or "")
    if port and place and not re.search(r":\d+$", place):
        place = f"{place}:{port}"
    return f"{scheme}://{credentials}{place}{tail}", bool(credentials)


def _build(values: dict[str, Any]) -> Config:
    own = {each.name for each in fields(Config)} - {"options"}
    options = {name: value for name, value in values.items() if name not in own}
    known = {name: value for name, value in values.items() if name in own}
    for name, read in _READERS.items():
        if name in known:
            known[name] = read(name, known[name])
    return Config(**known, options=options)


def _query_values(query: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if not name.isidentifier():
            raise ConfigError(
                "the URL has an odd query: in a password write '?' as %3F"
            )
        if name in _PLACES:
            raise ConfigError(f"{name}: not a query parameter, but part of the URL")
        values[name] = value
    return values


def _credentials(text: str) -> dict[str, Any]:
    username, separator, password = text.partition(":")
    values: dict[str, Any] = {}
    if username:
        values["username"] = unquote(username)
    if separator:
        values["password"] = unquote(password)
    return values


def _place(kind: Kind, scheme: str, place: str, path: str) -> dict[str, Any]:
    match kind:
        case "unix":
            if not (place or path.strip("/")):
                raise ConfigError(f"{scheme}:// needs the path of a socket")
            return {"path": unquote(place + path)}
        case "embedded":
            if place or path.strip("/"):
                raise ConfigError(f"{scheme}:// takes no host and no path")
            return {}
        case "sentinel":
            hosts = _hosts(scheme, place, DEFAULT_SENTINEL_PORT)
            service, _, db = path.strip("/").partition("/")
            if not service:
                raise ConfigError(f"{scheme}:// needs a service: {scheme}://host/name")
            return {"hosts": hosts, "service": unquote(service)} | _db(db)
        case "cluster":
            return {"hosts": _hosts(scheme, place, DEFAULT_PORT)} | _db(path.strip("/"))
        case _:
            return {"hosts": _one_host(scheme, place)} | _db(path.strip("/"))


def _db(text: str) -> dict[str, Any]:
    return {"db": text} if text else {}


def _one_host(scheme: str, place: str) -> tuple[Host, ...]:
    # As redis-py does: no host is this host.
    place = f"localhost{place}" if place[:1] in ("", ":") else place
    hosts = _hosts(scheme, place, DEFAULT_PORT)
    if len(hosts) > 1:
        raise ConfigError(
            f"{scheme}:// takes one host: for several there are {scheme}+sentinel:// "
            f"and {scheme}+cluster://"
        )
    return hosts


def _hosts(scheme: str, text: str, default_port: int) -> tuple[Host, ...]:
    return tuple(_host(scheme, part, default_port) for part in text.split(","))


def _host(scheme: str, text: str, default_port: int) -> Host:
    found = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^\[\]:]*))(?::(.*))?", text)
    if found is None:
        raise ConfigError(f"{scheme}:// has a host that is not name, IPv4 or [IPv6]")
    host = unquote(found[1] or found[2] or "")
    if not host:
        raise ConfigError(f"{scheme}:// has an empty host")
    port = found[3]
    if not port:
        return host, default_port
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 1 << 16:
        # The text may be the rest of a password that was not percent-encoded.
        raise ConfigError(f"{scheme}:// has a bad port after host {host!r}: 1 to 65535")
    return host, int(port)


def _is_utf8(value: object) -> bool:
    try:
        value.encode() if isinstance(value, str) else None
    except UnicodeEncodeError:
        return False
    return True


def _host_text(host: Host) -> str:
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name}: must be text, not {type(value).__name__}")
    return value


def _integer(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(f"{name} {value!r}: not a whole number") from None


def _number(name: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ConfigError(f"{name} {value!r}: not a number") from None


def _flag(name: str, value: object) -> bool:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        raise ConfigError(f"{name} {value!r}: not yes or no")
    return text in _TRUE


_READERS = {
    "db": _integer,
    "deadline_s": _number,
    "retention_s": _number,
    "allow_eviction": _flag,
    "namespace": _text,
    "username": _text,
    "password": _text,
    "sentinel_username": _text,
    "sentinel_password": _text,
}

#: Fields that the query must not set.
_PLACES: Iterable[str] = {each.name for each in fields(Config)} - _READERS.keys()
