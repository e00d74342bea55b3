"""Is a history of concurrent calls what one process could have done alone?

A history is linearizable if every call can be put at one moment between its begin and
its end so that a plain model, given the calls in that order, answers each as it was
answered. The search is that of Wing and Gong: of the calls that may come next (those
that began before any other one has ended) try each that the model agrees with; what
leads nowhere is remembered by the calls that are left and the state of the model.

A call whose answer was lost may have been carried out at any time after its begin, or
never: any answer of the model's agrees with it, and it may be left over.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the process saw it that made it.

    Attributes:
        what: method and arguments, for the model.
        answer: what came of it.
        begun: when it was made, by a clock that all processes share.
        ended: when the answer was there.
        lost: whether no answer came, so that nobody knows whether it was carried out.
    """

    what: Any
    answer: Any
    begun: float
    ended: float
    lost: bool = False


def order_of(
    history: Sequence[Call],
    state: State,
    model: Callable[[State, Any], tuple[Any, State]],
) -> list[Call] | None:
    """Find an order in which one process would get the same answers.

    Args:
        history: the calls.
        state: of the model before all of them.
        model: gives the answer to a call in a state, and the state after it.

    Returns:
        The calls in that order, those left out that were lost and need not have been
        carried out; None: the history is not linearizable.
    """
    calls = sorted(history, key=lambda call: call.begun)
    known = frozenset(number for number, call in enumerate(calls) if not call.lost)
    place, hopeless = _Place(0, frozenset()), set[tuple[_Place, State]]()
    path: list[tuple[int, _Place, State]] = []
    tries = [_next(calls, place, state, model)]
    while not place.over(known):
        step = next(tries[-1], None)
        if step is not None:
            number, after = step
            there = place.without(number)
            if (there, after) not in hopeless:
                path.append((number, place, state))
                place, state = there, after
                tries.append(_next(calls, place, state, model))
        elif path:
            hopeless.add((place, state))
            tries.pop()
            _, place, state = path.pop()
        else:
            return None
    return [calls[number] for number, _, _ in path]


@dataclass(frozen=True, slots=True)
class _Place:
    """Which calls are left: those from the first one on, without some that are done."""

    first: int
    done: frozenset[int]

    def over(self, known: frozenset[int]) -> bool:
        """Whether all of these calls are done."""
        return all(number < self.first or number in self.done for number in known)

    def without(self, number: int) -> _Place:
        """Take one more away."""
        first, done = self.first, self.done | {number}
        while first in done:
            done -= {first}
            first += 1
        return _Place(first, done)


def _next(
    calls: Sequence[Call],
    place: _Place,
    state: State,
    model: Callable[[State, Any], tuple[Any, State]],
) -> Iterator[tuple[int, State]]:
    """Give the calls that may come next and are answered so, with the state after."""
    may, first_end = [], inf
    for number in range(place.first, len(calls)):
        if calls[number].begun > first_end:
            break
        if number not in place.done:
            may.append(number)
            if not calls[number].lost:
                first_end = min(first_end, calls[number].ended)
    # Those that need not have been carried out come last.
    for number in sorted(may, key=lambda number: calls[number].lost):
        call = calls[number]
        if call.begun <= first_end:
            answer, after = model(state, call.what)
            if answer == call.answer or call.lost:
                yield number, after
