"""The tests of faults can fail: with a protection taken out, they do.

Each mutant is a copy of the package, the scripts and the tests in which one protection
is missing. A test that is there to guard it is run on the copy, and has to fail there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.one_server, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """A protection that is taken out.

    Attributes:
        file: where it stands.
        text: what it is.
        instead: what is there in its place.
        tests: what has to fail without it.
    """

    file: str
    text: str
    instead: str
    tests: str


MUTANTS = {
    "token check removed": Mutant(
        "scripts/lua/work_complete.lua",
        "local held = holds(args.worker, args.token, args.item)",
        "local held = true",
        "tests/concurrency/test_faults.py::test_paused_worker",
    ),
    "redis-py sends again by itself": Mutant(
        "redisflow/client/connect.py",
        '"retry": Retry(NoBackoff(), 0)}',
        '"retry": Retry(NoBackoff(), 3)}',
        "tests/integration/test_client_cluster.py::test_redis_py_sends_nothing_again",
    ),
    "lease ignored": Mutant(
        "scripts/lua/worker_sweep.lua",
        "read('ZRANGEBYSCORE', keys.workers, '-inf', now - 1, 'LIMIT', 0, 2)",
        "read('ZRANGEBYSCORE', keys.workers, '-inf', '(inf', 'LIMIT', 0, 2)",
        "tests/lua/test_worker_sweep.py::test_living_workers_are_left_alone",
    ),
    "checked after the first write": Mutant(
        "scripts/lua/work_complete.lua",
        "check_log()\nlocal atom",
        "redis.call('HSET', keys.flow, 'rev', flow.rev + 1)\ncheck_log()\nlocal atom",
        "tests/lua/test_every_script.py::test_key_of_another_type_is_named_and_nothing_is"
        "_changed",
    ),
    "commands are not asked for": Mutant(
        "scripts/lua/includes/enter_flow.lua",
        "  check_acl(keys.flow)\n",
        "",
        "tests/chaos/test_refusals.py::test_command_is_taken_away",
    ),
}

#: What is chosen of a test with many parameters.
CHOSEN = {
    "checked after the first write": "work_complete",
    "commands are not asked for": "zadd",
}


def _copy(folder):
    """Copy all that the tests need."""
    for name in ("redisflow", "scripts", "tests"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", folder)


def _run(folder, name):
    """Run the tests of a mutant; returns what pytest has to say."""
    words = ["-q", "-x", "-p", "no:cacheprovider", "--seed", "1", MUTANTS[name].tests]
    if name in CHOSEN:
        words += ["-k", f"redis and {CHOSEN[name]}"]
    else:
        words += ["-k", "redis"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name, tmp_path):
    """The test passes with the protection, and fails without it."""
    mutant = MUTANTS[name]
    _copy(tmp_path)
    good = _run(tmp_path, name)
    assert good.returncode == 0, good.stdout + good.stderr

    file = tmp_path / mutant.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutant.text) == 1, "the protection stands elsewhere now"
    file.write_text(text.replace(mutant.text, mutant.instead), encoding="utf-8")

    bad = _run(tmp_path, name)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "1 failed" in bad.stdout, bad.stdout
