"""The path of a newcomer, from the clone to a flow of one's own, against the clock."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path
from time import monotonic

import pytest

from tests.support.newcomer import TUTORIAL, modules_of, tutorial_commands

ROOT = Path(__file__).parents[2]

#: All of it, on two cores.
_BUDGET_S = 600

_OWN_FLOW = """\
from taskflow import task
from taskflow.patterns import linear_flow


class Add(task.Task):
    default_provides = "total"

    def execute(self, x, y):
        return x + y


def factory():
    return linear_flow.Flow("mine").add(Add())
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Make an environment with nothing in it but a home, a path and pip's settings."""
    kept = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    config = Path.home() / ".config" / "pip"
    if config.is_dir():
        shutil.copytree(config, tmp_path / "home" / ".config" / "pip")
    return {
        **kept,
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
    }


@pytest.mark.slow
@pytest.mark.timeout(_BUDGET_S)
def test_from_the_clone_to_a_flow_of_ones_own(
    tmp_path: Path, bare: dict[str, str]
) -> None:
    """Clone, demo, tutorial, own flow: each ends well, and all within ten minutes."""
    started, took_s = monotonic(), []
    clone, folder = tmp_path / "redisflow", tmp_path / "orders"
    folder.mkdir()

    def typed(text: str, where: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=where,
            env=bare,
            capture_output=True,
            text=True,
            check=False,
        )
        took_s.append((text.split("\n", 1)[0], round(monotonic() - started, 1)))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    typed(f"git clone --quiet {ROOT} {clone}", tmp_path)
    assert "All went as it should." in typed("make demo", clone)
    bare["PATH"] = f"{clone}/.venv/bin:{bare['PATH']}"
    try:
        modules_of(TUTORIAL, folder)
        assert "number 1 for a parcel" in typed(tutorial_commands(), folder)
        (folder / "mine.py").write_text(_OWN_FLOW)
        own = typed("redisflow run mine.py --store x=40 --store y=2", folder)
        assert own == "total = 42\n"
    finally:
        typed("redisflow server stop", folder)
    assert monotonic() - started < _BUDGET_S, took_s
    logging.getLogger(__name__).warning("seconds: %s", took_s)  # for pytest -rP
