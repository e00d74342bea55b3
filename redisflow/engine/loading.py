"""Getting or creating a flow by its run id, and an engine on it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskflow.persistence import models

from redisflow import observing
from redisflow.engine.checking import check_arguments
from redisflow.engine.executors import make_executor
from redisflow.engine.factories import FlowOrTask
from redisflow.engine.settings import Settings, refuse_unknown
from redisflow.engine.shared import SharedEngine
from redisflow.engine.structure import Structure, compile_flow
from redisflow.errors import ConfigError
from redisflow.keys import book_uuid_of, flow_uuid_of
from redisflow.persistence import RedisBackend
from redisflow.persistence.records import META_RUN_ID


def load(
    flow: FlowOrTask,
    *,
    run_id: str | None,
    url: str | None = None,
    store: Mapping[str, Any] | None = None,
    transient: Mapping[str, Any] | None = None,
    rerun: bool = False,
    **options: Any,
) -> SharedEngine:
    """Get or create the flow named ``run_id``, and load an engine on it.

    Every process that loads the same run id shares one flow::

        engine = redisflow.load(make_flow(), run_id="order-17", store={"order": 17})
        engine.run()

    Args:
        flow: what to run; the same in every process.
        run_id: names the flow; None makes a random one (in ``storage.flow_meta``).
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        store: values for the flow, written if it is new or idle.
        transient: values that stay in this process; atoms that need them run here.
        rerun: start a run that has ended once more, instead of giving its outcome.
        options: of the engine, see `SharedEngine`.

    Raises:
        ConfigError: the URL or an option cannot be used.
        MissingDependencies: an argument has no provider; nothing was written.
        InvalidState: live workers run it with another value for a name in ``store``.
        StructureMismatch: with ``store``; live workers run another structure.
        ValueRefused: a value of ``store`` cannot be stored; nothing was written.
        Duplicate: two atoms have one name.
        StoreError: the server cannot be used.
    """
    with contextlib.ExitStack() as undoing:
        backend = RedisBackend.from_url(url)
        undoing.callback(backend.close)
        opened = open_run(backend, flow, run_id=run_id)
        engine = opened.engine(store=store, transient=transient, rerun=rerun, **options)
        undoing.pop_all()
    return engine


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run id, and the flow that it names.

    Attributes:
        backend: where the flow is.
        flow: what to run.
        run_id: its name.
        flow_detail: its details, stored or not yet.
        exists: whether it was stored before.
    """

    backend: RedisBackend
    flow: FlowOrTask
    run_id: str
    flow_detail: models.FlowDetail
    exists: bool

    def engine(
        self,
        *,
        store: Mapping[str, Any] | None,
        rerun: bool,
        transient: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SharedEngine:
        """Store the flow if it is new, write ``store``, and load an engine."""
        refuse_unknown(options)
        structure = None
        if not self.exists:
            structure = self._check(store or {}, transient or {}, options)
            store_run(self.backend, self.run_id, self.flow_detail)
        engine = SharedEngine(
            self.flow, self.flow_detail, self.backend, {**options, "rerun": rerun}
        )
        engine.note_run()
        if structure is not None:
            engine.compile(structure)
        if transient:
            engine.storage.inject(transient, transient=True)
        if store and not engine.over:
            engine.compile()
            engine.refuse_other_structure()
            engine.storage.inject_values(store, joining=True)
        return engine

    def _check(
        self,
        store: Mapping[str, Any],
        transient: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Structure:
        """Compile a flow, and find out what is wrong before any of it is stored."""
        settings = Settings(options)
        settings.check_server(self.backend.config)
        make_executor(settings.executor, settings.max_workers)
        structure = compile_flow(self.flow, settings.shared)
        check_arguments(self.flow, structure, {**store, **transient}, {})
        for name, value in store.items():
            self.backend.codec.encode(value, name=name)
        return structure


def open_run(
    backend: RedisBackend, flow: FlowOrTask, *, run_id: str | None
) -> OpenedRun:
    """Find the flow that a run id names, without writing anything.

    Raises:
        ConfigError: the run id cannot be used.
        StoreError: the server cannot be used.
    """
    run_id = check_run_id(secrets.token_hex(6) if run_id is None else run_id)
    detail, exists = find_run(backend, run_id, flow_name=flow.name)
    return OpenedRun(backend, flow, run_id, detail, exists)


def find_run(
    backend: RedisBackend, run_id: str, *, flow_name: str
) -> tuple[models.FlowDetail, bool]:
    """Make the details of the flow that a run id names; tells whether it is stored."""
    uuid = flow_uuid_of(run_id, backend.keys.namespace)
    exists = bool(backend.client.execute("EXISTS", backend.keys.of_flow(uuid).flow))
    detail = models.FlowDetail(flow_name, uuid)
    detail.meta[META_RUN_ID] = run_id
    if not exists:
        detail.meta.update(observing.metadata())
    return detail, exists


def store_run(backend: RedisBackend, run_id: str, detail: models.FlowDetail) -> None:
    """Store a flow that is new, in a logbook of its own."""
    book = models.LogBook(run_id, uuid=book_uuid_of(detail.uuid))
    book.add(detail)
    backend.get_connection().save_logbook(book)


def check_run_id(run_id: str) -> str:
    """Return a run id that can be used.

    Raises:
        ConfigError: it is empty, longer than 200 characters or not printable.
    """
    if not run_id or len(run_id) > 200 or not run_id.isprintable():  # noqa: PLR2004
        raise ConfigError(f"a run id has 1 to 200 printable characters, not {run_id!r}")
    return run_id
