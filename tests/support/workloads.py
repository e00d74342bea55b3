"""Flows for fault tests: every execution of a task leaves a line in a file.

The file is the witness that does not depend on Redis: lines are appended whole
(``O_APPEND``), before and after what the task does, by whichever process does it.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from taskflow import flow, task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

import redisflow
from tests.support.eventually import eventually

#: How many atoms `mixed` has.
MIXED_ATOMS = 200

#: How long a task lasts that computes, or holds the interpreter, in seconds.
LONG_S = 2.5

_OPEN_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Note:
    """A line that a task has left.

    Attributes:
        atom: name of the task.
        kind: execute or revert.
        phase: begin or end.
        pid: the process that ran it.
        round: how many times the atom was begun anew.
        attempt: how many workers the round had cost before.
        token: of the claim.
    """

    atom: str
    kind: str
    phase: str
    pid: int
    round: int
    attempt: int
    token: str


def append(path: str | Path, line: str) -> None:
    """Append a line to a file, after the end of whatever stands there.

    A write that crosses a page is seen by readers in two steps, and a signal that
    kills the writer between them leaves the first alone: so the line begins with an
    end of line too, and `whole_lines` leaves out what has no end.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"\n{line}\n".encode())
    finally:
        os.close(file)


def whole_lines(path: str | Path) -> list[str]:
    """Read the lines of a file that others may be appending to."""
    file = Path(path)
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line]


def read_notes(path: str | Path) -> list[Note]:
    """Read what tasks have left so far.

    A note is a JSON object without objects inside, so one that was cut by the death
    of its writer is one that does not end with a brace.
    """
    whole = (line for line in whole_lines(path) if line.endswith("}"))
    return [Note(**json.loads(line)) for line in whole]


class Noted(task.Task):
    """A task that leaves a line before and after it does something.

    Its result is the token of its claim, with the tokens that its arguments came
    with, so that a result shows which attempt it is from, and what that one saw.

    Args:
        name: of the task, and of what it provides.
        notes: the file.
        requires: names of tasks whose results it takes.
        takes_s: how long it lasts.
        gate: a file whose coming it waits for.
        end: how it ends: "return", "raise" or "die"; "raise-reverting" and
            "die-reverting" are for its revert. "compute" and "hold" return, after
            `LONG_S` of Python code, or of a C call that lets no other thread run: that
            one only in the first attempt. "fork" waits for a child of its own.
    """

    def __init__(
        self,
        name: str,
        notes: str,
        *,
        requires: Sequence[str] = (),
        takes_s: float = 0.0,
        gate: str | None = None,
        end: str = "return",
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            name, provides=name, requires=requires
        )
        self._notes = notes
        self._takes_s = takes_s
        self._gate = gate
        self._end = end

    def execute(self, **results: Mapping[str, Any]) -> dict[str, Any]:
        """Do the work."""
        about = self._note("begin")
        if self._gate is not None:
            eventually(Path(self._gate).exists, _OPEN_WITHIN_S)
        if self._end == "compute":
            _compute(LONG_S)
        if self._end == "hold" and about.attempt == 0:
            _hold_the_interpreter(LONG_S)
        if self._end == "fork":
            _fork(Path(f"{self._notes}.child"))
        self._last("")
        self._note("end")
        saw = {name: result["token"] for name, result in results.items()}
        return {"token": about.token, "saw": saw}

    def revert(self, **_about: Any) -> str:
        """Undo it."""
        about = self._note("begin")
        self._last("-reverting")
        self._note("end")
        return about.token

    def _last(self, now: str) -> None:
        """Last for a while, and then end as is asked for."""
        if self._takes_s:
            threading.Event().wait(self._takes_s)
        if self._end == f"die{now}":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._end == f"raise{now}":
            raise OSError(f"{self.name} cannot be done")

    def _note(self, phase: str) -> Note:
        about = redisflow.current()
        assert about is not None
        note = Note(
            self.name,
            about.kind,
            phase,
            os.getpid(),
            about.round,
            about.attempt,
            about.token,
        )
        append(self._notes, json.dumps(asdict(note)))
        return note


def _compute(seconds: float) -> None:
    until, number = monotonic() + seconds, 0
    while monotonic() < until:
        number += 1


