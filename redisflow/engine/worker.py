"""A worker: the membership of one process in one run of a flow.

It takes items under its lease, gives them back with what came of them, and takes back
what dead workers held. All of it goes through scripts; this class adds no state of its
own to the protocol but its id and its lease, so that losing it loses nothing.

::

    start ──► joined ──► take ⇄ complete, resolve, halt, finish ──► leave
      │                    │
      └── the run is over ─┴──► Handout.ended says how

A reply that was lost is no harm: `take` names the items that are held here, and the
server hands out again what it knows to be this worker's and is not among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from taskflow import states
from taskflow.types.failure import Failure

from redisflow.client import Replication
from redisflow.engine.items import Handout, Item, Move, Outcome
from redisflow.engine.membership import Membership
from redisflow.engine.plans import carry_on_plan
from redisflow.errors import CorruptKey, FlowLost, NotFound
from redisflow.persistence.records import AtomRecord
from redisflow.scripts import Reply
from redisflow.storage import META_PROGRESS, Storage, keep_raised, put

_CLAIMED_STATES = {
    "execute": states.RUNNING,
    "revert": states.REVERTING,
    "retry": states.RETRYING,
}


class Worker:
    """One process at work on one run of a flow.

    Args:
        storage: the flow.
        membership: under which it works.
        run: the run that it belongs to.
        replication: claims and results wait for replicas, too.
    """

    def __init__(
        self,
        storage: Storage,
        membership: Membership,
        *,
        run: int,
        replication: Replication | None = None,
    ) -> None:
        self.run = run
        self._storage = storage
        self._mirror = storage.mirror
        self._membership = membership
        self._scripts = storage.backend.scripts_of(storage.flow_uuid)
        self._scripts.replication = replication

    @property
    def epoch(self) -> int:
        """The epoch of the flow, as far as its scripts here have seen."""
        return self._scripts.history.epoch

    def is_on(self) -> bool:
        """Ask whether the flow knows that this worker's run was begun."""
        self._mirror.sync()
        flow = self._mirror.flow
        assert flow is not None  # noqa: S101  # it was synced
        return self.run <= flow.ended or (
            flow.run == self.run
            and not flow.fields.get("starter")
            and flow.state not in {None, states.PENDING}
        )

    def owned(self, items: Collection[Item]) -> set[str]:
        """Ask which of these items the flow knows to be this worker's, by their ids."""
        if not items:
            return set()
        claims = self._storage.backend.client.execute(
            "HMGET", self._scripts.keys.claims, *(item.id for item in items)
        )
        me = self._membership.id
        return {
            item.id
            for item, claim in zip(items, claims, strict=True)
            if claim == f"{me} {item.token}".encode()
        }

    def take(
        self, capacity: int, holding: Iterable[str], *, settles: bool = False
    ) -> Handout:
        """Take up to ``capacity`` items; first those that were handed out and lost.

        Args:
            capacity: how many there is room for.
            holding: the ids of those that are held.
            settles: take nothing but the end of a run that can be ended now.
        """
        reply = self._scripts.call(
            "work_take",
            rest=list(holding),
            run=self.run,
            worker=self._membership.id,
            lease_ms=self._membership.lease_ms,
            capacity=capacity,
            settles=int(settles),
        )
        if self._membership.lost and reply.status == "OK":
            self._membership.keep()  # taking has registered this worker once more
        return self._handout(reply)

    def complete(
        self, item: Item, outcome: Outcome, payload: bytes, capacity: int
    ) -> Handout:
        """Record what came of an atom, and take what is next."""
        reply = self._call(
            item,
            "work_complete",
            state=outcome.state,
            payload=payload,
            capacity=capacity,
        )
        if reply.status == "STALE":
            return Handout(stale=True)
        if reply.status == "REPEATED":
            if item.atom is not None:
                keep_raised(item.atom, outcome.state, outcome.result)
            self._mirror.suspect()
            return Handout(retake=True)
        return self._handout(reply, item, outcome)

    def decide(self, item: Item, depth: str) -> Handout:
        """Apply what deciders have said: how far their nay reaches, or "" for none.

        With ``retake``, a plan has to be carried on before it can be applied.
        """
        reply = self._call(item, "work_decide", depth=depth)
        if reply.status == "STALE":
            return Handout(stale=True)
        if reply.status == "PLANNED":
            return Handout(planned=True, retake=True)
        _before, rev, state, what_next, items = reply.fields
        if items:
            return self._handout(reply)
        self._mirror.applied(-1, rev)
        return Handout(state=state.decode(), planned=what_next == b"PLAN")

    def retry(self, item: Item) -> Reply:
        """Try a controller's flow again, step by step.

        Returns:
            PLANNED: what comes after it starts anew: carry on the plan, and call again;
            OK: the controller runs, in the round that is told last; STALE: it is no
            longer this worker's.
        """
        reply = self._call(item, "work_retry")
        if reply.status == "OK":
            self._mirror.applied(*reply.fields[:2])
        return reply

    def blame(
        self, item: Item, controller: AtomRecord, failed: str, failure: Failure
    ) -> bool:
        """Note a failure in a controller's history; False: it is not for this worker.

        Raises:
            NotFound: the history has no entry.
        """
        reply = self._scripts.call(
            "work_blame",
            of=controller.uuid,
            atom=controller.uuid,
            worker=self._membership.id,
            token=item.token,
            item=item.id,
            failed=failed,
            payload=self._storage.backend.codec.encode_failure(failure),
        )
        if reply.status == "EMPTY":
            raise NotFound(f"retry {controller.name!r} has no entry in its history")
        self._note(reply)
        return reply.status == "OK"

    def resolve(self, item: Item, strategy: str, controller: str = "") -> str:
        """Apply what was decided about a failure.

        Args:
            item: the item.
            strategy: RETRY, REVERT or REVERT_ALL.
            controller: uuid of the retry controller, unless it is REVERT_ALL.

        Returns:
            OK; PLANNED: carry on the plan, and call again; STALE: it is no longer this
            worker's.
        """
        reply = self._scripts.call(
            "work_resolve",
            worker=self._membership.id,
            token=item.token,
            item=item.id,
            strategy=strategy,
            controller=controller,
        )
        if reply.status == "UNKNOWN":
            key = self._scripts.keys.atom(controller)
            raise CorruptKey(f"key {key} of a retry controller is gone", key=key)
        self._note(reply)
        return reply.status

    def decline(self, item: Item, failure: Failure) -> None:
        """Leave an item to others; if nobody can do it, the run ends for this."""
        reply = self._call(
            item,
            "work_decline",
            payload=self._storage.backend.codec.encode_failure(failure),
        )
        self._storage.raised_halts.append(failure)
        self._note(reply)

    def halt(self, item: Item, failure: Failure) -> None:
        """Give an item back that could not be begun, and end the run for it."""
        reply = self._call(
            item,
            "work_halt",
            payload=self._storage.backend.codec.encode_failure(failure),
        )
        self._storage.raised_halts.append(failure)
        self._note(reply)

    def halt_run(self, failure: Failure) -> None:
        """End the run for a failure that belongs to no atom."""
        reply = self._scripts.call(
            "flow_halt",
            run=self.run,
            payload=self._storage.backend.codec.encode_failure(failure),
        )
        self._storage.raised_halts.append(failure)
        self._note(reply)

    def carry_on_plan(self) -> list[Move]:
        """Do all that is planned; returns the flow's transitions."""
        return carry_on_plan(self._storage, self._scripts, who=self._membership.id)

    def finish(self, item: Item) -> Move | None:
        """End the run; returns its last transition if this worker made it."""
        reply = self._scripts.call(
            "flow_finish", run=self.run, worker=self._membership.id, token=item.token
        )
        if reply.status == "ENDED":
            self._expire(0)  # by a sending whose answer was lost, maybe
        if reply.status != "OK":
            return None
        old, state, more = reply.fields
        if more:
            self._expire(more)
        self._mirror.suspect()
        return Move(old.decode(), state.decode())

    def _expire(self, after: int) -> None:
        """Let the records of a flow that expires go with it, from a revision on."""
        with suppress(FlowLost):  # it went meanwhile; a collection takes what is left
            reply = self._scripts.call("flow_expire", run=self.run, after=after)
            while reply.status == "MORE":
                after = reply.fields[0]
                reply = self._scripts.call("flow_expire", run=self.run, after=after)

    def _handout(
        self, reply: Reply, done: Item | None = None, outcome: Outcome | None = None
    ) -> Handout:
        if reply.status == "ENDED":
            return Handout(ended=reply.fields[0].decode())
        before, rev, state, what_next, rows = reply.fields
        items = [self._item(row) for row in rows]
        if done is not None and done.atom is not None and outcome is not None:
            keep_raised(done.atom, outcome.state, outcome.result)

        def change() -> None:
            if done is not None and done.atom is not None and outcome is not None:
                put(done.atom, outcome.state, outcome.result, before + 1)
                self._mirror.note_failed(done.atom)
                if outcome.progress is not None:
                    done.atom.detail.meta[META_PROGRESS] = outcome.progress
            for item in items:
                _show_claim(item, self._membership.id)

        self._mirror.applied(before, rev, change)
        return Handout(
            items,
            state.decode(),
            planned=what_next == b"PLAN",
            over=what_next == b"FINISH",
        )

    def _item(self, row: list[Any]) -> Item:
        name, token, uuid, round_, attempt, old_state = row
        identity = name.decode()
        kind = identity.rpartition(":")[2]
        atom = self._atom(uuid.decode()) if uuid else None
        return Item(
            id=identity,
            kind=kind,
            token=token.decode() if isinstance(token, bytes) else str(token),
            atom=atom,
            round=round_,
            attempt=attempt,
            old_state=old_state.decode(),
        )

    def _atom(self, uuid: str) -> AtomRecord:
        record = self._mirror.by_uuid.get(uuid)
        if record is None:
            self._mirror.sync()
            record = self._mirror.by_uuid.get(uuid)
        if record is None:
            raise NotFound(f"flow {self._storage.flow_uuid} has no atom {uuid}")
        return record

    def _call(self, item: Item, script: str, **args: Any) -> Reply:
        """Call a script about the atom of an item that this worker holds."""
        assert item.atom is not None  # noqa: S101  # only atoms are asked about
        return self._scripts.call(
            script,
            of=item.atom.uuid,
            atom=item.atom.uuid,
            worker=self._membership.id,
            token=item.token,
            item=item.id,
            **args,
        )

    def _note(self, reply: Reply) -> None:
        if reply.status == "OK":
            self._mirror.applied(-1, reply.fields[1])


def _show_claim(item: Item, worker: str) -> None:
    """Show in an atom's record what the server has done to hand it out."""
    if item.atom is None or item.kind not in _CLAIMED_STATES:
        return
    item.atom.detail.state = _CLAIMED_STATES[item.kind]
    if META_PROGRESS in item.atom.detail.meta:
        item.atom.detail.meta[META_PROGRESS] = 0.0
    item.atom.owner = worker
    item.atom.round = item.round
    item.atom.attempt = item.attempt
    item.atom.rev = int(item.token)
