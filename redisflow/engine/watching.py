"""Telling observers of the work of one loop.

What is put together for them is put together only if there are some.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from taskflow.types.failure import Failure

from redisflow import observing
from redisflow.engine.items import Item, Outcome
from redisflow.observing import Part, Work
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

META_RUN_ID = "run_id"

#: Stands for the state of an atom whose run was ended for an error around it.
HALTED = "HALTED"

Job = Callable[[], Outcome]


class Watch:
    """Tells observers of one worker's part in one run.

    Args:
        storage: the flow.
        worker: who works.
        run: number of the run.
    """

    def __init__(self, storage: Storage, worker: str, run: int) -> None:
        self._storage = storage
        self._worker = worker
        self._number = run
        self._part: Part | None = None
        self._begun: dict[tuple[str, str], Work] = {}

    @property
    def run(self) -> str:
        """The run id, or the flow's name."""
        record = self._storage.mirror.flow
        found = None if record is None else record.meta.get(META_RUN_ID)
        return str(found or self._storage.flow_name)

    def join(self) -> None:
        """Tell that the worker has come."""
        if observing.observers:
            observing.tell("joined", self._known_part())

    def leave(self) -> None:
        """Tell that it has left; what had begun is not recorded any more."""
        for work in self._begun.values():
            observing.tell("refused", work)
        self._begun.clear()
        if self._part is not None:
            observing.tell("left", self._part)
            self._part = None

    def begin(self, item: Item, job: Job) -> Job:
        """Tell that work begins; returns the job as it is to be run."""
        if not observing.observers or item.atom is None:
            return job
        work = Work(
            self._known_part(),
            item.atom.name,
            item.atom.uuid,
            item.kind,
            item.round,
            item.attempt,
            item.token,
        )
        self._begun[item.id, item.token] = work
        observing.tell("began", work)
        return lambda: _observed(work, job)

    def end(self, item: Item, state: str, result: Any = None) -> None:
        """Tell that what came of it is recorded."""
        work = self._begun.pop((item.id, item.token), None)
        if work is not None:
            error = result.exception if isinstance(result, Failure) else None
            observing.tell("ended", work, state, error)

    def refuse(self, item: Item) -> None:
        """Tell that what came of it is not recorded."""
        work = self._begun.pop((item.id, item.token), None)
        if work is not None:
            observing.tell("refused", work)

    def fields(self, item: Item | None = None) -> Mapping[str, Any]:
        """Return what a line of the log is about, for its ``extra``."""
        about: dict[str, Any] = {
            "run": self.run,
            "flow": self._storage.flow_uuid,
            "worker": self._worker,
        }
        if item is not None and item.atom is not None:
            about |= {"atom": item.atom.name, "attempt": item.attempt}
        return about

    def _known_part(self) -> Part:
        if self._part is None:
            record = self._storage.mirror.flow
            self._part = Part(
                self.run,
                self._storage.flow_uuid,
                self._number,
                self._worker,
                {} if record is None else dict(record.meta),
                self._counts,
            )
        return self._part

    def _counts(self) -> tuple[int, int]:
        """Ask how much is ready and who is there; each has one sentinel."""
        backend = self._storage.backend
        keys = backend.keys.of_flow(self._storage.flow_uuid)
        ready, workers = (
            int(backend.client.execute("ZCARD", key))
            for key in (keys.ready, keys.workers)
        )
        return max(0, ready - 1), max(0, workers - 1)


def _observed(work: Work, job: Job) -> Outcome:
    with contextlib.ExitStack() as around:
        for observer in observing.observers:
            with contextlib.suppress(Exception):  # it only looks on
                doing = observer.doing(work)
                doing.__enter__()
                around.push(functools.partial(_left, doing))
        return job()


def _left(doing: AbstractContextManager[object], *raised: Any) -> bool:
    """Leave an observer's context; neither what it raises nor what it says counts."""
    try:
        doing.__exit__(*raised)
    except Exception:
        logger.exception("an observer has failed")
    return False
