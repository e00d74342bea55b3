"""A short measurement of what redisflow does on a server, beside what that can do bare.

Everything is measured in turns, a little of each in every round, so that a server that
is busy for a while slows all of it; what counts is the median of the rounds, and what
is told beside it the lowest and the highest. Ratios say more than rates: they hold on
another machine.

All keys are in a namespace of its own, which is removed in the end, however that comes.
"""

from __future__ import annotations

import hashlib
import secrets
import statistics
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from taskflow import states, task
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence import models

from redisflow.config import parse_url
from redisflow.engine.loading import open_run
from redisflow.persistence import RedisBackend
from redisflow.persistence.removal import remove_flow
from redisflow.rwlock import ReaderWriterLock
from redisflow.storage import Storage

#: The smallest compare-and-set script there can be.
_CAS = """#!lua
local state = redis.call('HGET', KEYS[1], 'state')
if state and state ~= ARGV[1] then return {'OTHER', state} end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
return {'MOVED'}
"""
_SHA = hashlib.sha1(_CAS.encode(), usedforsecurity=False).hexdigest()
_STATES = (states.PENDING, states.IGNORE)

ROUNDS = 5
_FEWEST_ATOMS, _MOST_ATOMS = 10, 2000

#: Calls between two looks at the clock.
_BURST = 10


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is measured.

    Attributes:
        name: what it is called in JSON.
        text: what a person is told.
        ideal: how many bare calls it would be; 0: it is not compared with these.
    """

    name: str
    text: str
    ideal: int = 0


MEASURES = (
    Measure("round_trip", "bare command, there and back"),
    Measure("evalsha", "bare EVALSHA, compare and set", 1),
    Measure("storage_write", "state of an atom, stored", 1),
    Measure("lock", "lock, acquired and released", 2),
    Measure("line", "atoms in line, one worker", 1),
    Measure("independent", "independent atoms, one worker", 1),
)


@dataclass
class Result:
    """What was measured of one thing.

    Attributes:
        measure: what.
        rates: how many a second, in each round.
    """

    measure: Measure
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The rate in the middle."""
        return statistics.median(self.rates)


def measuring(url: str | None) -> RedisBackend:
    """Open a backend in a namespace of its own, beside the one of the URL.

    Raises:
        ConfigError: the URL cannot be used, or its namespace is too long.
    """
    own = f"{parse_url(url).namespace}:bench-{secrets.token_hex(4)}"
    return RedisBackend({"namespace": own, **({"connection": url} if url else {})})


def measure(
    backend: RedisBackend, *, seconds: float, told: Callable[[int], object]
) -> Mapping[str, Result]:
    """Measure everything, and remove all that it has left.

    Args:
        backend: in a namespace in which nothing else is, see `measuring`.
        seconds: for how long, more or less.
        told: called after each round, with its number from 1.

    Returns:
        What was measured, by the names in `MEASURES`; of as many rounds as were done.

    Raises:
        StoreError: the server cannot be used.
    """
    try:
        bursts = _Bursts(backend)
        results = {each.name: Result(each) for each in MEASURES}
        slice_s = seconds / (ROUNDS * len(MEASURES))
        for number in range(1, ROUNDS + 1):
            for name, result in results.items():
                result.rates.append(bursts.rate_of(name, slice_s))
            told(number)
        return results
    finally:
        clear(backend)


def clear(backend: RedisBackend) -> None:
    """Remove all keys of the namespace."""
    space = backend.keys.namespace
    keys = list(backend.client.scan(f"{space}:*"))
    for start in range(0, len(keys), 500):
        batch = keys[start : start + 500]
        backend.client.execute_many([("UNLINK", key) for key in batch])


class Nothing(task.Task):
    """A task that does nothing."""

    def execute(self) -> None:
        """Do nothing."""


def _nothing(name: str) -> Nothing:
    return Nothing(name)  # type: ignore[no-untyped-call]  # as TaskFlow


class _Bursts:
    """What is done again and again."""

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._key = backend.keys.of_flow("bench").flow
        detail = models.FlowDetail("bench", str(uuid.uuid4()))
        self._storage = Storage(detail, backend)
        self._storage.ensure_atom(_nothing("a"))
        self._lock = ReaderWriterLock(backend, "bench")
        self._turn = 0
        self._calls: Mapping[str, Callable[[], object]] = {
            "round_trip": lambda: backend.client.execute("TIME"),
            "evalsha": self._compare_and_set,
            "storage_write": self._transition,
            "lock": self._section,
        }
        self._atoms_per_s = 500.0
        for call in self._calls.values():  # scripts are loaded, connections made
            call()
            call()

    def rate_of(self, name: str, seconds: float) -> float:
        """Do something for a while; returns how often a second."""
        if name in self._calls:
            return _rate(self._calls[name], seconds)
        return self._flow(name, seconds)

    def _next(self) -> tuple[str, str]:
        self._turn += 1
        now = self._turn % 2
        return _STATES[1 - now], _STATES[now]

    def _compare_and_set(self) -> None:
        old, new = self._next()
        self._backend.client.run_script(_SHA, _CAS, [self._key], [old, new])

    def _transition(self) -> None:
        self._storage.transition_atom_state("a", self._next()[1])

    def _section(self) -> None:
        with self._lock.write_lock():
            pass

    def _flow(self, name: str, seconds: float) -> float:
        """Run a flow that takes about so long, from its start to its end."""
        count = int(self._atoms_per_s * seconds)
        count = max(_FEWEST_ATOMS, min(_MOST_ATOMS, count))
        pattern: Any = linear_flow if name == "line" else unordered_flow
        flow = pattern.Flow(name).add(*[_nothing(f"t{n}") for n in range(count)])
        opened = open_run(self._backend, flow, run_id=None)
        engine = opened.engine(store=None, rerun=False)
        started = perf_counter()
        engine.run()
        rate = count / (perf_counter() - started)
        self._atoms_per_s = rate
        remove_flow(self._backend, opened.flow_detail.uuid)
        return rate


def _rate(call: Callable[[], object], seconds: float) -> float:
    started = now = perf_counter()
    count = 0
    while count == 0 or now - started < seconds:
        for _ in range(_BURST):
            call()
        count += _BURST
        now = perf_counter()
    return count / (now - started)
