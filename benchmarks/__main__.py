"""Ask the questions, print the table."""

from __future__ import annotations

import argparse
import datetime
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    chart,
    dead_worker,
    flows,
    graphs,
    growth,
    hand_over,
    idle_workers,
    independent,
    large_results,
    line,
    lock,
    long_scripts,
    many_flows,
    memory,
    peers,
    report,
    reverts,
    round_trips,
    script_time,
    sqlite,
    storage_cas,
    workers,
)
from benchmarks.measuring import FULL, NORMAL, QUICK, Bench, Question, Row, Sizes
from benchmarks.operations import operations
from benchmarks.server import Server, running

QUESTIONS: dict[str, Question] = {
    "round_trips": round_trips.measure,
    "storage_cas": storage_cas.measure,
    "lock": lock.measure,
    "hand_over": hand_over.measure,
    "line": line.measure,
    "independent": independent.measure,
    "graphs": graphs.measure,
    "peers": peers.measure,
    "growth": growth.measure,
    "workers": workers.measure,
    "dead_worker": dead_worker.measure,
    "reverts": reverts.measure,
    "large_results": large_results.measure,
    "memory": memory.measure,
    "many_flows": many_flows.measure,
    "idle_workers": idle_workers.measure,
    "script_time": script_time.measure,
    "long_scripts": long_scripts.measure,
    "sqlite": sqlite.measure,
}

_OUT = Path(__file__).parent / "out"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print ratios with their budgets."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=main.__doc__
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="see that it works, in seconds: too short to judge by",
    )
    size.add_argument("--full", action="store_true", help="more, and for longer")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=QUESTIONS,
        default=list(QUESTIONS),
        metavar="QUESTION",
    )
    parser.add_argument("--server", metavar="PROGRAM", help="redis-server by default")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="for all raw figures, as JSON; the chart is put beside it",
    )
    asked = parser.parse_args(argv)
    logging.disable(logging.WARNING)  # TaskFlow's, of flows that it takes to be slow
    sizes = QUICK if asked.quick else FULL if asked.full else NORMAL
    _measure(asked.only, sizes, asked.server, asked.out)


def _measure(
    only: Sequence[str], sizes: Sizes, program: str | None, out: Path | None
) -> None:
    """Ask the named questions; print the answers and write them into a file."""
    rows: list[Row] = []
    took_s: dict[str, float] = {}
    with running(program) as server:
        _warm_up(server)
        found = report.surroundings(server)
        print(report.head(found), flush=True)
        for name in only:
            started = time.perf_counter()
            for row in QUESTIONS[name](Bench(server, sizes)):
                print(report.row_line(row), flush=True)
                rows.append(row)
            server.admin.flushall()
            took_s[name] = time.perf_counter() - started
    if sizes is QUICK:
        print("\ntoo short to judge by: this was --quick")
    print(f"\n{report.details(rows)}")
    now = datetime.datetime.now(datetime.UTC)
    path = out or _OUT / f"{now:%Y%m%d-%H%M%S}.json"
    report.save(path, found, rows, took_s)
    if series := chart.series_of(rows):
        drawn = path.with_suffix(".svg")
        drawn.write_text(chart.draw(series), encoding="utf-8")
        print(f"\nthe cost of an atom against the size of its flow: {drawn}")
    print(f"\n{sum(took_s.values()):.0f} s; all figures: {path}")


def _warm_up(server: Server) -> None:
    """Have every script sent once, so that none is sent while something is timed."""
    with operations(server.url) as named:
        for operation in named.values():
            operation(0)
    with flows.ours(flows.line(3), server.url) as engine:
        engine.run()


if __name__ == "__main__":
    main()
