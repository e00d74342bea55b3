"""Killing workers at random moments of a flow, by a schedule drawn from a seed."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from redisflow.keys import FlowKeys
from tests.support.eventually import eventually
from tests.support.workloads import read_notes

#: Within this time a process has stopped, and the server has read what it had sent.
_STILL_S = 0.005


def lots(request: pytest.FixtureRequest, seed: int) -> random.Random:
    """Draw lots for one test; if it fails, its report says how to repeat it."""
    again = f"pytest --seed {seed} '{request.node.nodeid}'"
    request.node.add_report_section("call", "seed", f"to repeat this: {again}")
    return random.Random(f"{seed}/{request.node.name}")


@dataclass(frozen=True, slots=True)
class Strike:
    """The death of a worker.

    Attributes:
        worker: its id.
        ms: the server's clock when it was killed.
        atoms: names of the atoms that it held.
        items: all items that it held.
    """

    worker: str
    ms: int
    atoms: tuple[str, ...]
    items: tuple[str, ...]


@dataclass
class Striker:
    """Kills workers of one flow, and keeps a record of what that cost.

    Args:
        admin: a client that answers in text.
        keys: of the flow.
        most: how many times a worker may die with the same atom.

    Attributes:
        strikes: all deaths.
        hits: how many times the worker of each atom was killed while it held it.
    """

    admin: Any  # redis-py's types do not know which clients answer in text
    keys: FlowKeys
    most: int = 2
    strikes: list[Strike] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    _dead: set[int] = field(default_factory=set)

    def held(self, pid: int) -> Mapping[str, str]:
        """Return what a process holds: item -> worker."""
        rows = self.admin.hgetall(self.keys.claims)
        found = {item: row.split()[0] for item, row in rows.items() if row}
        return {item: worker for item, worker in found.items() if _pid(worker) == pid}

    def strike(self, pid: int) -> Strike | None:
        """Kill a worker; spare it if one of its atoms was hit too often already.

        It is stopped first: what it holds is then known, and stays so.
        """
        os.kill(pid, signal.SIGSTOP)
        held = self.still_held(pid)
        atoms = self._names(held)
        if any(self.hits[atom] >= self.most for atom in atoms):
            os.kill(pid, signal.SIGCONT)
            return None
        seconds, us = self.admin.time()
        os.kill(pid, signal.SIGKILL)
        self._dead.add(pid)
        self.hits.update(atoms)
        worker = next(iter(held.values()), str(pid))
        strike = Strike(worker, seconds * 1000 + us // 1000, atoms, tuple(held))
        self.strikes.append(strike)
        return strike

    def still_held(self, pid: int) -> Mapping[str, str]:
        """Return what a stopped process holds, once that does not change any more."""
        known: list[Mapping[str, str]] = []

        def settled() -> bool:
            known.append(self.held(pid))
            threading.Event().wait(_STILL_S)
            return known[-1] == self.held(pid)

        eventually(settled)
        return known[-1]

    def follow(
        self,
        schedule: Collection[int],
        draw: random.Random,
        notes: Path,
        pids: Callable[[], Collection[int]],
        struck: Callable[[int], object],
    ) -> None:
        """Kill a worker each time that so many tasks have begun.

        Args:
            schedule: numbers of tasks, growing.
            draw: chooses the victims.
            notes: what the tasks have noted.
            pids: the processes that are there.
            struck: called after each death, with what died.
        """
        for begun in schedule:
            eventually(lambda: _begun(notes) >= begun, 60)  # noqa: B023  # used at once
            threading.Event().wait(draw.uniform(0, 0.01))
            victims = eventually(lambda: self.over or self._at_work(pids()), 60)
            if victims is True:
                return
            victim = draw.choice(victims)
            if self.strike(victim) is not None:
                struck(victim)

    def open(self, gate: Path, pids: Callable[[], Collection[int]]) -> None:
        """Let a run begin in earnest once there is more than one to choose from."""
        eventually(lambda: self._at_work(pids()), 60)
        gate.touch()

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        run, ended = self.admin.hmget(self.keys.flow, "run", "ended")
        return bool(run == ended)

    def _at_work(self, pids: Collection[int]) -> list[int]:
        """Return the processes that take part, if it is more than one."""
        workers = self.admin.zrange(self.keys.workers, 0, -1)
        at_work = {_pid(worker) for worker in workers} - self._dead
        found = sorted(at_work & set(pids))
        return found if len(found) > 1 else []

    def _names(self, items: Collection[str]) -> tuple[str, ...]:
        """Name the atoms that are executed or reverted by some items."""
        numbers = [
            int(item.partition(":")[0])
            for item in items
            if item.endswith((":execute", ":revert"))
        ]
        names = {
            uuid: name for name, uuid in self.admin.hgetall(self.keys.atoms).items()
        }
        nodes = [self.admin.hget(self.keys.graph, number) for number in numbers]
        return tuple(names[node.split("|")[2]] for node in nodes)


def _pid(worker: str) -> int:
    return int(worker.split(":")[1]) if ":" in worker else 0


def _begun(notes: Path) -> int:
    return sum(note.phase == "begin" for note in read_notes(notes))
