"""The part of a URL that tells where its server is."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from redisflow.config.config import Host, Kind
from redisflow.errors import ConfigError

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379


def read_place(kind: Kind, scheme: str, place: str, path: str) -> dict[str, Any]:
    """Read hosts, socket, service and database, as values of a `Config`.

    Raises:
        ConfigError: they are not what such a URL has.
    """
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
