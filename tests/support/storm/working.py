"""A worker of a storm: it takes part in all flows, and writes down what it is told.

It goes from flow to flow until each has ended, through a proxy of its own, and carries
on after every error of ours. Four files are its witnesses, one line for each event:

=======  ====================================================================
notes    what a task or a controller begins, with the token of its claim
answers  each result that it sends, and what came of that: ok, stale, unknown
calls    what it was answered when it changed an atom that belongs to nobody
deaths   a task that kills it
=======  ====================================================================
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from taskflow import states
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend, Storage
from redisflow.client import Client
from redisflow.engine.items import Handout, Item, Outcome
from redisflow.engine.worker import Worker
from redisflow.errors import RedisFlowError, StoreError
from tests.support.eventually import eventually
from tests.support.outcomes import error_of
from tests.support.storages import Noop
from tests.support.storm.drawing import LEASE_S, StormyFlow
from tests.support.workloads import Note, append

logger = logging.getLogger(__name__)

#: How a flow can end.
ENDS = frozenset({states.SUCCESS, states.REVERTED, states.FAILURE})

#: Atoms that belong to nobody, and are changed by everybody.
COMMON = [f"common-{number}" for number in range(4)]

#: The thread that stays for a while when all leases are gone.
_LINGERS = "redisflow-heartbeat"
_BETWEEN_CALLS_S = 0.08


@dataclass(frozen=True, slots=True)
class Duty:
    """What a worker process is to do.

    Attributes:
        name: what its files are called.
        url: the server, through its proxy.
        folder: where its files are.
        flows: all flows, in the order in which it comes to them.
        threads: how many tasks it runs at a time.
        common: uuid of the flow with the atoms that belong to nobody.
    """

    name: str
    url: str
    folder: str
    flows: list[StormyFlow]
    threads: int
    common: str

    def file(self, suffix: str) -> Path:
        """Name a file of the process."""
        return Path(self.folder, f"{self.name}.{suffix}")


class _Notes(list[tuple[str, str]]):
    """Writes down what the atoms of a flow begin; some of them are deadly."""

    def __init__(self, duty: Duty, flow: StormyFlow) -> None:
        super().__init__()
        self._duty, self._flow = duty, flow

    def append(self, what: tuple[str, str]) -> None:
        """Write a line: an atom has begun. If it is a deadly one, die."""
        about = redisflow.current()
        assert about is not None
        kind, name = what
        pid, rounds = os.getpid(), (about.round, about.attempt)
        note = Note(name, kind, "begin", pid, *rounds, about.token)
        run_id = self._flow.run_id
        append(self._duty.file("notes"), json.dumps([run_id, asdict(note)]))
        if kind == "revert" and about.attempt < self._flow.deadly.get(name, 0):
            append(self._duty.file("deaths"), json.dumps([run_id, name]))
            os.kill(pid, signal.SIGKILL)


def work(duty: Duty) -> None:
    """Be a worker until all flows have ended, and report."""
    log = os.open(duty.file("log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, force=True)
    before = _belongings()
    _write_down_answers(duty.file("answers"))
    over = threading.Event()
    changer = threading.Thread(target=_change_common, args=(duty, over))
    changer.start()
    errors: list[str] = []
    outcomes: dict[str, str] = {}
    try:
        left = list(duty.flows)
        while left:
            flow = left.pop(0)
            outcome = _take_part(duty, flow, errors)
            if outcome in ENDS:
                outcomes[flow.run_id] = outcome
            else:
                left.append(flow)
                threading.Event().wait(0.05)
    finally:
        over.set()
        changer.join()
    report = {
        "outcomes": outcomes,
        "errors": errors,
        "left": _left_of(before),
    }
    duty.file("report").write_text(json.dumps(report), encoding="utf-8")


def _take_part(duty: Duty, flow: StormyFlow, errors: list[str]) -> str | None:
    """Run a flow as far as it goes; returns how it ended, None if that is unknown."""
    engine = None
    notes = _Notes(duty, flow)
    options = {**flow.shared, "lease_s": LEASE_S, "max_attempts": 1000}
    if duty.threads > 1:
        options |= {"executor": "threads", "max_workers": duty.threads}
    try:
        engine = redisflow.load(
            flow.shape.make(notes), run_id=flow.run_id, url=duty.url, **options
        )
        raised = error_of(engine.run)
        if raised is not None:
            logger.warning("%s: run() raised %r", flow.run_id, raised)
            if not (engine.outcome_known or isinstance(raised, RedisFlowError)):
                raise raised
        return engine.outcome()
    except RedisFlowError as error:
        logger.warning("%s: %r", flow.run_id, error)
    except Exception as error:
        logger.exception("%s", flow.run_id)
        errors.append(f"{flow.run_id}: {error!r}")
    finally:
        if engine is not None:
            engine.storage.backend.close()
    return None


def _write_down_answers(path: Path) -> None:
    """Have each result that this process sends written down, and what came of it."""
    complete = Worker.complete

    def noted(
        self: Worker, item: Item, outcome: Outcome, payload: bytes, capacity: int
    ) -> Handout:
        assert item.atom is not None
        digest = hashlib.sha256(payload).hexdigest()
        flow = self._storage.flow_uuid
        about = [flow, item.atom.name, item.token, outcome.state, digest]
        append(path, json.dumps(["sent", *about]))
        try:
            handout = complete(self, item, outcome, payload, capacity)
        except StoreError as error:
            append(path, json.dumps([error.outcome, *about]))
            raise
        answer = "stale" if handout.stale else "ok"
        append(path, json.dumps([answer, *about]))
        return handout

    setattr(Worker, "complete", noted)  # noqa: B010  # mypy minds an assignment


# Atoms that belong to nobody


def an_atom(state: str, what: Any) -> tuple[Any, str]:
    """Be an atom: tell the state, or compare and set it as TaskFlow's table allows."""
    if what == "read":
        return state, state
    expected, new = what
    if (expected and state != expected) or new == state:
        return [False, state], state
    if not states.check_task_transition(state, new):
        return "InvalidState", state
    return [True, state], str(new)


