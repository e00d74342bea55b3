"""How fast is a line of tasks beside TaskFlow's serial engine on SQLite?"""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

from taskflow.persistence import backends
from taskflow.utils import persistence_utils

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Run our engine before and after theirs."""
    count = bench.sizes.sqlite
    if not count:
        return
    if not all(importlib.util.find_spec(name) for name in ("alembic", "sqlalchemy")):
        print("no SQLite: sqlalchemy and alembic are not installed")
        return
    our_s = [_ours_s(bench, count) for _ in range(3)]
    their_s = _theirs_s(count)
    our_s += [_ours_s(bench, count) for _ in range(3)]
    yield Row(
        f"{count} tasks in line / TaskFlow serial, SQLite",
        [their_s / seconds for seconds in our_s],
        unit="x",
        budget=Budget(80),
        detail=[f"TaskFlow: {count / their_s:.1f} atoms a second, {their_s:.1f} s"],
        raw={"taskflow_s": their_s, "run_s": our_s},
    )


def _ours_s(bench: Bench, count: int) -> float:
    with flows.ours(flows.line(count), bench.server.url) as engine:
        return flows.run_s(engine)


def _theirs_s(count: int) -> float:
    with tempfile.TemporaryDirectory(prefix="rf-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'flows.db'}"
        with contextlib.closing(backends.fetch({"connection": url})) as backend:
            with contextlib.closing(backend.get_connection()) as connection:
                connection.upgrade()
            book, detail = persistence_utils.temporary_flow_detail(backend)
            engine = flows.theirs(
                flows.line(count), backend=backend, book=book, flow_detail=detail
            )
            return flows.run_s(engine)