def _hold_the_interpreter(seconds: float) -> None:
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # PyDLL keeps the lock, CDLL does not


def _fork(told: Path) -> None:
    child = os.fork()
    if not child:
        told.write_text(str(os.getpid()), encoding="utf-8")
        _compute(LONG_S)
        os._exit(0)
    os.waitpid(child, 0)


def mixed(
    notes: str, takes_s: float = 0.003, *, fails: bool = False, gate: str | None = None
) -> Any:
    """Make a flow of 200 atoms: layers, fan-out and fan-in, a mesh, nested flows.

    The last fails if that is wanted; the first waits at a gate, if it has one.
    """
    names = (f"t{number:03}" for number in itertools.count())

    def one(**options: Any) -> Noted:
        return Noted(next(names), notes, takes_s=takes_s, **options)

    def many(kind: Any, name: str, count: int) -> Any:
        return kind(name).add(*(one() for _ in range(count)))

    whole = linear_flow.Flow("mixed").add(one(gate=gate))
    whole.add(*(many(unordered_flow.Flow, f"layer-{n}", 6) for n in range(6)))
    root = one()
    fan = [one(requires=[root.name]) for _ in range(40)]
    whole.add(root, unordered_flow.Flow("fan").add(*fan))
    whole.add(one(requires=[each.name for each in fan]))
    whole.add(graph_flow.Flow("mesh").add(*_mesh(one, 6)))
    nested = unordered_flow.Flow("nested")
    for number in range(5):
        chain = many(linear_flow.Flow, f"chain-{number}", 5)
        chain.add(many(unordered_flow.Flow, f"bunch-{number}", 4), one())
        nested.add(chain)
    whole.add(nested)
    left = MIXED_ATOMS - len(list(_atoms(whole)))
    whole.add(many(linear_flow.Flow, "rest", left - 1))
    return whole.add(one(end="raise" if fails else "return"))


def _mesh(one: Any, size: int) -> Iterator[Noted]:
    """Make a square in which each task takes results from above and from the left."""
    made: dict[tuple[int, int], Noted] = {}
    for row, column in itertools.product(range(size), repeat=2):
        before = [made.get((row - 1, column)), made.get((row, column - 1))]
        requires = [each.name for each in before if each is not None]
        made[row, column] = one(requires=requires)
    yield from made.values()


def _atoms(item: flow.Flow) -> Iterator[task.Task]:
    for node, _ in item.iter_nodes():
        if isinstance(node, flow.Flow):
            yield from _atoms(node)
        else:
            yield node


def line(
    notes: str,
    names: Sequence[str],
    gates: Mapping[str, str] | None = None,
    ends: Mapping[str, str] | None = None,
) -> Any:
    """Make tasks in line; ``ends`` says which do not end by returning."""
    return linear_flow.Flow("line").add(
        *(
            Noted(
                name,
                notes,
                gate=(gates or {}).get(name),
                end=(ends or {}).get(name, "return"),
            )
            for name in names
        )
    )


def independent(notes: str, count: int, takes_s: float = 0.0) -> Any:
    """Make tasks that wait for nothing."""
    return unordered_flow.Flow("independent").add(
        *(Noted(f"t{n:04}", notes, takes_s=takes_s) for n in range(count))
    )


def wide(notes: str, count: int, last: str = "return") -> Any:
    """Make one task, then many, then one; ``last`` says how that one ends."""
    return linear_flow.Flow("wide").add(
        Noted("first", notes),
        independent(notes, count),
        Noted("last", notes, end=last),
    )


def layers(
    notes: str, width: int, gates: Sequence[str], aside: str | None = None
) -> Any:
    """Make layers of tasks that wait at a gate, one for each layer.

    Args:
        notes: the file.
        width: how many tasks a layer has.
        gates: of the layers, in turn.
        aside: gate of one task more, that waits for nothing else.
    """
    lines = linear_flow.Flow("lines")
    for number, gate in enumerate(gates):
        layer = unordered_flow.Flow(f"layer-{number}")
        tasks = (Noted(f"t{number}.{n}", notes, gate=gate) for n in range(width))
        lines.add(layer.add(*tasks))
    if aside is None:
        return lines
    return unordered_flow.Flow("both").add(Noted("aside", notes, gate=aside), lines)
