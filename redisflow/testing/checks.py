"""What is asked of a run that has ended, and of values. All raise AssertionError."""

from __future__ import annotations

from collections import Counter
from typing import Any

from redisflow.codec import Codec
from redisflow.testing.running import Completed


def check_order(completed: Completed, *names: str, state: str = "SUCCESS") -> None:
    """Check that atoms came into a state, one after the other.

    Others may have come between them.

    Raises:
        AssertionError: one did not, or not in this order.
    """
    came = completed.came_to(state)
    rest = iter(came)
    for name in names:
        if name not in rest:
            raise AssertionError(
                f"{name!r} did not come to {state} in its turn: wanted"
                f" {list(names)}, and they came as {came}"
            )


def check_executed_once(completed: Completed, *names: str) -> None:
    """Check that each of these atoms, or of all, was given to one worker, once.

    Raises:
        AssertionError: one was not executed, or more than once.
    """
    wanted = names or _executed(completed)
    counts = {name: completed.executions_of(name) for name in wanted}
    wrong = {name: count for name, count in counts.items() if count != 1}
    if wrong:
        raise AssertionError(f"not executed exactly once: {wrong}")


def _executed(completed: Completed) -> tuple[str, ...]:
    return tuple(Counter(completed.came_to("RUNNING")))


def check_round_trip(value: Any, *, codec: Codec | None = None) -> None:
    """Check that a value can be stored, and comes back equal and of the same type.

    Raises:
        AssertionError: it comes back as something else.
        ValueRefused: it cannot be stored; names the place inside it.
    """
    codec = codec or Codec()
    back = codec.decode(codec.encode(value), key="the value")
    if type(back) is not type(value) or not _same(value, back):
        raise AssertionError(f"{value!r} comes back as {back!r}")


def _same(value: Any, back: Any) -> bool:
    return bool(value == back) or repr(value) == repr(back)  # nan is not equal to nan
