"""The benchmarks run, and print each of their rows with figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

# All of it, in its smallest size.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]

SHAPES = (
    "in line",
    "independent",
    "in a fan-out and fan-in",
    "in a layered graph",
)

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
    "round trips: an atom, executed and reverted",
    "Storage.transition_atom_state / bare EVALSHA",
    "lock: acquire and release / two bare EVALSHA",
    "lock: hand-over to another process / RPUSH to BLPOP",
    "atom to its successor elsewhere / RPUSH to BLPOP",
    "40 tasks in line, atoms / bare EVALSHA, per second",
    "40 tasks in line / TaskFlow serial, memory",
    "40 independent tasks / TaskFlow serial, memory",
    "a task, 20 in line (BullMQ: published)",
    "a task, 21 and a join (BullMQ: published)",
    "a task, 16 in layers of 4 (streaq: published)",
    *(f"40 atoms {shape} / 20, each" for shape in SHAPES),
    "a dead worker's atom starts elsewhere, lease 0.5 s",
    "server memory per atom, 50 atoms",
    *(f"longest script, 30 atoms {shape}" for shape in SHAPES),
]
COMPARED = [
    "the same by two scripts that decide nothing / RPUSH to BLPOP",
    "30 tasks in a fan-out and fan-in / TaskFlow serial, memory",
    "30 tasks in a layered graph / TaskFlow serial, memory",
    "2 workers, 20 atoms of 0 ms / one worker",
    "1 worker, 4 atoms of 5 ms / ideal",
    "2 workers, 8 atoms of 5 ms / ideal",
    "20 atoms executed and reverted / 20 in line, each",
    "20 atoms reverted and done again / 20 in line, each",
    "10 tasks, each retried by its own / 20 in line, each",
    "30 atoms executed and reverted / TaskFlow serial, memory",
    "3 results of 0.1 MB, one by one / HSET of them",
    "3 results of 0.1 MB: bytes to a reader of states, an atom",
    "10 flows of one atom / 1, each, from load to end",
    "10 flows of one atom: keys, each",
    "10 flows of one atom: server memory, each",
    "3 idle workers in a flow: commands a second, all together",
    "3 idle workers that serve: commands a second, all together",
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
        timeout=150,
        check=True,
    )
    return done.stdout, file


@pytest.mark.parametrize("what", RATIOS)
def test_a_ratio_stands_beside_its_budget(measured: tuple[str, Path], what: str):
    """A row has a figure, the budget, and whether that was met."""
    table, _ = measured

    row = next(
        line for line in table.splitlines() if re.match(f"{re.escape(what)}[ :]", line)
    )

    assert re.search(
        r" \d+(\.\d+)?( x| KiB| s| ms| µs)? .*[≥≤] [\d.]+ +(not )?met$", row
    )


@pytest.mark.parametrize("what", COMPARED)
def test_a_comparison_is_printed(measured: tuple[str, Path], what: str):
    """A row without a budget has a figure, and no verdict."""
    table, _ = measured

    row = next(line for line in table.splitlines() if line.startswith(f"{what} "))

    assert re.search(r" \d+(\.\d+)?( x| KiB| ms)?( +\d+.*)?$", row)
    assert "met" not in row.removeprefix(what)


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

    # The name of the longest script stands behind the name of its row.
    named = set(rows) | {what.rpartition(":")[0] for what in rows}
    assert {*RATIOS, *COMPARED, *TIMES} <= named
    for row in rows.values():
        assert row["values"]
        assert min(row["values"]) <= row["median"] <= max(row["values"])
        assert min(row["values"]) > 0 or "idle workers" in row["what"]


def test_the_chart_has_a_line_for_each_shape(measured: tuple[str, Path]):
    """The cost per atom is drawn beside the file, readable by any browser."""
    _, file = measured

    drawn = ElementTree.fromstring(file.with_suffix(".svg").read_text())

    texts = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {*SHAPES, "20", "40"} <= texts


def test_an_atom_handed_over_counts_once_for_each_leg(measured: tuple[str, Path]):
    """The hand-over was measured between processes, not within one."""
    _, file = measured

    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}

    row = rows["atom to its successor elsewhere / RPUSH to BLPOP"]
    assert re.fullmatch(r"handed over: [1-9]\d* of \d+", row["detail"][-1])


def test_a_write_of_storage_is_one_command(measured: tuple[str, Path]):
    """Counting commands is exact, however short the run."""
    _, file = measured

    rows = {row["what"]: row for row in json.loads(file.read_text())["rows"]}

    assert rows["round trips: Storage.save"]["values"] == [1.0]
    assert rows["round trips: an atom in a line"]["values"] == [1.0]
