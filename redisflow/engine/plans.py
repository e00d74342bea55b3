"""Plans: changes of many records, carried on in bounded steps by whoever comes."""

from __future__ import annotations

from redisflow.engine.items import Move, moves_of
from redisflow.errors import InvalidState
from redisflow.scripts import FlowScripts
from redisflow.storage import Storage


def carry_on_plan(storage: Storage, scripts: FlowScripts, *, who: str) -> list[Move]:
    """Do all that is planned; returns the flow's transitions."""
    while True:
        reply = scripts.call("plan_step", who=who)
        if reply.status != "MORE":
            (moves,) = reply.fields
            storage.mirror.suspect()
            return moves_of(moves)


def cancel_run(storage: Storage, run: int, *, reason: str, who: str = "") -> list[Move]:
    """Have all be reverted that a run has done; returns the flow's transitions.

    Args:
        storage: of the flow.
        run: the run that is meant.
        reason: why, for people.
        who: asks for it; without it, this storage.

    Raises:
        InvalidState: the run has not begun, or it is over.
    """
    scripts = storage.backend.scripts_of(storage.flow_uuid)
    moves: list[Move] = []
    while True:
        asks = who or storage.writer
        reply = scripts.call("flow_cancel", run=run, who=asks, reason=reason)
        if reply.status in {"IDLE", "ENDED"}:
            state = reply.fields[0].decode()
            what = "has not begun" if reply.status == "IDLE" else "is over"
            raise InvalidState(
                f"run {run} of flow {storage.flow_name!r} {what} ({state}): there is"
                " nothing to cancel"
            )
        moves += carry_on_plan(storage, scripts, who=storage.writer)
        if reply.status != "PLAN":
            return moves
