"""TaskFlow's own examples that ship their output print the same with our engine.

They come from TaskFlow's wheel; nothing of them is copied. Each is a program that knows
nothing of redisflow.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import taskflow

from tests.support.engine_shim import environment
from tests.support.servers import ONE_KIND_IS_ENOUGH

pytestmark = pytest.mark.conformance

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(taskflow.__file__).parent / "examples"
ENDING = ".out.txt"

#: They are about TaskFlow's worker-based engine, and name it.
LEFT_OUT = {"wbe_mandelbrot", "wbe_simple_linear"}

NAMES = sorted(
    path.name.removesuffix(ENDING)
    for path in EXAMPLES.glob(f"*{ENDING}")
    if path.name.removesuffix(ENDING) not in LEFT_OUT
)

#: Those that the default run has.
QUICK = {"retry_flow", "reverting_linear", "simple_linear_listening"}

#: As TaskFlow's own test of its examples does.
UUID = re.compile("XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX".replace("X", "[0-9a-f]"))

#: Since the outputs were written TaskFlow has put the names of tasks into quotes.
TASK = re.compile(r'"(\w+==\d+\.\d+)"')


def _cases():
    """Give each example."""
    for name in NAMES:
        yield pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])


def _told(text):
    """Leave out of an output what is not the same in each run."""
    return TASK.sub(r"\1", UUID.sub("<uuid>", text))


def test_there_are_examples():
    """TaskFlow's wheel has brought some."""
    assert len(NAMES) >= 10


@ONE_KIND_IS_ENOUGH
@pytest.mark.parametrize("name", list(_cases()))
def test_example(name, url, admin, tmp_path):
    """It prints what it prints with TaskFlow's engine, and its flows were ours."""
    ended = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", url],
        env=environment(url, tmp_path, str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    expected = (EXAMPLES / f"{name}{ENDING}").read_text(encoding="utf-8")
    assert _told(ended.stdout) == _told(expected)
    assert any(key.endswith(":flow") for key in admin.scan_iter()) or _cleans_up(name)


def _cleans_up(name):
    """Tell whether an example destroys what it has stored."""
    return "destroy_logbook" in (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
