"""Coming to a flow: join the run that is on, or be the one who starts it.

The one who starts a run brings the structure, in bounded calls, and has it counted what
every node waits for, where that is not known; the others wait for it meanwhile. It does
so under its lease: when it dies, another takes the start over from the beginning, and
everything in it may be done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice

from redisflow.engine.items import MoveListener, moves_of
from redisflow.engine.membership import Membership
from redisflow.engine.plans import carry_on_plan
from redisflow.engine.structure import Structure
from redisflow.errors import NotFound, StructureMismatch
from redisflow.scripts import Argument, Reply
from redisflow.storage import Storage

#: Records that one script call carries: it takes the server less than a millisecond.
_BATCH = 40


class Start:
    """The start of one run, by one worker.

    Args:
        storage: the flow.
        membership: of the worker.
        run: the run.
        structure: of the flow that is to run.
        moved: told of each transition of the flow made on the way.
        resumes: whether a flow that was begun before is RESUMING and SUSPENDED first,
            as it is in TaskFlow when an engine meets it for the first time.
        keep_s: for how long the flow is kept once it has ended; None: as it is.
        drained: tells whether this worker is to take nothing, and so need not wait.

    Attributes:
        joined: whether others had the run on already.
        given_up: whether the run is not on, since this worker was drained.
    """

    joined = False
    given_up = False

    def __init__(
        self,
        storage: Storage,
        membership: Membership,
        run: int,
        structure: Structure,
        moved: MoveListener,
        *,
        resumes: bool = True,
        keep_s: float | None = None,
        drained: Callable[[], bool] = lambda: False,
    ) -> None:
        self._storage = storage
        self._membership = membership
        self._run = run
        self._structure = structure
        self._moved = moved
        self._resumes = resumes
        self._drained = drained
        self._keep_ms = -1 if keep_s is None else int(keep_s * 1000)
        self._scripts = storage.backend.scripts_of(storage.flow_uuid)

    def until_on(self) -> str | None:
        """Join the run, or start it if nobody does.

        Returns:
            None once the run is on, or this has given up; else how it had ended.

        Raises:
            StructureMismatch: live workers run another structure or other options.
        """
        while True:
            reply = self._ask()
            if reply.status == "ENDED":
                return str(reply.fields[0].decode())
            if reply.status == "MISMATCH":
                raise mismatch(self._storage, reply.fields[0])
            if reply.status == "JOINED":
                self._membership.keep()
                self.joined = True
                return None
            if self._bring_about(reply):
                return None
            if reply.status in ("SWEEP", "WAIT") and self._drained():
                self.given_up = True
                return None

    def _ask(self) -> Reply:
        return self._scripts.call(
            "flow_start",
            run=self._run,
            worker=self._membership.id,
            lease_ms=self._membership.lease_ms,
            fingerprint=self._structure.fingerprint,
            nodes=len(self._structure.nodes),
            never=int(self._structure.never_resolve),
            resume=int(self._resumes),
            keep_ms=self._keep_ms,
        )

    def _bring_about(self, reply: Reply) -> bool:
        """Do what has to be done before the run is on; returns whether it is."""
        if reply.status == "SWEEP":
            self._membership.sweep(needless=self._need_not_sweep)
            return False
        self._membership.keep()
        if reply.status == "WAIT":
            self._membership.wait(0.1)
            return False
        self._tell(reply.fields[0])
        if reply.status == "CLEAR":
            self._clear_graph()
            return False
        if reply.status == "LOAD":
            self._load_graph()
        return self._launch()

    def _need_not_sweep(self) -> bool:
        """Look whether others have swept, or all have renewed; or this was drained."""
        return self._drained() or self._ask().status != "SWEEP"

    def _clear_graph(self) -> None:
        left = 1
        while left:
            reply = self._scripts.call("graph_clear", worker=self._membership.id)
            if reply.status == "PLAN":
                self._scripts.call("plan_step", who=self._membership.id)
            else:
                left = reply.fields[0] if reply.status == "OK" else 0

    def _load_graph(self) -> None:
        for records in _batches(self._structure):
            reply = self._scripts.call(
                "graph_save", rest=records, worker=self._membership.id
            )
            if reply.status == "UNKNOWN":
                raise NotFound(f"Unknown atom name '{reply.fields[0].decode()}'")

    def _launch(self) -> bool:
        reply = self._scripts.call("flow_launch", worker=self._membership.id)
        if reply.status != "OK":
            return False
        self._tell(reply.fields[0])
        who = self._membership.id
        for move in carry_on_plan(self._storage, self._scripts, who=who):
            self._moved(move)
        return True

    def _tell(self, flat: list[bytes]) -> None:
        for move in moves_of(flat):
            self._moved(move)


def _batches(structure: Structure) -> Iterator[list[Argument]]:
    """Give a structure as graph_save takes it, in parts."""
    records = chain.from_iterable(
        node.records(number) for number, node in enumerate(structure.nodes)
    )
    while part := list(islice(records, _BATCH)):
        yield [word for record in part for word in record]


def refuse_other_structure(storage: Storage, run: int, structure: Structure) -> None:
    """Look, before anything is written, whether live workers run something else.

    Raises:
        StructureMismatch: they do.
    """
    flow, live = storage.mirror.flow, storage.mirror.live
    if flow is None or not live or run <= flow.ended:
        return
    stored = flow.fields.get("fingerprint")  # empty while the old structure is removed
    if stored and stored != structure.fingerprint:
        raise mismatch(storage, live)


def mismatch(storage: Storage, live: int) -> StructureMismatch:
    """Make the error of joining a flow with another structure."""
    return StructureMismatch(
        f"flow {storage.flow_name!r} ({storage.flow_uuid}) is being run by {live}"
        " worker(s) with another structure or other options"
    )
