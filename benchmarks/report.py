"""The table, what is printed below it, and the file with all that was measured."""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row
from benchmarks.server import Server

_HEAD = ("what", "median", "range", "budget", "")
_WIDTHS = (60, 12, 18, 10, 7)


def surroundings(server: Server) -> dict[str, Any]:
    """Say what the figures depend on."""
    hiredis = importlib.util.find_spec("hiredis")
    return {
        "server": server.describe(),
        "python": platform.python_version(),
        "redis_py": importlib.metadata.version("redis"),
        "hiredis": importlib.metadata.version("hiredis") if hiredis else None,
        "taskflow": importlib.metadata.version("taskflow"),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def head(found: Mapping[str, Any]) -> str:
    """Write what comes before the first row."""
    parser = f"hiredis {found['hiredis']}" if found["hiredis"] else "no hiredis"
    return (
        f"{found['server']}, Python {found['python']}, redis-py {found['redis_py']}"
        f" ({parser}), TaskFlow {found['taskflow']}, {found['cores']} cores,"
        f" load {found['load']:.1f}\n\n{_line(_HEAD)}"
    )


def row_line(row: Row) -> str:
    """Write one row of the table."""
    low, high = min(row.values), max(row.values)
    spread = f"{_number(low)} … {_number(high)}" if len(row.values) > 1 else ""
    budget = verdict = ""
    if row.budget is not None:
        sign = "≥" if row.budget.at_least else "≤"
        budget = f"{sign} {_number(row.budget.limit)}"
        verdict = "met" if row.budget.met_by(row.median) else "not met"
    median = f"{_number(row.median)} {row.unit}".rstrip()
    return _line((row.what, median, spread, budget, verdict))


def details(rows: Sequence[Row]) -> str:
    """Write what is printed below the table."""
    lines = []
    for row in rows:
        if row.detail:
            lines += [row.what, *(f"    {line}" for line in row.detail)]
    return "\n".join(lines)


def save(
    path: Path,
    found: Mapping[str, Any],
    rows: Sequence[Row],
    took_s: Mapping[str, float],
) -> None:
    """Write everything that was measured into a file."""
    content = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "surroundings": dict(found),
        "took_s": dict(took_s),
        "rows": [_record(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def _record(row: Row) -> dict[str, Any]:
    record: dict[str, Any] = {
        "what": row.what,
        "unit": row.unit,
        "median": row.median,
        "values": list(row.values),
    }
    if row.budget is not None:
        record["at_least" if row.budget.at_least else "at_most"] = row.budget.limit
        record["met"] = row.budget.met_by(row.median)
    return {**record, "detail": list(row.detail), "raw": dict(row.raw)}


def _line(cells: Sequence[str]) -> str:
    what, *others = cells
    padded = [
        f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS[1:], strict=True)
    ]
    return "  ".join([f"{what:<{_WIDTHS[0]}}", *padded]).rstrip()


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
