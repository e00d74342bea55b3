"""How much of the server's memory does an atom with a short result take?

Everything that is left of a run counts: the atom, its result, its node of the graph,
its journal and its places in the indexes. The server's own figure is compared before
the flow is loaded and after its run, when our connections are gone again.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Iterator

import redis

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row

_KIB = 1024
_PAGE = 1000


def measure(bench: Bench) -> Iterator[Row]:
    """Fill an empty server with one flow of each size."""
    admin = bench.server.admin
    _run(bench, 5)  # the server keeps scripts, too, but those are not an atom's
    for count in bench.sizes.memory:
        admin.flushall()
        before = _used(admin)
        _run(bench, count)
        grown = _used(admin) - before
        families = _families(admin)
        yield Row(
            f"server memory per atom, {count} atoms",
            [grown / count / _KIB],
            unit="KiB",
            budget=Budget(1.25, at_least=False),
            detail=[
                f"MEMORY USAGE of {family}: {size / count:.0f} bytes an atom"
                for family, size in families.most_common()
                if size / count >= 1
            ],
            raw={"atoms": count, "bytes": grown, "families": dict(families)},
        )
    admin.flushall()


def _run(bench: Bench, count: int) -> None:
    with flows.ours(flows.lines(count, flows.Short), bench.server.url) as engine:
        engine.run()


def _used(admin: redis.Redis) -> int:
    """Read the memory in use, once only our own connection is left."""
    until = time.monotonic() + 5.0
    while len(admin.client_list()) > 1 and time.monotonic() < until:
        time.sleep(0.02)
    return int(admin.info("memory")["used_memory"])


def _families(admin: redis.Redis) -> collections.Counter[str]:
    """Add up the sizes of keys by the part of their names that says what they are."""
    sizes: collections.Counter[str] = collections.Counter()
    cursor = 0
    while True:
        cursor, keys = admin.scan(cursor, count=_PAGE)
        with admin.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.memory_usage(key, samples=0)
            for key, size in zip(keys, pipeline.execute(), strict=True):
                sizes[_family(_text(key))] += size
        if cursor == 0:
            return sizes


def _text(key: bytes | str) -> str:
    return key if isinstance(key, str) else key.decode()


def _family(key: str) -> str:
    _, tagged, name = key.partition("}:")
    return name.split(":")[0] if tagged else key.split(":")[1]
