"""The loop of one engine in one run.

One thread takes, completes and keeps the books; tasks run wherever the executor runs
them and report here through a queue. Hints from other workers come through the same
queue, or, while nothing runs here, straight from the server.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from taskflow import exceptions, states, task
from taskflow.types import notifier

from redisflow.codec import failure_from
from redisflow.engine.atoms import AtomRunner
from redisflow.engine.deciding import Decisions
from redisflow.engine.executors import (
    Ended,
    Executor,
    ExecutorUnusable,
    SerialExecutor,
)
from redisflow.engine.hints import Hints
from redisflow.engine.items import Handout, Item, MoveListener, Outcome
from redisflow.engine.membership import Membership
from redisflow.engine.settings import Settings
from redisflow.engine.structure import Structure
from redisflow.engine.watching import Watch
from redisflow.engine.worker import Worker
from redisflow.errors import (
    FlowLost,
    Refused,
    StoreError,
    Unavailable,
    ValueRefused,
)
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

#: Longest wait for a hint before the engine looks for itself, in seconds.
_LONGEST_WAIT_S = 5.0

#: Items that ``claim_all`` takes at a time.
_CLAIM_ALL = 200

_HINT = None
_Event = tuple[Item, Ended] | None


class Loop:
    """Takes work, runs it and records what came of it, until the run is over.

    Args:
        storage: the flow.
        membership: of the worker; waits for hints.
        worker: does it in the name of this one.
        structure: what the atoms are.
        executor: where tasks run; started.
        settings: the engine's options.
        atom_notifier: told of what atoms do here.
        moved: told of the flow's transitions that are made here.
        rejoin: comes to the run once more, if the flow has forgotten that it is on.

    Attributes:
        statistics: of this loop: atoms ``completed``, and those whose result came
            ``stale``; claims that were ``lost`` with a server.
        watch: tells observers.
    """

    def __init__(
        self,
        storage: Storage,
        membership: Membership,
        worker: Worker,
        structure: Structure,
        *,
        executor: Executor,
        settings: Settings,
        atom_notifier: notifier.Notifier,
        moved: MoveListener,
        rejoin: Callable[[], object],
    ) -> None:
        self.statistics: dict[str, Any] = {
            "completed": 0,
            "stale": 0,
            "lost": 0,
        }
        self._storage = storage
        self._membership = membership
        self._worker = worker
        self._structure = structure
        self._executor = executor
        self._inline = SerialExecutor()  # as in TaskFlow, where retries run
        self._claim_all = settings.claim_all
        self._wait_s = min(settings.lease_s / 3, _LONGEST_WAIT_S)
        self._notifier = atom_notifier
        self._moved = moved
        self._rejoin = rejoin
        self._epoch = worker.epoch
        self.watch = Watch(storage, membership.id, worker.run)
        self._runner = AtomRunner(
            storage, atom_notifier, worker=membership.id, run=self.watch.run
        )
        self._decisions = Decisions(
            storage,
            structure,
            worker,
            self._runner,
            carry_on=self._tell_moves,
            let_go=self._let_go,
        )
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._todo: deque[Item] = deque()
        self._held: dict[str, Item] = {}
        self._running = 0
        self._draining = False
        self._hints = Hints(membership, wait_s=self._wait_s, wake=self.look_up)
        membership.swept = self.look_up
        membership.busy = lambda: bool(self._running and self._held)

    @property
    def holding(self) -> int:
        """How many items are held."""
        return len(self._held)

    def drain(self) -> None:
        """Take no more; end once nothing is held. Safe in a signal handler."""
        self._draining = True
        self.look_up()

    def look_up(self) -> None:
        """Ask the server for work soon. Safe to call from any thread."""
        self._events.put(_HINT)

    def until_the_end(self) -> str | None:
        """Work until the run is over; returns how it ended, None if drained."""
        try:
            handout = self._take()
            while handout.ended is None:
                self._hold(handout)
                if self._draining:
                    self._leave_undone()
                if handout.planned:
                    handout = self._carry_on()
                elif self._todo and self._may_begin():
                    handout = self._begin(self._todo.popleft())
                elif self._draining and not self._held:
                    return None
                else:
                    handout = self._next_event()
            return handout.ended
        finally:
            self._hints.stop()

    def _leave_undone(self) -> None:
        """Begin nothing more; what was taken goes back when this worker leaves."""
        while self._todo:
            self._let_go(self._todo.popleft())

    def hand_in_late(self) -> None:
        """Send what has ended here after the loop.

        Where the run is over by then it is refused, and kept aside.
        """
        while not self._events.empty():
            event = self._events.get()
            if event is _HINT:
                continue
            try:
                self._record(*event, capacity=0)
            except (FlowLost, CancelledError):
                continue
            except StoreError:
                return  # nor will the server take the others

    def _hold(self, handout: Handout) -> None:
        for item in handout.items:
            self._held[item.id] = item
            self._todo.append(item)
        if self._worker.epoch != self._epoch:
            self._verify()

    def _let_go(self, item: Item) -> None:
        """Hold an item no longer; it may have been given up before, and had again."""
        if self._held.get(item.id) is item:
            del self._held[item.id]

    def _verify(self) -> None:
        """Give up what the flow, in another history of its server, gave to nobody here.

        What runs already ends as it likes: its result will be refused. What was given
        to this worker, and was done, may be as it was before: `take` brings it back.
        """
        self._epoch = self._worker.epoch
        if not self._worker.is_on():
            self._rejoin()
        owned = self._worker.owned(self._held.values())
        lost = [item for item in self._held.values() if item.id not in owned]
        for item in lost:
            self._let_go(item)
            logger.warning("the claim of %s was lost with its server", item.id)
        self._todo = deque(
            item for item in self._todo if self._held.get(item.id) is item
        )
        self.statistics["lost"] += len(lost)
        self.look_up()

    def _take(self) -> Handout:
        self._membership.check()
        return self._worker.take(self._room(), self._held)

    def _room(self, *, released: int = 0) -> int:
        """How many more items to take once ``released`` of those held are done."""
        if self._draining:
            return 0
        if self._claim_all:
            return _CLAIM_ALL
        busy = max(len(self._held), self._running)  # what was given up may still run
        return max(0, self._executor.slots - busy + released)

    def _may_begin(self) -> bool:
        """Whether to begin one more; with ``claim_all`` the executor queues them."""
        return self._claim_all or self._running < self._executor.slots

    def _carry_on(self) -> Handout:
        self._tell_moves()
        return self._take()

    def _tell_moves(self) -> None:
        """Carry on the plan to its end."""
        for move in self._worker.carry_on_plan():
            self._moved(move)

    def _begin(self, item: Item) -> Handout:
        if item.kind == "finish":
            self._let_go(item)
            move = self._worker.finish(item)
            if move is not None:
                self._moved(move)
            return self._take()
        try:
            if item.kind == "resolve":
                self._decisions.resolve(item)
                return self._take()
            if item.kind == "decide":
                handout = self._decisions.decide(item)
                return self._take() if handout is None else handout
            return self._begin_atom(item)
        except (Unavailable, Refused):
            raise
        except ExecutorUnusable as error:  # that is this process's trouble alone
            raise error.__cause__ or error from None
        except Exception as error:  # noqa: BLE001  # as in TaskFlow: it ends the run
            self._halt(item, error)
            return self._take()

    def _begin_atom(self, item: Item) -> Handout:
        atom = self._structure.atoms[item.name]
        if lacking := self._runner.lacking(item, atom):
            return self._decline(item, lacking)
        doing: Item | None = item
        if item.kind == "retry":
            doing = self._decisions.try_again(item)
        if doing is None:
            return self._take()
        job = self.watch.begin(doing, self._runner.prepare(doing, atom))
        executor = self._executor if isinstance(atom, task.Task) else self._inline
        self._running += 1
        try:
            executor.submit(job, lambda ended: self._events.put((item, ended)))
        except BaseException:
            self._running -= 1
            raise
        return Handout()

    def _decline(self, item: Item, lacking: exceptions.MissingDependencies) -> Handout:
        """Leave an atom to workers that have the values that it needs."""
        self._let_go(item)
        about = self.watch.fields(item)
        logger.warning("left to other workers: %s", lacking, extra=about)
        self._worker.decline(item, failure_from(lacking))
        return self._take()

    def _next_event(self) -> Handout:
        """Handle what comes next: a finished task, a hint, or nothing for a while."""
        if self._running == 0 and self._events.empty() and not self._hints.listening:
            self._hints.wait(self._has_news)
            return self._take()
        if 0 < self._running < self._executor.slots:
            self._hints.listen()
        # With all slots taken only their ends matter; else it is looked now and then.
        busy = self._running >= self._executor.slots
        try:
            event = self._events.get(timeout=None if busy else self._wait_s)
        except queue.Empty:
            event = _HINT
        if event is _HINT:
            return self._take()
        return self._complete(*event)

    def _has_news(self) -> bool:
        return self._draining or not self._events.empty()

    def _complete(self, item: Item, ended: Ended) -> Handout:
        """Record what came of an atom, and take what is next."""
        # A listener may suspend the flow when it hears of this: tell it, then take.
        listened = len(self._notifier) > 0
        room = 0 if listened else self._room(released=1)
        handout = self._record(item, ended, capacity=room)
        return self._take() if listened or handout.retake else handout

    def _record(self, item: Item, ended: Ended, *, capacity: int) -> Handout:
        """Record what came of an atom, and tell listeners of it."""
        self._running -= 1
        atom = self._structure.atoms[item.name]
        try:
            outcome, payload = self._encoded(item, ended.result())
        except CancelledError:  # by whoever has shut down a given executor
            raise
        except Exception as error:  # noqa: BLE001  # as in TaskFlow: it ends the run
            return self._halt(item, error)
        self._let_go(item)
        handout = self._worker.complete(item, outcome, payload, capacity)
        if handout.stale:
            self.statistics["stale"] += 1
            self.watch.refuse(item)
            logger.warning(
                "the result of %r came too late and was refused",
                atom.name,
                extra=self.watch.fields(item),
            )
            self._storage.mirror.suspect()
            return Handout(retake=True)
        self.statistics["completed"] += 1
        self.watch.end(item, outcome.state, outcome.result)
        if outcome.state == states.SUCCESS:
            self._storage.warn_unsupplied(atom.name, outcome.result)
        self._runner.tell_outcome(item, atom, outcome)
        return handout

    def _encoded(self, item: Item, outcome: Outcome) -> tuple[Outcome, bytes]:
        """Encode a result; one that cannot be stored is a failure of its task."""
        encode, name = self._storage.encode_result, item.name
        try:
            return outcome, encode(outcome.state, outcome.result, name=name)
        except ValueRefused as error:
            failed = states.REVERT_FAILURE if item.reverts else states.FAILURE
            outcome = Outcome(failed, failure_from(error), None)
            return outcome, encode(failed, outcome.result)

    def _halt(self, item: Item, error: Exception) -> Handout:
        """End the run for an error around an atom."""
        self._let_go(item)
        failure = failure_from(error)
        logger.warning(
            "flow %r is halted: %s",
            self._storage.flow_name,
            failure,
            extra=self.watch.fields(item),
        )
        self._worker.halt(item, failure)
        self.watch.halt(item, failure)
        return Handout(retake=True)
