"""Runs of flows by several workers, for tests, with all that is to be known of them."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from redisflow.engine.compiling import compile_graph
from redisflow.engine.factories import FactoryCall, FlowOrTask
from redisflow.engine.loading import load, open_run
from redisflow.engine.processes import LocalRun
from redisflow.engine.shared import SharedEngine
from redisflow.errors import ConfigError
from redisflow.persistence import RedisBackend
from redisflow.persistence.journal import Entry, Journal
from redisflow.testing.dying import Death, check_happened, environment_of

_RUN = "RUNNING"


@dataclass(frozen=True, slots=True)
class Completed:
    """A run that has ended.

    Attributes:
        run_id: of the flow.
        outcome: SUCCESS, REVERTED, FAILURE or SUSPENDED.
        results: all named results, as ``storage.fetch_all()`` gives them.
        error: what the run raised, or None.
        journal: every transition, in order; of a rerun, those of earlier runs, too.
        names: uuid of each atom -> its name.
        deaths: how many workers died.
    """

    run_id: str
    outcome: str
    results: Mapping[str, Any]
    error: BaseException | None
    journal: Sequence[Entry]
    names: Mapping[str, str]
    deaths: int

    def came_to(self, state: str) -> list[str]:
        """Name the atoms that came into a state, in that order."""
        return [
            self.names[entry.atom]
            for entry in self.journal
            if entry.atom in self.names and entry.new == state != entry.old
        ]

    def executions_of(self, name: str) -> int:
        """Count how often an atom was handed to a worker to be executed.

        One that died before it began counts, too: the journal cannot tell.
        """
        count, before = 0, -1
        for entry in self.journal:
            if self.names.get(entry.atom) != name:
                continue
            if entry.new != _RUN or entry.intention != "EXECUTE":
                before = -1
            elif entry.worker and entry.attempt != before:
                count += 1
                before = entry.attempt
        return count


def run_to_completion(
    factory: Callable[..., FlowOrTask] | str,
    *,
    url: str,
    workers: int = 2,
    run_id: str | None = None,
    store: Mapping[str, Any] | None = None,
    factory_args: Sequence[Any] = (),
    factory_kwargs: Mapping[str, Any] | None = None,
    rerun: bool = False,
    die_at: Sequence[Death | str] | Death | str = (),
    processes: bool = False,
    timeout_s: float = 30.0,
    **options: Any,
) -> Completed:
    """Run a flow with several workers until it has ended, however it does.

    >>> run_to_completion(make_flow, url=url, die_at="charge")  # doctest: +SKIP

    Args:
        factory: makes the flow, anew for each worker.
        url: the server.
        workers: how many: threads of this process with an engine each, or processes.
        run_id: names the flow; None makes a random one.
        store: values for the flow.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        rerun: start a run that has ended once more, instead of giving its outcome.
        die_at: which workers die; a name is a death before that atom's execute. Deaths
            take processes, and they a factory that can be imported.
        processes: whether workers are processes, where none dies, too.
        timeout_s: how long it may take.
        options: of the engines, see `SharedEngine`.

    Raises:
        AssertionError: a death did not happen, or not as often as it was meant to.
        TimeoutError: it took longer; threads that are in a task stay there.
        ConfigError: the factory, an option or a death cannot be used.
        StoreError: the server cannot be used.
    """
    asked = [die_at] if isinstance(die_at, (Death, str)) else die_at
    deaths = [Death(death) if isinstance(death, str) else death for death in asked]
    if workers < 1:
        raise ConfigError(f"workers is at least 1, not {workers}")
    until = monotonic() + timeout_s
    kwargs = dict(factory_kwargs or {})
    if deaths or processes:
        with (
            tempfile.TemporaryDirectory(prefix="redisflow-") as folder,
            LocalRun(
                FactoryCall.of(factory, factory_args, kwargs),
                workers=workers,
                run_id=run_id,
                store=store,
                url=url,
                rerun=rerun,
                options=options,
                environment=environment_of(deaths, Path(folder)),
            ) as local,
        ):
            _refuse_unknown_atoms(deaths, local.flow)
            local.run(lambda _mirror: _check(until, local.run_id))
            check_happened(deaths, Path(folder))
            return _completed(local.run_id, local.engine, local.deaths)
    if isinstance(factory, str):
        make_flow = FactoryCall.of(factory, factory_args, kwargs).make_flow
    else:  # any callable will do: nobody else has to find it
        make_flow = functools.partial(factory, *factory_args, **kwargs)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        opened = open_run(backend, make_flow(), run_id=run_id)
        engine = opened.engine(store=store, rerun=rerun, **options)
        loaded = [
            load(make_flow(), run_id=opened.run_id, url=url, rerun=rerun, **options)
            for _ in range(workers)
        ]
        _run_threads(loaded, until, opened.run_id)
        return _completed(opened.run_id, engine, 0)


def _refuse_unknown_atoms(deaths: Sequence[Death], flow: FlowOrTask) -> None:
    graph = compile_graph(flow)
    known = {graph.items[at].name for at in graph.atoms()}
    for death in deaths:
        if death.atom not in known:
            raise ConfigError(f"{death}: flow {flow.name!r} has no such atom")


@dataclass(slots=True)
class _Thread:
    engine: SharedEngine
    error: BaseException | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.engine.run()
        except BaseException as error:  # noqa: BLE001  # a thread's end: it is told
            self.error = error
        finally:
            self.engine.storage.backend.close()


def _run_threads(engines: list[SharedEngine], until: float, run_id: str) -> None:
    threads = [_Thread(engine) for engine in engines]
    for part in threads:
        part.thread.join(max(0.0, until - monotonic()))
    if any(part.thread.is_alive() for part in threads):
        for engine in engines:
            engine.drain()
        _check(0.0, run_id)
    for part in threads:
        if part.error is not None and not part.engine.outcome_known:
            raise part.error


def _check(until: float, run_id: str) -> None:
    if monotonic() >= until:
        raise TimeoutError(f"run {run_id} has not ended in time")


def _completed(run_id: str, engine: SharedEngine, deaths: int) -> Completed:
    """Look at a run that has ended."""
    error: BaseException | None = None
    outcome = engine.outcome()
    if outcome is None:
        raise ConfigError(f"run {run_id} was left before its end")
    try:
        engine.raise_outcome()
    except Exception as raised:  # noqa: BLE001  # it is what is asked for
        error = raised
    storage = engine.storage
    journal = Journal(storage.backend, storage.flow_uuid)
    entries: list[Entry] = []
    while read := journal.read():
        entries += [entry for entry in read if isinstance(entry, Entry)]
    names = {record.uuid: record.name for record in storage.mirror.atoms.values()}
    return Completed(
        run_id, outcome, storage.fetch_all(), error, entries, names, deaths
    )
