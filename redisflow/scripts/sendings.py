"""Numbers for what this process sends, so that nothing of it comes too late.

A request can stand in a network for longer than its sender waits: it is sent again, is
done and answered, the sender goes on, and only then the first sending arrives. Nobody
wants it any more: it would move a state a second time, or write an old value over a new
one. So every sending says which process it comes from, and has a number that grows.
Where an earlier one may still be on its way this is said, too, and the server refuses
whatever comes of that process with a smaller number from then on (``LATE``; see
``scripts/lua/includes/heed_sent.lua``). What it refuses is sent anew with a new number,
if anybody still waits for it: that was another thread's.

One that was given up in doubt is on its way until something else that is sent for its
flow, or its lock, is answered. What nobody has sent anything after may still be done:
that is what ``"unknown"`` means. The server remembers for ten minutes; what a network
keeps for longer is done.

This is about what comes too late. What is sent again in time, after an earlier sending
was done, is recognised: a move, a save, a reset, details that change a state, or an
operator's result by the journal (``moved_before``), an entry in a retry's history by
``recall``, an operator's note by its id, all work by its token. What only sets a value
sets it again.

Not numbered is what does no harm when it is late: what only reads, makes what does not
exist, renews a lease, ends a membership whose id is never used again, or takes back
what dead workers held. (A creation that is late makes a flow again that was removed
meanwhile, as anybody might.)
"""

from __future__ import annotations

import itertools
import os
import secrets
import threading

from redisflow.errors import Outcome, RedisFlowError

#: So many keys in doubt are remembered.
_REMEMBERED = 10_000

Argument = str | bytes | int | float

_process = secrets.token_hex(6)
_numbers = itertools.count(1)
#: For each key in doubt a number that is greater than those of its sendings.
_doubts: dict[str, int] = {}
_changing = threading.Lock()


class Sendings:
    """The sendings of one request.

    Args:
        key: what else is ordered with it: the lock that it is about, or its flow's.
        words: ARGV; changed in place.
        place: where in them the sending is told; None if it is not numbered.

    Attributes:
        words: ARGV, as they are sent next.
        lost: whether one of them has had no answer.
    """

    __slots__ = ("_key", "_marked", "_place", "lost", "words")

    def __init__(self, key: str, words: list[Argument], place: int | None) -> None:
        self.words = words
        self.lost = False
        self._key = key
        self._place = place
        self._marked = 0
        self._number()

    def again(self, outcome: Outcome) -> list[Argument]:
        """Return ARGV for a further sending.

        Args:
            outcome: what became of the one before; "unknown": it has had no answer.
        """
        self.lost = self.lost or outcome == "unknown"
        self._number()
        return self.words

    def answered(self) -> None:
        """Note that there is an answer to the last one."""
        if self._marked:
            with _changing:
                if _doubts.get(self._key, self._marked) < self._marked:
                    del _doubts[self._key]

    def failed(self, error: BaseException) -> None:
        """Say in an error what is not known, and remember it.

        It tells of the last sending alone: once in doubt, always in doubt. After an
        interrupt nobody waits for the answer any more.
        """
        if not isinstance(error, RedisFlowError):
            self._remember()
            return
        if self.lost and error.outcome == "not applied":
            error.outcome = "unknown"
            error.add_note("it was sent before; what was sent may have been done")
        if error.outcome == "unknown":
            self._remember()

    def _remember(self) -> None:
        if self._place is None:
            return
        with _changing:
            _doubts[self._key] = next(_numbers)
            if len(_doubts) > _REMEMBERED:
                del _doubts[next(iter(_doubts))]

    def _number(self) -> None:
        if self._place is None:
            return
        number = next(_numbers)
        mark = 2 if self.lost else 1 if self._key in _doubts else 0
        self._marked = number if mark else 0
        self.words[self._place] = f"{_process} {number} {mark}"


def _after_fork_in_child() -> None:
    global _process, _changing
    _process, _changing = secrets.token_hex(6), threading.Lock()
    _doubts.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
