"""One example of each operation of Storage, such as can be repeated without end."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping

from taskflow import states
from taskflow.persistence import models

import redisflow
from benchmarks.flows import Nothing

#: Does an operation for the n-th time, n counting from 0.
Operation = Callable[[int], object]

_ROUND_OF_A_FLOW = (states.RUNNING, states.SUSPENDING, states.SUSPENDED)


@contextlib.contextmanager
def operations(url: str) -> Iterator[Mapping[str, Operation]]:
    """Store a new flow that nobody runs; yield what can be done to it, by method."""
    backend = redisflow.RedisBackend.from_url(url)
    try:
        detail = models.FlowDetail("operations", str(uuid.uuid4()))
        yield _operations_on(redisflow.Storage(detail, backend))
    finally:
        backend.close()


def _operations_on(storage: redisflow.Storage) -> Mapping[str, Operation]:
    """Make the operations, each on an atom of its own."""
    make: Callable[[str], Nothing] = Nothing
    storage.ensure_atoms(make(name) for name in ("saved", "set", "moved", "described"))
    one, other = states.PENDING, states.IGNORE

    def transition(number: int) -> None:
        old, new = (one, other) if number % 2 == 0 else (other, one)
        moved, found = storage.transition_atom_state("moved", new, expected=old)
        assert moved, found

    def change_flow(number: int) -> None:
        moved, found = storage.change_flow_state(_ROUND_OF_A_FLOW[number % 3])
        assert moved, found

    return {
        "save": lambda number: storage.save("saved", number),
        "set_atom_state": lambda number: storage.set_atom_state(
            "set", (other, one)[number % 2]
        ),
        "transition_atom_state": transition,
        "update_atom_metadata": lambda number: storage.update_atom_metadata(
            "described", {"number": number}
        ),
        "inject": lambda number: storage.inject({"number": number}),
        "change_flow_state": change_flow,
        "get_atom_state": lambda _number: storage.get_atom_state("saved"),
    }
