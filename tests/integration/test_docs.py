"""Every Python block of ``docs/`` runs, one after the other, on a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.servers import ONE_KIND_IS_ENOUGH

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("**/*.md"))

_BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_MODULE = re.compile(r"# (\w+\.py)\n")

#: Prints of a page and what it says, in a comment, that they print.
_PRINTED = re.compile(r"print\(.*\)  # (.+)")


def blocks(page: Path) -> list[tuple[int, str]]:
    """Find the Python blocks of a page, each with the number of its first line."""
    text = page.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start()) + 2, textwrap.dedent(found[2]))
        for found in _BLOCK.finditer(text)
    ]


def program(page: Path, folder: Path) -> str:
    """Write a page's modules into a folder; returns a program of its other blocks.

    A block that begins with the name of a file is that file.
    """
    parts = ["page = {}"]
    for line, code in blocks(page):
        module = _MODULE.match(code)
        if module:
            (folder / module[1]).write_text(code)
        else:
            padded = "\n" * (line - 1) + code  # so that tracebacks name its lines
            parts.append(f"exec(compile({padded!r}, {page.name!r}, 'exec'), page)")
    return "\n".join(parts)


@ONE_KIND_IS_ENOUGH
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_blocks_of_a_page_run(page: Path, url: str, tmp_path: Path) -> None:
    """No block raises, and each prints what it says that it prints."""
    if "cryptography" in page.read_text(encoding="utf-8"):
        pytest.importorskip("cryptography")
    (tmp_path / "program.py").write_text(program(page, tmp_path))
    environment = {
        **os.environ,
        "REDISFLOW_URL": url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PYTHONWARNINGS": "error,ignore:eventletutils module:DeprecationWarning",
    }
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [text for _, code in blocks(page) for text in _PRINTED.findall(code)]
    printed = done.stdout.splitlines()
    namespace = re.search(r"namespace=(.+)$", url)
    assert namespace
    for text, line in zip(said, printed, strict=True):
        pattern = re.escape(text.replace("redisflow:", f"{namespace[1]}:"))
        assert re.fullmatch(pattern.replace("…", ".*"), line)


def test_there_are_pages() -> None:
    """The pages are found, and they have blocks."""
    assert {page.stem for page in PAGES} >= {"values", "jobboard"}
    assert all(blocks(page) for page in PAGES if page.stem in ("values", "jobboard"))
