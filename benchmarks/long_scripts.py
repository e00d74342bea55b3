"""How long does each script keep the server from others, in a large flow?

The server does one thing at a time: while a script runs, all others wait. So each is to
be short, however large the flow is. The slow log has the time of each call, apart from
the very short ones: most of those are the commands that scripts run. A row is about the
script whose median is the longest; single calls are longer on a machine that has other
things to do, so those are only told.
"""

from __future__ import annotations

import collections
import contextlib
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from taskflow import flow

from benchmarks import flows
from benchmarks.growth import SHAPES
from benchmarks.measuring import Bench, Budget, Row
from redisflow.scripts import catalogue

#: Retries set out plans that follow links, forwards and backwards.
_AGAIN: Mapping[str, Callable[[int], flow.Flow]] = {
    "in line, done again": flows.repeated,
    "independent, done again": flows.repeated_widely,
}
_PAGE = 10_000
_EVERY_S = 0.2
_LOGGED_US = 20


def measure(bench: Bench) -> Iterator[Row]:
    """Run each shape once in each size."""
    for count in bench.sizes.scripts:
        for shape, make in {**SHAPES, **_AGAIN}.items():
            bench.server.admin.flushall()
            with (
                flows.ours(make(count), bench.server.url) as engine,
                _logged(bench) as took_us,
            ):
                engine.run()
            yield _row(f"{count} atoms {shape}", took_us)
    bench.server.admin.flushall()


def _row(what: str, took_us: dict[str, list[int]]) -> Row:
    medians = {name: statistics.median(took) for name, took in took_us.items()}
    slowest = sorted(medians, key=lambda name: medians[name], reverse=True)
    return Row(
        f"longest script, {what}: {slowest[0]}",
        [medians[slowest[0]]],
        unit="µs",
        budget=Budget(1000, at_least=False),
        detail=[f"{name}: {_listed(took_us[name])}" for name in slowest],
        raw={"calls": {name: len(took) for name, took in took_us.items()}},
    )


def _listed(took_us: Sequence[int]) -> str:
    over = sum(took > 1000 for took in took_us)
    return (
        f"{len(took_us)} calls, median {statistics.median(took_us):.0f} µs,"
        f" longest {max(took_us)} µs, over 1 ms: {over}"
    )


@contextlib.contextmanager
def _logged(bench: Bench) -> Iterator[dict[str, list[int]]]:
    """Collect how long each call of a script takes inside of the block, by its name."""
    admin = bench.server.admin
    names = {script.sha: script.name for script in catalogue().values()}
    took_us: dict[str, list[int]] = collections.defaultdict(list)
    over = threading.Event()

    def drain() -> None:
        with (
            contextlib.closing(bench.server.connect()) as client,
            client.pipeline(transaction=True) as pipeline,
        ):
            last = False
            while not last:
                last = over.wait(_EVERY_S)
                pipeline.slowlog_get(_PAGE)
                pipeline.slowlog_reset()
                for entry in pipeline.execute()[0]:
                    words = entry["command"].split()
                    if words[0].upper() == b"EVALSHA":
                        name = names.get(words[1].decode(), "another")
                        took_us[name].append(entry["duration"])

    before = admin.config_get("slowlog-*")
    admin.config_set("slowlog-max-len", _PAGE)
    admin.config_set("slowlog-log-slower-than", _LOGGED_US)
    admin.slowlog_reset()
    drainer = threading.Thread(target=drain, daemon=True)
    drainer.start()
    try:
        yield took_us
    finally:
        over.set()
        drainer.join()
        for name, value in before.items():
            admin.config_set(str(name), str(value))
