"""The journal of a flow, read from a position on, and then as it grows.

The scripts write an entry with each transition, so that the journal and the states
cannot differ. An entry is named by its id in the stream; reading goes on after any id,
in another process, too::

    position ──▶ read ──▶ entries ──▶ position
                  │
                  ├──▶ Gap        what was to come next is not there any more
                  ├──▶ (nothing)  nothing new; ``over`` tells whether anything will come
                  └──▶ FlowLost   the flow was removed

A `Gap` stands where entries are missing, or may be:

=============  =================================================================
``trimmed``    the beginning of the journal was cut off; reading goes on with
               what is left
``rewound``    the server has lost the last entries, as after a failover: some of
               those that were read did not happen, for anybody else; reading goes
               on with the first one that was not read, by epoch and revision
``recreated``  another flow has this uuid now; reading begins at its first entry
=============  =================================================================

Whether that is so is looked at in the beginning, whenever nothing new has come, and
when an entry does not follow the one before. While the server is away reading waits,
until the client's deadline; then it raises `Unavailable` and can be called again.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from taskflow import states

from redisflow.errors import CorruptKey, FlowLost
from redisflow.persistence.backend import RedisBackend
from redisflow.persistence.commands import run_many

#: Where a journal begins.
BEGINNING = "0-0"

_PAGE = 500
_ID = re.compile(r"\d+-\d+")
_FLOW = ("state", "run", "ended", "created_at", "rev")
_KNOWN = ("rev", "epoch", "atom", "from", "to", "intention", "worker", "attempt")
_ENDS = (states.SUCCESS, states.FAILURE, states.REVERTED, states.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Entry:
    """A transition.

    Attributes:
        id: names the entry; reading can go on after it.
        time_ms: when it was, by the server's clock.
        epoch: of the flow then.
        rev: the flow's revision with it.
        atom: uuid of the atom; empty where it is about the flow.
        old: the state before; empty for what is new.
        new: the state after; the same as before where only the intention, the owner
            or the attempt has changed.
        intention: the atom's, after it; of a flow, one that all atoms have now.
        worker: who did it.
        attempt: how many workers the atom's round has cost.
        more: what else the entry says, such as a reason.
    """

    id: str
    time_ms: int
    epoch: int
    rev: int
    atom: str
    old: str
    new: str
    intention: str
    worker: str
    attempt: int
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def order(self) -> tuple[int, int]:
        """What orders entries: a revision can go back, but then the epoch grows."""
        return self.epoch, self.rev


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries are missing here, or may be.

    Attributes:
        reason: ``trimmed``, ``rewound`` or ``recreated``.
        after: id of the entry after which they are missing.
    """

    reason: Literal["trimmed", "rewound", "recreated"]
    after: str


Fits = Callable[[Entry], bool]


