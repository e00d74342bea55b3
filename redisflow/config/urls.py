"""Reading a configuration: from a URL, or from the mapping that TaskFlow gives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, unquote

from redisflow.config.config import SCHEMES, Config
from redisflow.config.hosts import read_place
from redisflow.errors import ConfigError

ENVIRONMENT = "REDISFLOW_URL"
_KNOWN = ", ".join(f"{scheme}://" for scheme in SCHEMES)

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off", ""})


def parse_url(url: str | None = None, **overrides: object) -> Config:
    """Read a URL; without one the environment's; without that, the embedded server.

    >>> parse_url("redis+sentinel://a,b:7000/main/1").hosts
    (('a', 26379), ('b', 7000))

    Args:
        url: one of the forms in `redisflow.config`, or None.
        overrides: settings and redis-py options that count more than the URL's;
            those that are None do not count.

    Raises:
        ConfigError: the URL or a setting cannot be used; names which, and why.
    """
    text = url or os.environ.get(ENVIRONMENT) or "redisflow://"
    if not all(map(_is_utf8, (text, *overrides, *overrides.values()))):
        raise ConfigError("the URL, or a setting, is not UTF-8: write it as %XX")
    scheme, separator, rest = text.partition("://")
    kind = SCHEMES.get(scheme.lower())
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
    values |= read_place(kind, scheme, place, slash + path)
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
    elif url in SCHEMES:
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


def _is_utf8(value: object) -> bool:
    try:
        value.encode() if isinstance(value, str) else None
    except UnicodeEncodeError:
        return False
    return True


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
