"""What README and pages tell a newcomer to type is typed here, in one shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.newcomer import (
    MOVING,
    README,
    TUTORIAL,
    commands,
    modules_of,
    tutorial_commands,
)
from tests.support.servers import ONE_KIND_IS_ENOUGH

ROOT = Path(__file__).parents[2]

_PRINTED = re.compile(r"print\(.*\)  # (.+)")

pytestmark = [ONE_KIND_IS_ENOUGH, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder that looks like a clone, with something small to count in it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(8):
        (texts / f"{number}.txt").write_text("the quick brown fox\n" * 20)
    return tmp_path


@pytest.fixture
def environment(url: str, folder: Path) -> dict[str, str]:
    """Let the commands be found, and their state be in the folder."""
    programs = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "REDISFLOW_URL": url,
        "XDG_STATE_HOME": str(folder / "state"),
    }


def typed(
    text: str, folder: Path, environment: dict[str, str], *, timeout_s: float = 100
) -> subprocess.CompletedProcess[str]:
    """Run commands in one shell, which ends at the first that fails."""
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n" + text
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.timeout(120)
def test_the_readme_can_be_typed(folder: Path, environment: dict[str, str]) -> None:
    """Each command ends well, and the flow of the README comes to its result."""
    modules_of(README, folder)
    text = "".join(commands(README)).replace("/usr/share/doc", str(folder / "texts"))
    assert "redisflow run" in text
    assert "redisflow worker" in text
    done = typed(text, folder, environment)
    assert done.returncode == 0, done.stderr
    assert "length = 15" in done.stdout


def test_the_programs_of_the_readme_run(
    folder: Path, url: str, environment: dict[str, str]
) -> None:
    """Each of them, as a program of its own, prints what it says that it prints."""
    programs = modules_of(README, folder)
    assert len(programs) > 3
    for number, program in enumerate(programs):
        path = folder / f"program_{number}.py"
        path.write_text(program.replace("redis://localhost:6379/0", url))
        done = subprocess.run(
            [sys.executable, str(path)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, textwrap.indent(done.stderr, program)
        assert done.stdout.splitlines() == _PRINTED.findall(program)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_tutorial_can_be_typed(folder: Path, environment: dict[str, str]) -> None:
    """A worker is killed while it packs; another one packs again, and ships."""
    modules_of(TUTORIAL, folder)
    done = typed(tutorial_commands(), folder, environment)
    assert done.returncode == 0, done.stderr
    assert "tracking = 'number 1 for a parcel with the goods of lamp-9'" in done.stdout


@pytest.mark.timeout(240)
def test_moving_runs_can_be_typed(folder: Path, environment: dict[str, str]) -> None:
    """A run goes into a file and on by another name; a logbook comes from a folder."""
    modules_of(MOVING, folder)
    typing = [
        text for text in commands(MOVING) if shutil.which("jq") or text[:3] != "jq "
    ]
    done = typed("".join(typing), folder, environment, timeout_s=200)
    assert done.returncode == 0, done.stderr
    assert "tracking = 'number 1 for a parcel of lamps'" in done.stdout
    assert '"equal": 1' in done.stdout
    assert "OF BARE" in done.stdout
    if shutil.which("jq"):
        assert "_TaskFlow_INJECTOR" in done.stdout
