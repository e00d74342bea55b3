"""What is handed to a worker, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redisflow.persistence.records import AtomRecord


class Item(NamedTuple):
    """A work item, claimed by this worker.

    Attributes:
        id: its name on the server, such as ``00000012:execute``.
        kind: execute, revert, retry, decide, resolve or finish.
        token: fences what is done with it.
        atom: the atom that it is about; None for finish.
        round: how many times the atom was begun anew.
        attempt: how many workers this round has cost.
        old_state: the state that the atom was taken from.
    """

    id: str
    kind: str
    token: str
    atom: AtomRecord | None
    round: int
    attempt: int
    old_state: str

    @property
    def reverts(self) -> bool:
        """Whether it undoes what its atom did."""
        return self.kind == "revert"

    @property
    def name(self) -> str:
        """The name of its atom; an item to finish the run has none."""
        assert self.atom is not None  # noqa: S101  # nobody asks that one
        return self.atom.name


class Handout(NamedTuple):
    """What a worker is told to do next.

    Attributes:
        items: what it holds from now on.
        state: the flow's state.
        planned: a change of many records has to be carried on before anything else.
        ended: how the run ended, or None while it is on.
        stale: what was to be recorded came too late; nothing was.
        retake: nothing was asked for; take, to know what is next.
        over: nothing is left to do but to end the run.
    """

    items: Sequence[Item] = ()
    state: str = ""
    planned: bool = False
    ended: str | None = None
    stale: bool = False
    retake: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A transition of the flow.

    Attributes:
        old: the state before.
        new: the state after.
    """

    old: str
    new: str


class Outcome(NamedTuple):
    """What came of an atom.

    Attributes:
        state: the state that it is in now.
        result: its result or its Failure.
        progress: how far a task has come, or None if that says nothing new.
    """

    state: str
    result: Any
    progress: float | None


MoveListener = Callable[[Move], object]


def moves_of(flat: Sequence[bytes]) -> list[Move]:
    """Read transitions from a reply: old and new state in turn."""
    words = [word.decode() for word in flat]
    return [Move(*pair) for pair in zip(words[::2], words[1::2], strict=True)]
