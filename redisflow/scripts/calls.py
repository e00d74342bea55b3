"""Scripts bound to keys: one call each, and what its answer means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from redisflow import observing
from redisflow.client import Client, History, Replication, Run, ServerError, Witness
from redisflow.errors import (
    CorruptKey,
    FlowLost,
    NotFound,
    RedisFlowError,
    SchemaTooNew,
    ScriptFailed,
)
from redisflow.keys import FlowKeys, LockKeys
from redisflow.scripts.guard import Guard, Unguarded
from redisflow.scripts.headers import RECORD_KEYS, Script, catalogue
from redisflow.scripts.sendings import Argument, Sendings


class Reply(NamedTuple):
    """What a script answered: a status and the fields that its header lists."""

    status: str
    fields: list[Any]


class _Bound(NamedTuple):
    """A script, its keys but for those of a record, and what names the latter."""

    script: Script
    keys: list[str]
    records: list[Callable[[str], str]]


class Scripts:
    """The scripts, bound to the keys of one lock, or of one flow.

    Args:
        client: where they run.
        keys: what they run on.
        guard: the flow's lock; gives the scripts that change the flow their fence.

    Attributes:
        replication: if it is set, a call waits for replicas, too.
    """

    replication: Replication | None = None
    _witness: Witness | None = None

    def __init__(
        self, client: Client, keys: LockKeys, guard: Guard | None = None
    ) -> None:
        self.client = client
        self.keys = keys
        self._guard = guard or Unguarded(keys)
        self._bound: dict[str, _Bound] = {}

    def call(
        self,
        name: str,
        /,
        *,
        of: str | None = None,
        rest: Sequence[Argument] = (),
        deadline_s: float | None = None,
        **args: Argument,
    ) -> Reply:
        """Run a script.

        Args:
            name: the script's name.
            of: uuid of the atom whose records are among the script's keys.
            rest: values of the argument that ends in ``...``.
            deadline_s: how long to go on trying; the client's own by default. 0: send
                it once.
            args: the other arguments, by the names in the script's header.

        Raises:
            TypeError: the arguments are not those of the header.
            NotFound: the flow (`FlowLost`), or the lock, is gone.
            SchemaTooNew: a newer version wrote it.
            CorruptKey: a key is not what it should be; nothing was changed.
            StoreError: the server could not be reached, or refused.
            LeaseLost: the caller's section of the flow's lock is over.
            Locked: others held the flow's lock until the deadline.
            RuntimeError: the caller's section is one that only reads.
        """
        script, keys, records = self._bound.get(name) or self._bind(name)
        if of is not None:
            keys = [*keys, *[key_of(of) for key_of in records]]
        if script.guarded:
            args.setdefault("fence", self._guard.fence())
        place = script.sent_at
        if place is not None and args.setdefault("sent", ""):
            place = None  # a test has its own
        if len(args) != len(script.args) or (rest and script.rest is None):
            raise TypeError(_arity_message(script, args))
        try:
            values: list[Argument] = [args[argument] for argument in script.args]
        except KeyError:
            raise TypeError(_arity_message(script, args)) from None
        values.extend(rest)
        sendings = Sendings(self.keys.lock, values, place)
        try:
            reply = self._answer(script, keys, sendings, deadline_s)
            while reply[0] == b"EXPIRES":
                self.keep(reply[1])
                sendings.words[script.args.index("fence")] = args["fence"]
                sendings.again("not applied")
                reply = self._answer(script, keys, sendings, deadline_s)
            return self._check(script, reply)
        except BaseException as error:
            sendings.failed(error)
            raise

    def _answer(
        self,
        script: Script,
        keys: Sequence[str],
        sendings: Sendings,
        deadline_s: float | None,
    ) -> list[Any]:
        """Run a script, in a turn of its own if it meets somebody else's section."""
        reply = self._run(script, keys, sendings, deadline_s)
        sendings.answered()
        if reply[0] == b"LOCKED":
            reply = self._take_turn(script, keys, sendings, deadline_s)
            sendings.answered()
        return reply

    def keep(self, ended: int) -> None:
        """Let a flow stay that was to go, since its last run's end has set out so.

        Args:
            ended: that run.
        """
        reply = self.call("flow_keep", ended=ended, after=0)
        while reply.status == "MORE":
            reply = self.call("flow_keep", ended=ended, after=reply.fields[0])

    def _run(
        self,
        script: Script,
        keys: Sequence[str],
        sendings: Sendings,
        deadline_s: float | None,
    ) -> list[Any]:
        began = monotonic() if observing.observers else None
        try:
            return self.client.run_script(
                script.sha,
                script.source,
                keys,
                sendings.words,
                again=sendings.again,
                deadline_s=deadline_s,
                replication=self.replication,
                witness=self._witness if script.dated else None,
            )
        except ServerError as error:
            raise self._translate(error, script, keys) from error
        finally:
            if began is not None:
                observing.tell("ran", script.name, monotonic() - began)

    def _take_turn(
        self,
        script: Script,
        keys: Sequence[str],
        sendings: Sendings,
        deadline_s: float | None,
    ) -> list[Any]:
        """Run a script that met somebody else's section in a section of its own."""
        limit_s = self.client.config.deadline_s if deadline_s is None else deadline_s
        until = monotonic() + limit_s
        with self._guard.turn(limit_s) as fence:
            sendings.words[script.args.index("fence")] = fence
            sendings.again("not applied")
            left_s = max(0.0, until - monotonic())
            return self._run(script, keys, sendings, left_s)

    def _bind(self, name: str) -> _Bound:
        script = catalogue()[name]
        named = {key: getattr(self.keys, key) for key, _ in script.keys}
        keys = [named[key] for key in named if key not in RECORD_KEYS]
        records = [named[key] for key in named if key in RECORD_KEYS]
        bound = self._bound[name] = _Bound(script, keys, records)
        return bound

    def _check(self, script: Script, reply: list[Any]) -> Reply:
        status = reply[0].decode()
        if status not in script.statuses:
            message = f"script {script.name} answered {status}, which it does not list"
            raise ScriptFailed(message, script=script.name)
        if status in _RAISED:
            raise self._refusal(script, status, reply[1:])
        return Reply(status, reply[1:])

    def _refusal(
        self, script: Script, status: str, fields: Sequence[Any]
    ) -> RedisFlowError:
        if status == "FENCED":
            return self._guard.fenced()
        if status == "SCHEMA":
            key = getattr(self.keys, script.keys[0][0])
            message = f"{key} was written by a newer redisflow"
            return SchemaTooNew(message, key=key, schema=int(fields[0]))
        if isinstance(self.keys, FlowKeys):
            key, uuid = self.keys.flow, self.keys.flow_uuid
            return FlowLost(f"flow {uuid} is gone ({key})", key=key)
        return NotFound(f"the lock {self.keys.lock} is gone")

    def _translate(
        self, error: ServerError, script: Script, keys: Sequence[str]
    ) -> CorruptKey | ScriptFailed:
        corrupt = re.search(r"CORRUPT (\S+) (.*)", error.text)
        if corrupt:
            message = f"key {corrupt[1]} is not what redisflow wrote: {corrupt[2]}"
            return CorruptKey(message, key=corrupt[1])
        if "WRONGTYPE" in error.text:
            for key, (_, expected) in zip(keys, script.keys, strict=True):
                found = self.client.execute("TYPE", key).decode()
                if found not in (expected, "none"):
                    message = f"key {key} holds a {found}, not a {expected}"
                    return CorruptKey(message, key=key)
        message = f"script {script.name} failed: {error.text}"
        return ScriptFailed(message, script=script.name)


