"""The table of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = 30


def test_every_fault_has_its_tests():
    """Each row has a test; each test that is named is there."""
    text = (ROOT / "tests/chaos/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \| [^|]*\|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, ROWS + 1))
    for _, tests in rows:
        named = re.findall(r"`([\w/.]+)::(\w+)`", tests)
        assert named, tests
        for file, name in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            assert f"\ndef {name}(" in source, f"{file}::{name}"
