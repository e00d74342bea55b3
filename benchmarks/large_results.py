"""What do large results cost, beside writing as many bytes with HSET?

And what does a process get that only looks at states? Results should travel to nobody
who has not asked for them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import redisflow
from benchmarks import flows
from benchmarks.measuring import Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Write both in turns; then read states."""
    count, size = bench.sizes.large
    what = f"{count} results of {size / 1e6:g} MB"
    our_s: list[float] = []
    bare_s: list[float] = []
    sent: list[float] = []
    for _ in range(bench.sizes.crew_rounds):
        bench.server.admin.flushall()
        bare_s.append(_bare_s(bench, count, size))
        with flows.ours(
            flows.line(count, lambda name: flows.Large(name, size)), bench.server.url
        ) as engine:
            our_s.append(flows.run_s(engine))
            sent.append(_sent_to_reader(bench, engine.storage.flow_uuid, count) / count)
    yield Row(
        f"{what}, one by one / HSET of them",
        [ours / bare for ours, bare in zip(our_s, bare_s, strict=True)],
        unit="x",
        detail=[
            f"an atom: {min(our_s) / count * 1000:.1f} ms",
            f"an HSET: {min(bare_s) / count * 1000:.1f} ms",
        ],
        raw={"run_s": our_s, "bare_s": bare_s},
    )
    yield Row(f"{what}: bytes to a reader of states, an atom", sent)
    bench.server.admin.flushall()


def _bare_s(bench: Bench, count: int, size: int) -> float:
    with contextlib.closing(bench.server.connect()) as client:
        value = b"x" * size
        began = time.perf_counter()
        for number in range(count):
            client.hset(f"bare:{number}", "results", value)
        return time.perf_counter() - began


def _sent_to_reader(bench: Bench, uuid: str, count: int) -> int:
    """Have somebody else read all states; returns how many bytes the server sent."""
    with contextlib.closing(
        redisflow.RedisBackend.from_url(bench.server.url)
    ) as backend:
        backend.get_connection()
        before = _sent(bench)
        detail = backend.get_connection().get_flow_details(uuid, lazy=True)
        reader = redisflow.Storage(detail, backend)
        reader.get_atoms_states(f"task-{number}" for number in range(count))
        return _sent(bench) - before


def _sent(bench: Bench) -> int:
    return int(bench.server.admin.info("stats")["total_net_output_bytes"])
