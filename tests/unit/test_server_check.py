"""What the first look at a server accepts; old servers cannot be had here to ask."""

from __future__ import annotations

from typing import Literal

import pytest

from redisflow.client import ServerInfo
from redisflow.client.examining import check
from redisflow.config import parse_url
from redisflow.errors import Refused

Kind = Literal["redis", "valkey"]


def _info(kind: Kind, *version: int) -> ServerInfo:
    return ServerInfo(
        kind=kind,
        version=version,
        run_id="0" * 40,
        role="master",
        maxmemory=0,
        maxmemory_policy="noeviction",
    )


@pytest.mark.parametrize(
    ("kind", "version"), [("redis", (7, 0, 0)), ("valkey", (7, 2, 4)), ("redis", (8,))]
)
def test_new_enough(kind: Kind, version: tuple[int, ...]) -> None:
    """The oldest versions that are promised are accepted."""
    check(_info(kind, *version), parse_url("redis://h"))


@pytest.mark.parametrize(
    ("kind", "version", "told"),
    [("redis", (6, 2, 14), "redis 6.2.14"), ("valkey", (7, 1, 9), "valkey 7.1.9")],
)
def test_too_old(kind: Kind, version: tuple[int, ...], told: str) -> None:
    """An older server is refused in one line that names it and the oldest one."""
    with pytest.raises(Refused) as caught:
        check(_info(kind, *version), parse_url("redis://h:7001"))
    line = str(caught.value)
    assert told in line
    assert "h:7001" in line
    assert "oldest" in line
    assert "\n" not in line
