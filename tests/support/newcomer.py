"""What README and pages tell a newcomer to type, and to put into files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

MOVING = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TYPED = re.compile(r"^\$ ((?:.*\\\n)*.*)", re.MULTILINE)
_MODULE = re.compile(r"# (\w+\.py)\n")

#: What is run elsewhere: the demo, and the tests themselves.
_ELSEWHERE = ("make demo\n", "make test\n")


def commands(page: str) -> Iterator[str]:
    """Give what is typed in a page, in its order: shell blocks, and lines after a $."""
    for kind, text in _BLOCK.findall(page):
        if kind == "sh" and text not in _ELSEWHERE:
            yield text
        elif kind == "console":
            yield from (f"{typed}\n" for typed in _TYPED.findall(text))


def tutorial_commands() -> str:
    """Give what is typed in the tutorial; its parcel takes seconds, and no minute."""
    typed = "".join(commands(TUTORIAL))
    assert "seconds=60" in typed
    return typed.replace("seconds=60", "seconds=8")


def modules_of(page: str, folder: Path) -> list[str]:
    """Write the modules of a page into a folder; returns its other Python blocks.

    A block that begins with the name of a file is that file.
    """
    others = []
    for kind, text in _BLOCK.findall(page):
        if kind == "python" and (found := _MODULE.match(text)):
            (folder / found[1]).write_text(text)
        elif kind == "python":
            others.append(text)
    return others