class Journal:
    """Reads the journal of a flow; one thread at a time.

    Args:
        backend: where the flow is.
        flow_uuid: the flow's uuid.
        since: the id of an entry, or a revision: what comes after it is read. None for
            all, "now" for what is still to come.

    Attributes:
        position: id of the last entry that was read.
        over: whether everything was read when last nothing had come, and the flow's
            run had ended.

    Raises:
        ValueError: ``since`` is no position.
    """

    def __init__(
        self, backend: RedisBackend, flow_uuid: str, *, since: str | int | None = None
    ) -> None:
        self._backend = backend
        self._keys = backend.keys.of_flow(flow_uuid)
        self._since: str | int = BEGINNING if since is None else since
        if isinstance(since, str) and since != "now" and not _ID.fullmatch(since):
            raise ValueError(f"{since!r} is neither an entry's id nor 'now'")
        self._begun = False
        self._last: Entry | None = None
        self._noted = ""
        self.position = self._since if isinstance(self._since, str) else BEGINNING
        self.over = False

    def read(self, block_s: float = 0.0) -> list[Entry | Gap]:
        """Read what has come, at most 500 entries.

        Args:
            block_s: how long to wait if there is nothing.

        Raises:
            FlowLost: the flow was removed.
            Unavailable: the server was away until the deadline.
        """
        if not self._begun:
            self._begin()
            self._begun = True
            if gaps := self._look():
                return [*gaps]
        found = self._next(0.0)
        if not found:
            if gaps := self._look():
                return [*gaps]
            if not self.over and block_s > 0:
                found = self._next(block_s)
        if not found:
            return []
        if not self._follows(found[0]) and (gaps := self._look()):
            return [*gaps]
        self.over = False
        self._last, self.position = found[-1], found[-1].id
        return [*found]

    def tail(self, number: int) -> None:
        """Go to where the last entries of the journal begin."""
        key = self._keys.events
        (rows,) = run_many(
            self._backend.client, [("XREVRANGE", key, "+", "-", "COUNT", number + 1)]
        )
        entries = [_entry(row, key) for row in rows]
        self._begun = True
        self._last = entries[number] if len(entries) > number else None
        self.position = BEGINNING if self._last is None else self._last.id

    # Positions

    def _begin(self) -> None:
        """Find out which entry is the one before."""
        key = self._keys.events
        if isinstance(self._since, int):
            rev = self._since
            self._last = self._last_of(lambda entry: entry.rev <= rev)
        elif self._since == "now":
            self._last = self._one("XREVRANGE", key, "+", "-")
        elif self._since != BEGINNING:
            self._last = self._one("XRANGE", key, self._since, self._since)
            return
        self.position = BEGINNING if self._last is None else self._last.id

    def _follows(self, entry: Entry) -> bool:
        """Tell whether nothing can be missing before an entry.

        Not every revision has an entry, so that the answer may be no without a gap.
        """
        last = self._last
        return last is None or entry.order == (last.epoch, last.rev + 1)

    def _look(self) -> Sequence[Gap]:
        """Look whether the position is still where the journal can go on from."""
        key, position = self._keys.events, self.position
        flow, here, first, last = run_many(
            self._backend.client,
            [
                ("HMGET", self._keys.flow, *_FLOW),
                ("XRANGE", key, position, position),
                ("XRANGE", key, "-", "+", "COUNT", 1),
                ("XREVRANGE", key, "+", "-", "COUNT", 1),
            ],
        )
        if flow[1] is None:
            uuid = self._keys.flow_uuid
            raise FlowLost(f"flow {uuid} is gone ({self._keys.flow})", key=key)
        begins = _entry(first[0], key) if first else None
        ends = _entry(last[0], key) if last else None
        gap = None if here else self._missing(begins, ends, flow)
        at_end = ends is None or ends.id == self.position
        self.over = gap is None and at_end and self._is_over(flow)
        return [] if gap is None else [gap]

    def _missing(
        self,
        begins: Entry | None,
        ends: Entry | None,
        flow: Sequence[bytes | None],
    ) -> Gap | None:
        """Tell what is missing where the position is not in the journal."""
        position = self.position
        known = 0 if self._last is None else self._last.rev
        *_, created_ms, rev = (int(field or 0) for field in flow[1:])
        if position != BEGINNING and _time_of(position) < created_ms:
            self._go_to(None)
            return Gap("recreated", position)
        before = begins is not None and _order(begins.id) < _order(position)
        if position != BEGINNING and before:
            self._go_to(self._last_of(self._was_read))
            return Gap("rewound", position)
        begins_at = rev + 1 if begins is None else begins.rev
        if begins_at <= known + 1 or self._noted == position:
            return None
        self._noted = position
        return Gap("trimmed", position)

    def _was_read(self, entry: Entry) -> bool:
        if self._last is None:
            return _order(entry.id) <= _order(self.position)
        return entry.order <= self._last.order

    def _go_to(self, entry: Entry | None) -> None:
        self._last = entry
        self.position = BEGINNING if entry is None else entry.id

    def _is_over(self, flow: Sequence[bytes | None]) -> bool:
        state, run, ended, _created, _rev = flow
        if int(run or 0) <= int(ended or 0):
            return True
        # An engine of TaskFlow's own counts no runs; one of ours has a live lease.
        if (state or b"").decode() not in _ENDS:
            return False
        client = self._backend.client
        bounds = (client.now_ms(), "(inf")
        return not client.execute("ZCOUNT", self._keys.workers, *bounds)

    def _last_of(self, fits: Fits) -> Entry | None:
        """Find the last entry that fits, by halving: none after it does."""
        key = self._keys.events
        found = self._one("XRANGE", key, "-", "+")
        newest = self._one("XREVRANGE", key, "+", "-")
        if found is None or newest is None or not fits(found):
            return None
        low, high = found.time_ms, newest.time_ms
        while low < high:
            middle = (low + high + 1) // 2
            entry = self._one("XRANGE", key, middle, "+")
            if entry is not None and fits(entry):
                found, low = entry, max(middle, entry.time_ms)
            else:
                high = middle - 1
        return self._last_from(found, fits)

    def _last_from(self, found: Entry, fits: Fits) -> Entry:
        """Go on, entry by entry, to the last one that fits."""
        key = self._keys.events
        while True:
            command = ("XRANGE", key, f"({found.id}", "+", "COUNT", _PAGE)
            (rows,) = run_many(self._backend.client, [command])
            for entry in _entries(rows, key):
                if not fits(entry):
                    return found
                found = entry
            if len(rows) < _PAGE:
                return found

    # The server

    def _next(self, block_s: float) -> list[Entry]:
        key = self._keys.events
        words = ("COUNT", _PAGE, "STREAMS", key, self.position)
        client = self._backend.client
        if block_s > 0:
            blocking = ("BLOCK", max(1, int(block_s * 1000)), *words)
            reply = client.block("XREAD", *blocking, block_s=block_s)
        else:
            (reply,) = run_many(client, [("XREAD", *words)])
        return list(_entries(_rows(reply), key))

    def _one(self, *command: Any) -> Entry | None:
        (rows,) = run_many(self._backend.client, [(*command, "COUNT", 1)])
        return _entry(rows[0], self._keys.events) if rows else None