class FlowScripts(Scripts):
    """The scripts of one flow.

    Before the first of them that may change the flow in another history of its server
    than the one that it was seen in last, ``epoch_begin`` has the flow look at it.

    Attributes:
        history: where the flow lives, as all scripts of it in this client know.
    """

    keys: FlowKeys

    def __init__(
        self, client: Client, keys: FlowKeys, guard: Guard | None = None
    ) -> None:
        super().__init__(client, keys, guard)
        self.history: History = client.histories.of(keys.flow)
        self._witness = self

    def confirm(self, run: Run) -> None:
        """Begin another epoch of the flow, unless it knows this server already."""
        there = _Direct(self.client, self.keys, run)
        told = self.client.histories.unnamed
        with suppress(FlowLost, SchemaTooNew):  # the script itself will say so
            reply = there.call("epoch_begin", told=told, who=_who())
            self.history.epoch = max(self.history.epoch, reply.fields[0])


class _Direct(Scripts):
    """The scripts of one flow, over a connection that somebody has in hand."""

    def __init__(self, client: Client, keys: FlowKeys, run: Run) -> None:
        super().__init__(client, keys)
        self._over = run

    def _run(
        self,
        script: Script,
        keys: Sequence[str],
        sendings: Sendings,
        deadline_s: float | None,
    ) -> list[Any]:
        reply: list[Any] = self._over(
            script.sha, script.source, len(keys), *keys, *sendings.words
        )
        return reply


#: Statuses that mean the same everywhere.
_RAISED = frozenset({"GONE", "SCHEMA", "FENCED"})


def _arity_message(script: Script, args: Mapping[str, Argument]) -> str:
    added = set(script.args) - set(script.wanted)
    given = ", ".join(arg for arg in args if arg not in added)
    return f"script {script.name} takes ({', '.join(script.wanted)}), not ({given})"


def _who() -> str:
    """Name this process, for the journal."""
    return f"{os.uname().nodename[:24]}:{os.getpid()}"