_STATES = ("PENDING", "RUNNING", "SUCCESS", "FAILURE", "REVERTING", "REVERTED")


def _change_common(duty: Duty, over: threading.Event) -> None:
    """Read and change the atoms that belong to nobody, until all else is over."""
    draw = random.Random(duty.name)
    path = duty.file("calls")
    number = 0
    with contextlib.closing(RedisBackend.from_url(duty.url)) as backend:
        storage: Storage | None = None
        while not over.wait(_BETWEEN_CALLS_S):
            try:
                storage = storage or Storage(
                    models.FlowDetail("common", duty.common), backend
                )
                storage.get_flow_state()
            except RedisFlowError:
                continue
            number += 1
            _one_call(storage, draw, path, number)


def _one_call(storage: Storage, draw: random.Random, path: Path, number: int) -> None:
    atom = draw.choice(COMMON)
    state = storage.mirror.atom(atom).detail.state
    likely = [s for s in _STATES if states.check_task_transition(state, s)]
    new = draw.choice(likely or _STATES)
    what: Any = draw.choice(["read", (None, new), (state, new), (state, new)])
    append(path, json.dumps(["begin", number, atom, what, monotonic()]))
    try:
        if what == "read":
            answer: Any = storage.get_atom_state(atom)
        else:
            answer = storage.transition_atom_state(atom, what[1], expected=what[0])
    except StoreError as error:
        if error.outcome == "unknown":
            return
        answer = None  # it was not carried out
    except RedisFlowError as error:
        answer = type(error).__name__
    append(path, json.dumps(["end", number, answer, monotonic()]))


# What must not be left


def _belongings() -> Mapping[str, int]:
    """Count what a process has: threads, sockets, clients."""
    gc.collect()
    return {
        "threads": sum(each.name != _LINGERS for each in threading.enumerate()),
        "sockets": sum(1 for _ in _sockets()),
        "clients": sum(isinstance(each, Client) for each in gc.get_objects()),
    }


def _sockets() -> Iterator[str]:
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(each.readlink())
            if target.startswith("socket:"):
                yield target


def _left_of(before: Mapping[str, int]) -> dict[str, int]:
    """Return what there is more of than before, once that is nothing or stays."""

    def more() -> dict[str, int]:
        now = _belongings()
        return {name: now[name] - n for name, n in before.items() if now[name] > n}

    with contextlib.suppress(AssertionError):
        eventually(lambda: not more(), 5)
    return more()


def make_common(url: str, uuid: str) -> None:
    """Store the flow with the atoms that belong to nobody."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        storage = Storage(models.FlowDetail("common", uuid), backend)
        noop: Any = Noop  # its constructor is TaskFlow's, without types
        storage.ensure_atoms([noop(name) for name in COMMON])
