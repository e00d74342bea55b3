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
from redisflow.client import Client
from redisflow.engine.items import Item, Outcome
from redisflow.observing import Part, Work
from redisflow.persistence.records import META_RUN_ID, AtomRecord
from redisflow.storage import Storage

logger = logging.getLogger(__name__)

#: Stands for the state of an atom whose run was ended for an error around it.
HALTED = "HALTED"

#: For how long the server is asked for counts, in seconds.
_ASK_S = 1.0

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
        self._asker: Client | None = None
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
            observing.tell("abandoned", work)
        self._begun.clear()
        if self._part is not None:
            observing.tell("left", self._part)
            self._part = None
        if self._asker is not None:
            self._asker.close()
            self._asker = None

    def begin(self, item: Item, job: Job) -> Job:
        """Return a job as it is to be run: the thread that begins it tells that."""
        observed = bool(observing.observers) or logger.isEnabledFor(logging.INFO)
        if not observed or item.atom is None:
            return job
        work = self._work_of(item, item.atom)

        def run() -> Outcome:
            self._log("begins", item)
            self._tell_begin(item, work)
            return _observed(work, job)

        return run

    def _work_of(self, item: Item, atom: AtomRecord) -> Work:
        return Work(
            self._known_part(),
            atom.name,
            atom.uuid,
            item.kind,
            item.round,
            item.attempt,
            item.token,
        )

    def _tell_begin(self, item: Item, work: Work) -> None:
        self._begun[item.id, item.token] = work
        observing.tell("began", work)

    def halt(self, item: Item, failure: Failure) -> None:
        """Tell that the run is ended for an error around an atom, begun or not."""
        begun = (item.id, item.token) in self._begun
        if observing.observers and item.atom is not None and not begun:
            self._tell_begin(item, self._work_of(item, item.atom))
        self.end(item, HALTED, failure)

    def end(self, item: Item, state: str, result: Any = None) -> None:
        """Tell that what came of it is recorded."""
        self._log(f"is {state}", item)
        work = self._begun.pop((item.id, item.token), None)
        if work is not None:
            error = result.exception if isinstance(result, Failure) else None
            observing.tell("ended", work, state, error)

    def refuse(self, item: Item) -> None:
        """Tell that what came of it is not recorded."""
        work = self._begun.pop((item.id, item.token), None)
        if work is not None:
            observing.tell("refused", work)

    def _log(self, words: str, item: Item) -> None:
        if logger.isEnabledFor(logging.INFO) and item.atom is not None:
            about = self.fields(item)
            logger.info("%s of %r %s", item.kind, item.atom.name, words, extra=about)

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
        """Ask how much is ready and who is there; each has one sentinel.

        Whoever asks waits for the answer, a scrape for one: not for long.
        """
        backend = self._storage.backend
        keys = backend.keys.of_flow(self._storage.flow_uuid)
        if self._asker is None:
            self._asker = backend.client.sibling(timeout_s=_ASK_S)
        ready, workers = self._asker.execute_many(
            [("ZCARD", keys.ready), ("ZCARD", keys.workers)], deadline_s=_ASK_S
        )
        return max(0, int(ready) - 1), max(0, int(workers) - 1)


def _observed(work: Work, job: Job) -> Outcome:
    with contextlib.ExitStack() as around:
        for observer in observing.observers:
            try:
                doing = observer.doing(work)
                doing.__enter__()
            except Exception:  # it only looks on
                logger.exception("an observer has failed")
            else:
                around.push(functools.partial(_left, doing))
        return job()


def _left(doing: AbstractContextManager[object], *raised: Any) -> bool:
    """Leave an observer's context; neither what it raises nor what it says counts."""
    try:
        doing.__exit__(*raised)
    except Exception:
        logger.exception("an observer has failed")
    return False
