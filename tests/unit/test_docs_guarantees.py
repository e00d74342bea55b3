"""``docs/guarantees.md`` and the tests that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")

_ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")

PROMISES = [
    (promise, shown)
    for promise, shown in _ROW.findall(PAGE)
    if promise not in ("promise", "---")
]


def is_there(file: str, name: str) -> bool:
    """Tell whether a test file has a test of that name."""
    return any(
        re.search(rf"^ *def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in (ROOT / "tests").rglob(file)
    )


def test_there_are_promises() -> None:
    """The tables are found."""
    assert len(PROMISES) > 30


@pytest.mark.parametrize(("promise", "shown"), PROMISES)
def test_every_promise_names_a_test_that_exists(promise: str, shown: str) -> None:
    """One at least, and each of them is there."""
    named = _TEST.findall(shown)
    assert named, promise
    assert [name for name in named if not is_there(*name)] == []