def _rows(reply: Any) -> Sequence[Any]:
    """Find the entries in a reply to XREAD, whatever the protocol."""
    if not reply:
        return []
    if isinstance(reply, Mapping):
        (rows,) = reply.values()
        # The third protocol's reply is one list deeper.
        return rows[0] if rows and isinstance(rows[0], list) else rows
    ((_key, rows),) = reply
    return list(rows)


def _entries(rows: Sequence[Any], key: str) -> Iterator[Entry]:
    return (_entry(row, key) for row in rows)


def _entry(row: tuple[bytes, Mapping[bytes, bytes]], key: str) -> Entry:
    name, fields = row
    try:
        text = {
            field.decode(): value.decode(errors="replace")
            for field, value in fields.items()
        }
        return Entry(
            name.decode(),
            _time_of(name.decode()),
            epoch=int(text["epoch"]),
            rev=int(text["rev"]),
            atom=text["atom"],
            old=text["from"],
            new=text["to"],
            intention=text["intention"],
            worker=text["worker"],
            attempt=int(text["attempt"]),
            more={field: text[field] for field in text if field not in _KNOWN},
        )
    except (AttributeError, KeyError, ValueError) as error:
        message = f"key {key} has an entry that redisflow did not write: {error!r}"
        raise CorruptKey(message, key=key) from error


def _order(name: str) -> tuple[int, int]:
    time, _, number = name.partition("-")
    return int(time), int(number or 0)


def _time_of(name: str) -> int:
    return _order(name)[0]


def operator_id() -> str:
    """Name who acts, for the journal: host, process and user."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = str(os.getuid())
    return f"{os.uname().nodename[:24]}:{os.getpid()}:{user}"
