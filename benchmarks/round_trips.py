"""How many round trips does an operation cost?

MONITOR tells what the server has received, from every connection; the commands that
scripts run are marked in it and left out. Per atom it is the difference between a long
line and a short one, without the steps in which a start, or a revert-all, changes many
records at a time: those stand below, together with the whole.
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator

import redis
from taskflow import flow

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row
from benchmarks.operations import operations
from redisflow.scripts import catalogue

#: What changes many records, some tens in each call.
_STEPS = ("graph_save", "plan_step")

#: What goes along with another command in one pipeline: the revision of its atom.
_ALONG = ("HGET",)
_END = "redisflow-benchmarks-end"


def measure(bench: Bench) -> Iterator[Row]:
    """Count the commands of each operation of Storage, then of an atom in a line."""
    count = bench.sizes.counted
    with operations(bench.server.url) as named:
        for name, operation in named.items():
            operation(0)
            with received(bench) as commands:
                for number in range(1, count + 1):
                    operation(number)
            yield Row(
                f"round trips: Storage.{name}",
                [commands.total() / count],
                budget=Budget(1, at_least=False),
                raw={"calls": count, "commands": dict(commands)},
            )
    # A listener may suspend the flow: it is told before more is taken.
    shapes = (
        ("an atom in a line", flows.line, False, 1),
        ("an atom that takes its predecessor's result", flows.handing_on, False, 1),
        ("an atom in a line, with a listener", flows.line, True, 2),
        ("an atom, executed and reverted", flows.failing, False, 3),
    )
    for what, shape, listened, limit in shapes:
        short = _of_run(bench, shape(count), listened=listened)
        long = _of_run(bench, shape(3 * count), listened=listened)
        more = long.copy()
        more.subtract(short)
        whole = more.total() / (2 * count)
        for step in (*_STEPS, *_ALONG):
            del more[step]
        yield Row(
            f"round trips: {what}",
            [more.total() / (2 * count)],
            budget=Budget(limit, at_least=False),
            detail=[
                f"with steps for many records ({' and '.join(_STEPS)}): {whole:.2f}",
                f"a whole run of {3 * count}: {_listed(long)}",
            ],
            raw={"atoms": 3 * count, "commands": dict(long), "short": dict(short)},
        )


def _of_run(
    bench: Bench, made: flow.Flow, *, listened: bool
) -> collections.Counter[str]:
    """Count the commands of a run, without loading and compiling."""
    store = {"n0": 0} if made.requires else None
    with flows.ours(made, bench.server.url, store=store) as engine:
        if listened:
            engine.atom_notifier.register("*", lambda *_told: None)
        with received(bench) as commands, contextlib.suppress(flows.Failed):
            engine.run()
    return commands


@contextlib.contextmanager
def received(
    bench: Bench, *, heartbeats: bool = False
) -> Iterator[collections.Counter[str]]:
    """Count what the server receives inside of the block, scripts by their names.

    Args:
        bench: has the server.
        heartbeats: count those, too: there are some, whatever is done.
    """
    commands: collections.Counter[str] = collections.Counter()
    with (
        contextlib.closing(bench.server.connect()) as client,
        client.monitor() as monitor,
    ):
        reader = threading.Thread(target=_read, args=(monitor, commands), daemon=True)
        reader.start()
        yield commands
        bench.server.admin.echo(_END)
        reader.join()
    if not heartbeats:
        del commands["worker_heartbeat"]


def _read(monitor: redis.client.Monitor, commands: collections.Counter[str]) -> None:
    names = {script.sha: script.name for script in catalogue().values()}
    for entry in monitor.listen():
        if entry["client_type"] == "lua":
            continue  # a script's own
        words = entry["command"].split(" ", 2)
        if _END in words:
            return
        command = words[0].upper()
        name = names.get(words[1], command) if command == "EVALSHA" else command
        commands[name] += 1


def _listed(commands: collections.Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in commands.most_common())
