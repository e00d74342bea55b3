"""``docs/keys.md``: all that flows leave in Redis stands there, and nothing else."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from taskflow import task
from taskflow.patterns import graph_flow, linear_flow

import redisflow
from redisflow.errors import FlowCancelled
from tests.support.random_flows import draw_shape

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")

_SECTION = re.compile(r"^## `redisflow:([^`]+)`\n\n(\w+):(.*?)(?=^## |\Z)", re.M | re.S)
_FIELD = re.compile(r"^\| `([^`]+)` \|", re.M)

#: What stands for something else in names, and what that looks like.
_PLACES = {
    "{F}": r"\{(?:lock:)?[^{}]+\}",
    "UUID": r"[0-9a-f-]{36}",
    "NNNNNNNN": r"\d+",
    "OWNER": r".+",
    "WORKER": r".+",
    "NAME": r".+",
    "WHAT": r"\w+",
    "ITEM": r"[\w:]+",
    "TOKEN": r"\d+",
    "K": r"\d+",
    "N": r"\d+",
}
_WORD = re.compile(r"\{F\}|[A-Z]+|[^A-Z{]+|\{")
_SENTINELS = ("-", "")


def pattern_of(name: str) -> re.Pattern[str]:
    """Make a pattern of a name in which capitals stand for something else."""
    parts = [_PLACES.get(part, re.escape(part)) for part in _WORD.findall(name)]
    return re.compile("".join(parts))


def sections() -> dict[str, tuple[str, list[str]]]:
    """Read the page: key -> its type, and its fields."""
    return {
        found[1]: (found[2], _FIELD.findall(found[3]))
        for found in _SECTION.finditer(PAGE)
    }


def unknown_to_the_page(admin: redis.Redis, namespace: str) -> Iterator[str]:
    """Name all keys and fields on the server of which the page says nothing."""
    for key in admin.scan_iter(f"{namespace}:*", count=1000):
        name = key.removeprefix(f"{namespace}:")
        for documented, (kind, fields) in sections().items():
            if pattern_of(documented).fullmatch(name):
                if admin.type(key) != kind:
                    yield f"{key} is a {admin.type(key)}"
                yield from _unknown_fields(admin, key, kind, fields)
                break
        else:
            yield key


def _unknown_fields(
    admin: redis.Redis, key: str, kind: str, fields: list[str]
) -> Iterator[str]:
    found: Any = []
    if kind == "hash" and fields:
        found = admin.hkeys(key)
    elif kind == "stream":
        entries: Any = admin.xrange(key)
        found = {name for _, entry in entries for name in entry}
    patterns = [pattern_of(field) for field in fields]
    for name in found:
        if name not in _SENTINELS and not any(p.fullmatch(name) for p in patterns):
            yield f"{key} {name}"


class Give(task.Task):
    """A task that gives what it was made with."""

    def __init__(self, name: str) -> None:
        super().__init__(name, provides=name)

    def execute(self) -> str:
        """Give its own name."""
        return self.name


@pytest.mark.parametrize("number", range(6))
def test_what_flows_leave_is_documented(
    number: int, seed: int, url: str, admin: redis.Redis, namespace: str
) -> None:
    """Retries, deciders, failures and reverts, looked at in every phase of a run."""
    shape = draw_shape(
        random.Random(seed + number), 25, wild=True, trouble=["one", "some"]
    )
    engine = redisflow.load(shape.make([]), run_id="drawn", url=url, store={"a": 1})
    unknown: set[str] = set()
    with contextlib.suppress(Exception):  # it may fail as it likes
        for _phase in engine.run_iter():
            unknown.update(unknown_to_the_page(admin, namespace))
    assert engine.storage.get_flow_state() in ("SUCCESS", "FAILURE", "REVERTED")
    unknown.update(unknown_to_the_page(admin, namespace))
    assert unknown == set()


def test_what_else_comes_to_be_is_documented(
    url: str, admin: redis.Redis, namespace: str
) -> None:
    """Wide nodes, locks that are held, waited for and broken, submissions, books."""
    flow = graph_flow.Flow("wide")
    flow.add(Give("first"), *[Give(f"w{number}") for number in range(70)])
    engine = redisflow.load(
        flow, run_id="wide", url=url, transient={"handle": object()}
    )
    engine.run()
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        lock = redisflow.ReaderWriterLock(backend, "by-hand")
        with lock.write_lock():
            assert list(unknown_to_the_page(admin, namespace)) == []
        with lock.read_lock():
            assert list(unknown_to_the_page(admin, namespace)) == []
    redisflow.submit("shop:factory", run_id="left", url=url, store={"a": 1})
    lone = redisflow.load(
        linear_flow.Flow("alone").add(Give("x")), run_id="cancelled", url=url
    )
    with contextlib.suppress(FlowCancelled):
        for _phase in lone.run_iter():
            if lone.storage.get_flow_state() == "RUNNING":
                lone.cancel("as a test")
    assert list(unknown_to_the_page(admin, namespace)) == []
    assert admin.dbsize() > 40


def test_what_is_documented_is_known_to_the_code() -> None:
    """No key and no field stands there that nothing writes."""
    texts = [
        path.read_text(encoding="utf-8")
        for folder, kind in (("scripts/lua", "lua"), ("redisflow", "py"))
        for path in (ROOT / folder).rglob(f"*.{kind}")
    ]
    code = "\n".join(texts)
    for key, (_, fields) in sections().items():
        for name in (key.split("}:")[-1], *fields):
            fixed = [part for part in _WORD.findall(name) if part not in _PLACES]
            longest = max(fixed, key=len, default="").strip(":")
            assert longest in code, name


def test_the_page_has_all_keys() -> None:
    """Each key of `redisflow.keys` has its section."""
    from redisflow import keys  # noqa: PLC0415  # its docstring is the table

    named = set(re.findall(r"``<ns>:(?:\{F\}:)?([a-z_-]+)", keys.__doc__ or ""))
    told = {re.sub(r"^\{F\}:|:[A-Z]+$", "", key) for key in sections()}
    assert named
    assert named <= told
