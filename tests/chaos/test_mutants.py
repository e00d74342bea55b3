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


_EVERY_SCRIPT = "tests/lua/test_every_script.py"

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
        f"{_EVERY_SCRIPT}::test_key_of_another_type_is_named_and_nothing_is_changed",
    ),
    "commands are not asked for": Mutant(
        "scripts/lua/includes/enter_flow.lua",
        "  check_acl(keys.flow)\n",
        "",
        f"{_EVERY_SCRIPT}::test_user_who_lacks_a_command_changes_nothing",
    ),
    "keys that are gone are taken for empty ones": Mutant(
        "scripts/lua/includes/enter_flow.lua",
        "  check_there(keys.lasting)\n",
        "",
        f"{_EVERY_SCRIPT}::test_key_that_a_flow_always_has_is_missed",
    ),
    "fence of a section that is over": Mutant(
        "scripts/lua/includes/heed_lock.lua",
        "if writing and lock[1] == args.fence then return flow end",
        "if writing then return flow end",
        f"{_EVERY_SCRIPT}::test_script_of_a_section_runs_while_its_lease_lasts",
    ),
    "second sending takes itself for a first one": Mutant(
        "scripts/lua/includes/heed_sent.lua",
        "return mark == ' 2'",
        "return false",
        "tests/integration/test_storage_lost_replies.py::test_who_moved_it_is_told_so",
    ),
    "what comes too late is done": Mutant(
        "scripts/lua/includes/heed_sent.lua",
        "and tonumber(number) < tonumber(last) then",
        "and false then",
        f"{_EVERY_SCRIPT}::test_what_comes_too_late_is_not_done",
    ),
    "server that has lost its end is not noticed": Mutant(
        "redisflow/client/sending.py",
        "if witness is not None and connection.history != witness.history.server:",
        "if False:",
        "tests/integration/test_epochs.py::test_epoch_grows_and_no_revision_is_given"
        "_twice",
    ),
    "halt is forgotten with those who knew of it": Mutant(
        "scripts/lua/flow_start.lua",
        "local halt = args.run == flow.run and flow.halt or 0",
        "local halt = 0",
        "tests/lua/test_flow_start.py::test_run_that_is_taken_over_stays_halted",
    ),
}

#: What is chosen of a test with many parameters.
CHOSEN = {
    "checked after the first write": "work_complete",
    "commands are not asked for": "work_complete",
    "keys that are gone are taken for empty ones": "work_complete",
    "fence of a section that is over": "work_complete",
    "what comes too late is done": "work_complete",
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
