"""README.md: what it tells a stranger to type first is there, and ends by itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_SHELL = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_two_commands_are_the_demo_and_the_tests():
    """A block each, so that each can be copied as it is."""
    first, second, *_ = _SHELL.findall(README)
    assert (first, second) == ("make demo\n", "make test\n")


@pytest.mark.parametrize("target", ["demo", "test"])
def test_what_is_typed_first_is_a_target(target: str):
    """Make knows it, and what it would run stays in the foreground."""
    done = subprocess.run(
        ["make", "--dry-run", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not re.search(r"&\s*$", done.stdout, re.MULTILINE)


def test_links_lead_somewhere():
    """Every file that it points to exists."""
    found = _LINK.findall(README)
    assert found
    assert [link for link in found if not (ROOT / link).exists()] == []
