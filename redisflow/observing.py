"""Being told of what redisflow does: the seam that metrics and traces hang on.

Whoever wants to know adds an `Observer`. It is told in the thread in which the thing
happened, after it was recorded; what it raises is logged, and changes nothing. As long
as there is none, nothing is put together for it: a place that tells asks whether
`observers` is empty, and that is all.

``REDISFLOW_OBSERVER=module:name`` names a function without arguments that every process
of ``redisflow run`` and ``redisflow worker`` calls before it begins. Whoever sets a
process's environment decides what it runs.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from redisflow.errors import ConfigError

logger = logging.getLogger(__name__)

ENVIRONMENT = "REDISFLOW_OBSERVER"


@dataclass(frozen=True, slots=True)
class Part:
    """The part that a worker takes in one run of a flow.

    Attributes:
        run: the run id, or the flow's name if it was loaded without one.
        flow: uuid of the flow.
        number: of the run.
        worker: who takes part.
        metadata: the flow's, as it was when the worker came.
        counts: asks the server how many items are ready and how many workers there
            are; raises what a read of the server raises.
    """

    run: str
    flow: str
    number: int
    worker: str
    metadata: Mapping[str, Any] = field(compare=False)
    counts: Callable[[], tuple[int, int]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Work:
    """One execution of an atom, or one time that it is reverted, by one worker.

    Attributes:
        part: of the worker that does it.
        atom: the atom's name.
        atom_uuid: its uuid.
        kind: execute, revert, or retry: a retry controller tries its flow again.
        round: how many times the atom was begun anew.
        attempt: how many workers this round has cost before.
        token: fences what comes of it; no other work of the flow has the same.
    """

    part: Part
    atom: str
    atom_uuid: str
    kind: str
    round: int
    attempt: int
    token: str


class Observer:
    """Is told of what happens in this process; here, of nothing."""

    def metadata(self) -> Mapping[str, Any]:
        """Return metadata for a run that whoever asks is about to have begun.

        It is stored with the flow: that of its first run as it is, and beside it that
        of the last run in which it was run again.
        """
        return {}

    def joined(self, part: Part) -> None:
        """A worker of this process takes part in a run from now on."""

    def left(self, part: Part) -> None:
        """It does so no more."""

    def began(self, work: Work) -> None:
        """Work begins."""

    def doing(self, work: Work) -> AbstractContextManager[object]:
        """Return what is entered around the user's code, in the thread that runs it."""
        del work
        return contextlib.nullcontext()

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        """What came of it is recorded.

        Args:
            work: what was done.
            state: the atom's state, or HALTED if it could not be recorded as one.
            error: what the user's code raised, as far as it is known here.
        """

    def refused(self, work: Work) -> None:
        """What came of it came too late, and is not recorded."""

    def abandoned(self, work: Work) -> None:
        """This worker has left it; whether it is recorded is not known here."""

    def took_back(self, flow: str, worker: str, items: int) -> None:
        """A worker was found dead; so many items were taken back from it."""

    def lost_lease(self, flow: str, worker: str) -> None:
        """A worker of this process could not renew its lease in time."""

    def waited(self, seconds: float) -> None:
        """Somebody had to wait for a lock, or waited in vain."""

    def ran(self, script: str, seconds: float) -> None:
        """A script was run: the time is that of the round trip, repeats included."""


#: Who is told. Replaced as a whole, so that those who tell need no lock.
observers: tuple[Observer, ...] = ()

#: What ends the names of what is stored with the last run in which a flow ran again.
_AGAIN = ":again"


def add(observer: Observer) -> None:
    """Tell an observer from now on."""
    global observers  # noqa: PLW0603  # one per process
    if observer not in observers:
        observers = (*observers, observer)


def remove(observer: Observer) -> None:
    """Tell an observer no more; without effect if it was not told."""
    global observers  # noqa: PLW0603
    observers = tuple(known for known in observers if known is not observer)


def tell(event: str, *details: Any) -> None:
    """Call a method of all observers; what one raises is logged."""
    for observer in observers:
        try:
            getattr(observer, event)(*details)
        except Exception:  # it only looks on
            logger.exception("an observer failed at %r", event)


def metadata(run: int = 1) -> dict[str, Any]:
    """Return what observers want to have stored with a run that is new."""
    found: dict[str, Any] = {}
    for observer in observers:
        try:
            found.update(observer.metadata())
        except Exception:  # it only looks on
            logger.exception("an observer failed at 'metadata'")
    if run == 1:
        return found
    return {name + _AGAIN: [run, value] for name, value in found.items()}


def stored_for(run: int, name: str, stored: Mapping[str, Any]) -> Any:
    """Return what was stored with a run, of a flow's metadata; None if nothing was.

    >>> stored = {"traceparent": "00-1", "traceparent:again": [3, "00-3"]}
    >>> [stored_for(run, "traceparent", stored) for run in (1, 2, 3)]
    ['00-1', None, '00-3']
    """
    if run == 1:
        return stored.get(name)
    known = stored.get(name + _AGAIN)
    return known[1] if isinstance(known, list) and known[0] == run else None


def from_environment() -> None:
    """Call what the environment names, if it names something.

    Raises:
        ConfigError: it cannot be imported, or it raises.
    """
    reference = os.environ.get(ENVIRONMENT)
    if not reference:
        return
    module_name, _, name = reference.partition(":")
    if not name.isidentifier():
        raise ConfigError(f"{ENVIRONMENT} {reference!r}: write it as module:name")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m has it: modules of the current folder
    try:
        getattr(importlib.import_module(module_name), name)()
    except Exception as error:
        kind = type(error).__name__
        raise ConfigError(f"{ENVIRONMENT} {reference!r}: {kind}: {error}") from error
