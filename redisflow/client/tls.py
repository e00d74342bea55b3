"""Options of TLS, looked at before anything is connected.

redis-py reads files and ciphers anew for each connection. What it cannot use looks
there like a server that is away, and would be tried until the deadline.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from redisflow.errors import ConfigError

_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


def version_of(text: str) -> ssl.TLSVersion:
    """Read a version: its name, as in ``TLSv1_2``, or Python's number of it.

    Raises:
        ValueError: it is neither.
    """
    members = ssl.TLSVersion.__members__
    return members[text] if text in members else ssl.TLSVersion(int(text))


def check(options: Mapping[str, Any]) -> None:
    """Refuse files and ciphers that cannot be used; asks nobody for a password.

    Args:
        options: redis-py's, read already.

    Raises:
        ConfigError: names the option, and the file.
    """
    for name in _FILES:
        if (path := options.get(name)) is not None:
            with _told_of(f"{name} {path}"):
                Path(path).stat()
    context = ssl.create_default_context()
    if ciphers := options.get("ssl_ciphers"):
        with _told_of(f"ssl_ciphers {ciphers!r}"):
            context.set_ciphers(ciphers)
    if (path := options.get("ssl_ca_certs")) is not None:
        with _told_of(f"ssl_ca_certs {path}"):
            context.load_verify_locations(path)
    _check_chain(context, options)


@contextlib.contextmanager
def _told_of(option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # those of ssl are of that class, too
        raise ConfigError(f"{option}: {error.strerror}") from error


def _check_chain(context: ssl.SSLContext, options: Mapping[str, Any]) -> None:
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    if certificate is None and key is None:
        return
    if certificate is None:
        raise ConfigError(f"ssl_keyfile {key}: it takes ssl_certfile, too")
    password = options.get("ssl_password")
    name, path = ("ssl_keyfile", key) if key else ("ssl_certfile", certificate)

    def given() -> str:
        if password is None:
            raise ConfigError(f"{name} {path}: the key is encrypted: give ssl_password")
        return str(password)

    with _told_of(f"{name} {path} (or ssl_password)" if password else f"{name} {path}"):
        context.load_cert_chain(certificate, key, given)
