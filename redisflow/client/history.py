"""Which history of its server a key is known to live in.

A server that is started again with the end of its append-only file missing, or a
replica that takes over before all had reached it, goes on from an earlier moment: what
was acknowledged after it never happened. Each server process has a ``run_id`` of its
own, so that one which is not the known one is the sign that this may have been; it
may as well be harmless, and nothing of it is believed before it was looked at.

Each connection learns the run_id when it greets: it belongs to the connection, so that
whatever is sent over one is known to run in that history. A client compares it with the
one that the *witness* of a call knows, which costs nothing while they are the same.
Where they differ the witness is told first, on the same connection: `Witness.confirm`.

Some servers hide their run_id, and some users may not ask for it. There every failure
of a connection counts as another history: it has a name that this process makes up.

What this does not see: a primary that becomes a replica and then primary again, all in
one life of its process, while nobody who knew it talked to the one in between.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable
from typing import Any, Protocol

from redis.exceptions import NoScriptError

#: Runs a script, given its sha, its source, the number of its keys and what follows.
Run = Callable[..., Any]

_RUN_ID = re.compile(rb"run_id:([0-9a-zA-Z]+)")

#: So many keys are remembered; forgetting one costs a round trip, once.
_REMEMBERED = 10_000


#: What no server is called, not even one that hides its run_id: that one is "".
NOWHERE = "-"


class History:
    """Where a key lives, as far as this process knows.

    Attributes:
        server: name of the history in which it was looked at last, or `NOWHERE`.
        epoch: what the witness has made of it; it grows.
    """

    __slots__ = ("epoch", "server")

    def __init__(self) -> None:
        self.server = NOWHERE
        self.epoch = 0


class Witness(Protocol):
    """What a client asks before it sends a script to a server of another history."""

    @property
    def history(self) -> History:
        """What is known."""

    def confirm(self, run: Run) -> None:
        """Find out what has changed, by a script on the connection of the call."""


class Histories:
    """The histories of one server's keys, shared by a client and its siblings.

    Attributes:
        unnamed: names the history of a server that does not tell its run_id.
    """

    def __init__(self) -> None:
        self._known: dict[str, History] = {}
        self._lock = threading.Lock()
        self.unnamed = ""
        self.renew()

    def of(self, key: str) -> History:
        """Return what is known of a key; the same object for all who ask."""
        found = self._known.get(key)
        if found is None:
            with self._lock:
                if len(self._known) >= _REMEMBERED:
                    self._known.pop(next(iter(self._known)))
                found = self._known.setdefault(key, History())
        return found

    def renew(self) -> None:
        """Take a server that does not tell for another one from now on."""
        self.unnamed = f"?{secrets.token_hex(8)}"

    def greeted(self, connection: Any, info: bytes | str | None) -> None:
        """Note on a connection what its server has told of itself.

        Args:
            connection: has been made, or made anew.
            info: the reply to ``INFO server``; None if the user may not ask.
        """
        connection.history = run_id_in(info)
        if connection.history:
            return
        # A pool makes a lost connection anew without a word; once for each loss.
        if getattr(connection, "unnamed", "") == self.unnamed:
            self.renew()
        connection.unnamed = self.unnamed

    def name(self, connection: Any) -> str:
        """Name the history that a connection leads to."""
        return str(connection.history) or self.unnamed

    def after_fork(self) -> None:
        """Know no more, in a child, than what its own connections tell."""
        self._lock = threading.Lock()
        self.renew()


def run_id_in(info: bytes | str | None) -> str:
    """Find the run_id in a reply to INFO; "" where there is none, or nothing but zeros.

    >>> run_id_in("run_id:5f1e"), run_id_in(b"run_id:0000")
    ('5f1e', '')
    """
    text = info.encode() if isinstance(info, str) else info or b""
    found = _RUN_ID.search(text)
    return found[1].decode() if found and found[1].strip(b"0") else ""


def compare(connection: Any, witness: Witness, histories: Histories) -> None:
    """Have the history of a connection confirmed, unless the witness knows it."""
    name = histories.name(connection)
    if name == witness.history.server:
        return

    def send(*words: Any) -> Any:
        connection.send_command(*words)
        return connection.read_response()

    witness.confirm(runner(send))
    witness.history.server = name


def runner(send: Callable[..., Any]) -> Run:
    """Make what runs a script by its sha; where the server lacks it, by its source."""

    def run(sha: str, source: str, *words: Any) -> Any:
        try:
            return send("EVALSHA", sha, *words)
        except NoScriptError:
            return send("EVAL", source, *words)

    return run
