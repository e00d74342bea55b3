"""The benchmarks run, and print each of their rows with figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RATIOS = [
    *(
        f"round trips: Storage.{method}"
        for method in (
            "save",
            "set_atom_state",
            "transition_atom_state",
            "update_atom_metadata",
            "inject",
            "change_flow_state",
            "get_atom_state",
        )
    ),
    "round trips: an atom in a line",
    "round trips: an atom that takes its predecessor's result",
    "round trips: an atom in a line, with a listener",
    "Storage.transition_atom_state / bare EVALSHA",
    "lock: acquire and release / two bare EVALSHA",
    "lock: hand-over to another process / RPUSH to BLPOP",
    "40 tasks in line, atoms / bare EVALSHA, per second",
    "40 tasks in line / TaskFlow serial, memory",
    "40 independent tasks / TaskFlow serial, memory",
    "server memory per atom, 50 atoms",
]
TIMES = [
    "server time in scripts: a bare call",
    "server time in scripts: Storage.save",
    "server time in scripts: an atom in a line",
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run all of them once, as short as it goes; return the table and the file."""
    file = tmp_path_factory.mktemp("benchmarks") / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--out", str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
        check=True,
    )
    return done.stdout, file


@pytest.mark.parametrize("what", RATIOS)
def test_a_ratio_stands_beside_its_budget(measured: tuple[str, Path], what: str):
    """A row has a figure, the budget, and whether that was met."""
    table, _ = measured

    row = next(line for line in table.splitlines() if line.startswith(f"{what} "))

    assert re.search(r" \d+(\.\d+)?( x| KiB)? .*[≥≤] [\d.]+ +(not )?met$", row)


@pytest.mark.parametrize("what", TIMES)
def test_a_time_is_printed(measured: tuple[str, Path], what: str):
    """A row has the median and the range."""
    table, _ = measured

    row = next(line for line in table.splitlines() if line.startswith(f"{what} "))

    assert re.search(r" [\d.]+ µs +[\d.]+ … [\d.]+$", row)


def test_the_file_has_all_figures(measured: tuple[str, Path]):
    """Every row of the table is in the file, with each value that was measured."""
    _, file = measured

    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}

    assert set(RATIOS) | set(TIMES) <= set(rows)
    for row in rows.values():
        assert row["values"]
        assert min(row["values"]) <= row["median"] <= max(row["values"])
        assert min(row["values"]) > 0


def test_a_write_of_storage_is_one_command(measured: tuple[str, Path]):
    """Counting commands is exact, however short the run."""
    _, file = measured

    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}

    assert rows["round trips: Storage.save"]["values"] == [1.0]
    assert rows["round trips: an atom in a line"]["values"] == [1.0]
