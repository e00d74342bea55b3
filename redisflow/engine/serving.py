"""Serving: one process that takes part in submitted flows, several at a time.

Each flow is served by an engine of its own in a thread of its own, which runs one task
at a time; at most ``flows`` flows are served at once, so that is also the most tasks.
Other processes may serve the same flows: all share the work of each.

A worker takes part in a flow while that has work for one more. When it is full, and a
flow turns up that nobody serves, it leaves a flow in which it has nothing in hand. ::

    look at the index ──► join what has work, up to `flows` ──► wait ──┐
          ▲                                                            │
          └── a hint; a flow ended; a lease ended; or five seconds ◄───┘

Hints come through a list of this worker's own, to which submitters push; a hint may be
lost. What cannot be served here (the factory raises, live workers run another
structure) is left alone for a while, longer each time, or until it is submitted again;
what is not allowed here, until it is submitted again.

While Redis is away the worker waits for it; only the first look raises `Unavailable`.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from redisflow.client import Client, Outage
from redisflow.engine.allowing import Allowed, NotAllowed
from redisflow.engine.membership import worker_id
from redisflow.engine.parts import Part
from redisflow.engine.settings import Settings
from redisflow.engine.submissions import GRACE_MS, Entry, Submissions
from redisflow.errors import ConfigError, CorruptKey, NotFound, StoreError
from redisflow.persistence import RedisBackend

logger = logging.getLogger(__name__)

#: Longest time between two looks at the index, in seconds.
LOOK_S = 5.0

#: For how long submitters take this worker for alive after a look.
_LEASE_MS = int(3 * LOOK_S * 1000)

#: For how long a flow is left alone that could not be served, at first and at most.
_LEFT_S, _LEFT_LONGEST_S = 30.0, 600.0

#: A look finds the server away: how soon the next one is made, in seconds.
_AWAY_S = 1.0

#: How often a worker that is full looks whether it still is: that asks no server.
_BUSY_S = 0.5

#: Told of what happens: the run, or "" for the worker itself; a few words; an error.
Tell = Callable[[str, str, BaseException | None], object]


@dataclass(slots=True)
class _Left:
    """A flow that is left alone.

    Attributes:
        request: names the submission that was tried.
        until: when it is tried again, on the local clock; None for never.
        times: how often it could not be served.
        passes: whether what kept it from being served will pass, as an outage does.
    """

    request: str
    until: float | None
    times: int = 1
    passes: bool = False


@dataclass(slots=True)
class _Survey:
    """What one look has found.

    Attributes:
        open: how many flows are open, without those served or left alone here.
        wanted: those of them that have work for one worker more.
        unserved: how many of these nobody serves.
        next_s: in how many seconds to look again.
    """

    open: int = 0
    wanted: list[Entry] = field(default_factory=list)
    unserved: int = 0
    next_s: float = LOOK_S

    def look_within(self, seconds: float) -> None:
        """Look again at that time at the latest."""
        self.next_s = min(self.next_s, max(seconds, 0.05))


class Serving:
    """Serves submitted flows until it is told to stop.

    Args:
        backend: where they are.
        allowed: which factories may be imported.
        tell: told of what happens, in the thread that serves.
        flows: how many to serve at a time; more than 0.
        lease_s: of the engines; None leaves it to each submission, or 15 seconds.
        burst: end once nothing is submitted that can be served here.

    Attributes:
        id: names this worker among those that serve.
        cut_off: whether it ended without the server, which could not be told.

    Raises:
        ConfigError: an option cannot be used.
    """

    def __init__(
        self,
        backend: RedisBackend,
        allowed: Allowed,
        *,
        tell: Tell,
        flows: int = 4,
        lease_s: float | None = None,
        burst: bool = False,
    ) -> None:
        if flows < 1:
            raise ConfigError(f"concurrency is at least 1, not {flows}")
        Settings({"lease_s": lease_s})
        self.id = worker_id(os.getpid(), secrets.token_hex(4))
        self.cut_off = False
        self._backend = backend
        self._allowed = allowed
        self._tell = tell
        self._flows = flows
        self._lease_s = lease_s
        self._burst = burst
        self._submissions = Submissions(backend)
        self._parts: dict[str, Part] = {}
        self._left: dict[str, _Left] = {}
        # Signal handlers put into it, and a SimpleQueue lets them.
        self._events: queue.SimpleQueue[Part | None] = queue.SimpleQueue()
        self._draining = False
        self._ear: Client | None = None
        self._noted_until = 0.0
        self._reached = False
        self._outage = Outage()

    def drain(self) -> None:
        """Take no more, and end once nothing is held. Safe in a signal handler."""
        self._draining = True
        self._events.put(None)

    def serve(self) -> None:
        """Serve until drained, or, in a burst, until nothing is submitted.

        Raises:
            StoreError: the server could not be used when it began.
        """
        try:
            while (wait_s := self._next_step()) is not None:
                self._wait(wait_s)
        finally:
            if self._ear is not None:
                self._ear.close()
        try:
            self._submissions.leave(self.id)
        except StoreError as error:  # its lease says it a little later
            self.cut_off = True
            logger.warning("could not say goodbye: %s", error)

    def _next_step(self) -> float | None:
        """Do what is to be done now; returns how long to wait then, None to end."""
        if self._draining:
            return self._let_go()
        began = monotonic()
        try:
            wait_s = self._look()
        except StoreError as error:
            if not self._reached:
                raise
            away_s = self._outage.lasts(began)
            if away_s is not None:
                words = f"the server cannot be used for {away_s:.0f} s: waiting for it"
                self._tell("", words, error)
            return _AWAY_S
        away_s = self._outage.ends()
        if away_s is not None:
            self._tell("", f"the server is back, after {away_s:.0f} s", None)
        if not self._reached:
            many = "flow" if self._flows == 1 else "flows"
            served = ", ".join(self._allowed.entries)
            words = f"worker {self.id} serves {served}: {self._flows} {many} at a time"
            self._tell("", words, None)
        self._reached = True
        return wait_s

    def _let_go(self) -> float | None:
        """Leave all flows once their tasks here are done; None if that has been."""
        staying = [part for part in self._parts.values() if not part.leaving]
        if staying:
            self._tell("", f"draining; flows to leave: {len(staying)}", None)
        for part in staying:
            part.drain()
        return LOOK_S if self._parts else None

    def _look(self) -> float | None:
        """Join what has work; returns when to look again, None for never."""
        room = self._flows - len(self._parts)
        spare = [part for part in self._parts.values() if part.has_nothing]
        busy = not (room or spare)
        if busy and monotonic() < self._noted_until:
            return _BUSY_S
        now_ms = self._submissions.serve(self.id, _LEASE_MS)
        self._noted_until = monotonic() + LOOK_S
        self._listen()
        if busy:
            return _BUSY_S
        survey = self._survey(now_ms, room)
        wanted = sorted(survey.wanted, key=lambda entry: (entry.live, entry.since_ms))
        refused = [entry for entry in wanted[:room] if not self._join(entry)]
        survey.open -= len(refused)
        self._make_room(spare, sum(not entry.live for entry in wanted[room:]))
        if any(entry.uuid in self._left for entry in refused):
            return 0.0  # the next look goes past them: others may stand behind
        if self._burst and not survey.open and not self._parts:
            return None
        return survey.next_s

    def _survey(self, now_ms: int, room: int) -> _Survey:
        """Go through the index until there is more work than room for it."""
        survey = _Survey()
        seen: set[str] = set()
        for entry in self._submissions.entries(now_ms):
            seen.add(entry.uuid)
            if not entry.readable:
                self._leave_for_good(entry, entry.uuid, _UNREADABLE)
            elif not entry.open:
                self._drop(entry, now_ms)
            elif entry.uuid not in self._parts and not self._is_left(entry, survey):
                _count(entry, survey, now_ms)
                if survey.unserved > room:
                    return survey
        for uuid in self._left.keys() - seen:
            del self._left[uuid]
        return survey

    def _drop(self, entry: Entry, now_ms: int) -> None:
        """Take an entry out whose run is over, or which nobody is about to mark."""
        if entry.request or now_ms - entry.since_ms > GRACE_MS:
            self._submissions.drop(entry.uuid)

    def _make_room(self, spare: list[Part], unserved: int) -> None:
        """Leave flows without work for as many that nobody serves."""
        leaving = sum(
            part.leaving and part.has_nothing for part in self._parts.values()
        )
        staying = [part for part in spare if not part.leaving]
        for part in staying[: max(0, unserved - leaving)]:
            part.drain()

    def _join(self, entry: Entry) -> bool:
        """Take part in a flow if its factory is allowed here; returns whether."""
        run_id = entry.uuid
        try:
            submission = self._submissions.read(entry.uuid)
            if submission is None:
                return False
            run_id = submission.run_id
            self._allowed.check(submission.call.reference)
        except (CorruptKey, NotAllowed) as error:
            self._leave_for_good(entry, run_id, error)
            return False
        part = Part(submission, self._backend, self._allowed, lease_s=self._lease_s)
        self._parts[entry.uuid] = part
        self._tell(run_id, f"joining, from {submission.call.reference}", None)
        part.start(self._events.put)
        return True

    def _leave_for_good(self, entry: Entry, run_id: str, error: Exception) -> None:
        """Leave a flow alone until it is submitted again; says so once."""
        left = self._left.get(entry.uuid)
        if left is None or left.request != entry.request:
            self._left[entry.uuid] = _Left(entry.request, None)
            self._tell(run_id, "left alone", error)

    def _is_left(self, entry: Entry, survey: _Survey) -> bool:
        left = self._left.get(entry.uuid)
        if left is None or left.request != entry.request:
            return False
        if left.until is None:
            return True
        survey.look_within(left.until - monotonic())
        still = left.until > monotonic()
        survey.open += still and left.passes
        return still

    def _wait(self, wait_s: float) -> None:
        """Wait for something to happen, and note what has."""
        try:
            events = [self._events.get(timeout=wait_s)]
        except queue.Empty:
            return
        while not self._events.empty():
            events.append(self._events.get())
        for part in events:
            if part is not None:
                self._note_end(part)

    def _note_end(self, part: Part) -> None:
        submission, error = part.submission, part.error
        del self._parts[submission.uuid]
        if part.outcome is not None:
            self._left.pop(submission.uuid, None)
            took = f"after {monotonic() - part.began:.1f} s"
            self._tell(submission.run_id, f"{part.outcome} {took}", error)
        elif error is None:
            self._tell(submission.run_id, "left", None)
        elif isinstance(error, NotFound) and part.made:  # it was removed
            self._tell(submission.run_id, "left", error)
        elif isinstance(error, NotAllowed):
            self._left[submission.uuid] = _Left(submission.request, None)
            self._tell(submission.run_id, "left alone", error)
        else:
            self._back_off(part, error)

    def _back_off(self, part: Part, error: BaseException) -> None:
        """Leave a flow alone for a while, longer each time."""
        uuid, request = part.submission.uuid, part.submission.request
        left, times = self._left.get(uuid), 1
        if left is not None and left.request == request:
            times += left.times
        first_s = _AWAY_S if isinstance(error, StoreError) else _LEFT_S
        pause_s = min(first_s * 2.0 ** min(times - 1, 10), _LEFT_LONGEST_S)
        passes = isinstance(error, StoreError)
        self._left[uuid] = _Left(request, monotonic() + pause_s, times, passes)
        words = f"left alone for {pause_s:.0f} s, or until it is submitted again"
        self._tell(part.submission.run_id, words, error)

    def _listen(self) -> None:
        """Hear of submissions, in a thread that waits on the server."""
        if self._ear is None:
            self._ear = self._backend.client.sibling()
            threading.Thread(
                target=self._hear,
                args=(self._ear,),
                name="redisflow-submissions",
                daemon=True,
            ).start()

    def _hear(self, ear: Client) -> None:
        key = self._backend.keys.wake(self.id)
        while True:
            try:
                if ear.block("BLPOP", key, LOOK_S, block_s=LOOK_S) is not None:
                    self._events.put(None)
            except Exception as error:  # noqa: BLE001  # hints are only hints
                logger.debug("no hints: %s", error)
                return


_UNREADABLE = ConfigError("its keys are damaged, or a newer redisflow wrote them")


def _count(entry: Entry, survey: _Survey, now_ms: int) -> None:
    survey.open += 1
    if entry.next_end_ms:
        survey.look_within((entry.next_end_ms - now_ms) / 1000)
    if entry.work:
        survey.wanted.append(entry)
        survey.unserved += not entry.live
