"""What a crew of processes does with a random flow: run it together, and tell of it."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskflow.persistence import models

from redisflow import RedisBackend, SharedEngine
from tests.support.outcomes import error_of, kinds_of
from tests.support.processes import Turn
from tests.support.random_flows import Notes, Shape, draw_shape

_MOST_ATOMS = 14
_TROUBLE = ("none", "one", "some", "some")


@dataclass(frozen=True, slots=True)
class Job:
    """A flow, and how it is to be run.

    Attributes:
        number: tells it from others of the same seed.
        shape: the flow.
        workers: how many processes run it.
        shared: options that all engines share, TaskFlow's too.
        options: those of each engine.
    """

    number: int
    shape: Shape
    workers: int
    shared: Mapping[str, Any]
    options: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What one process has to tell of a run.

    Attributes:
        outcome: of the run.
        error: kinds of what the engine raised.
        notes: what the atoms noted in this process.
    """

    outcome: str | None
    error: tuple[str, ...]
    notes: Notes


def draw_job(seed: int, number: int) -> Job:
    """Draw a flow with retries and deciders, and how many engines run it."""
    dice = random.Random(f"{seed}/{number}")
    shape = draw_shape(dice, _MOST_ATOMS, wild=True, trouble=_TROUBLE)
    shared: dict[str, Any] = {}
    if dice.random() < 0.3:
        shared["defer_reverts"] = True
    if dice.random() < 0.04:
        shared["never_resolve"] = True
    workers = dice.choice([1, 2, 3, 5])
    return Job(number, shape, workers, shared, [_options(dice) for _ in range(workers)])


def _options(dice: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if dice.random() < 0.4:
        options |= {"executor": "threads", "max_workers": dice.choice([2, 3])}
    if dice.random() < 0.2:
        options["claim_all"] = True
    return options


def run_together(turn: Turn, url: str, flow_uuid: str, job: Job) -> Told | None:
    """Run a flow with the others of a crew; those who are too many only wait."""
    if turn.index >= job.workers:
        turn.wait()
        return None
    notes: Notes = []
    engine = SharedEngine(
        job.shape.make(notes),
        models.FlowDetail("f", flow_uuid),
        _backend(url),
        {**job.shared, **job.options[turn.index]},
    )
    engine.compile()
    turn.wait()
    error = error_of(engine.run)
    return Told(engine.outcome(), kinds_of(error), notes)


@functools.cache
def _backend(url: str) -> RedisBackend:
    return RedisBackend.from_url(url)
