"""docs/cli.md says what the program's own help says."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_current():
    """It is what `make reference` writes now."""
    written = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))["reference"]()
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == written, "run: make reference"
    assert "## `redisflow why`" in page
