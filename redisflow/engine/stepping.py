"""The loop of ``run_iter``: the same work, one phase at a time.

The phases have TaskFlow's names::

    RESUMING ─► SCHEDULING ─► WAITING ─► ANALYZING ─► the outcome
                    ▲                        │
                    └────────────────────────┘

What a phase does is done when the next one is asked for. So nothing is taken ahead of
a SCHEDULING that the caller has seen, and a suspend in between is heeded in time.
"""

from __future__ import annotations

import queue
from collections.abc import Generator

from taskflow import states

from redisflow.engine.executors import Ended
from redisflow.engine.items import Handout, Item
from redisflow.engine.loop import Loop


class SteppingLoop(Loop):
    """A loop that can be stopped between any two phases."""

    _finish: Item | None = None

    def steps(self, timeout_s: float | None) -> Generator[str, None, str | None]:
        """Work phase by phase until the run is over.

        Args:
            timeout_s: longest time in the phase WAITING; None for the engine's own.

        Returns:
            How the run ended; None if this engine was drained.
        """
        arrived: list[tuple[Item, Ended]] = []
        yield states.RESUMING
        try:
            while True:
                yield states.SCHEDULING
                handout = self._schedule()
                if handout.ended is not None:
                    return handout.ended
                if self._draining and not self._held:
                    return None
                yield states.WAITING
                self._await(arrived, timeout_s)
                yield states.ANALYZING
                handout = self._analyze(arrived)
                if handout.ended is not None:
                    return handout.ended
        finally:
            self._hints.stop()

    def _schedule(self) -> Handout:
        """Take what there is room for, and begin it."""
        handout = self._take()
        while handout.ended is None:
            self._hold(handout)
            if self._draining:
                self._leave_undone()
            if handout.planned:
                handout = self._carry_on()
            elif self._todo and self._todo[0].kind == "finish":
                self._finish = self._todo.popleft()
                break
            elif self._todo and self._may_begin():
                handout = self._begin(self._todo.popleft())
            else:
                break
        return handout

    def _await(
        self,
        arrived: list[tuple[Item, Ended]],
        timeout_s: float | None,
    ) -> None:
        """Wait until something that runs here has ended, or there is news."""
        if self._finish is not None:
            return
        if self._running == 0 and self._events.empty():
            self._hints.wait(self._has_news, timeout_s)
            return
        if self._running < self._executor.slots:
            self._hints.listen()
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return
        if event is not None:
            arrived.append(event)

    def _analyze(self, arrived: list[tuple[Item, Ended]]) -> Handout:
        """Record what has ended; end the run if nothing is left to do."""
        while not self._events.empty():
            event = self._events.get()
            if event is not None:
                arrived.append(event)
        handout = Handout()
        while arrived:
            handout = self._record(*arrived.pop(0), capacity=0)
        if self._finish is None and handout.over and not self._held:
            handout = self._take()
            self._hold(handout)
            if self._todo and self._todo[0].kind == "finish":
                self._finish = self._todo.popleft()
        if self._finish is not None:
            finish, self._finish = self._finish, None
            return self._begin(finish)
        return handout
