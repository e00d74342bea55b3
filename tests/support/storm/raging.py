"""A storm as it happens: a server, workers behind proxies, and blows that fall on them.

Each worker has a proxy of its own. Blows fall one after the other, by the clock; what
they began ends by the clock, too. When the last one has fallen everything is healed,
and the workers have to come to the end of all flows by themselves.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import json
import os
import random
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic
from typing import Any

import redis
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.engine.plans import cancel_run
from redisflow.errors import RedisFlowError
from redisflow.keys import FlowKeys, Keys, flow_uuid_of
from tests.support.crew import FORKS
from tests.support.own_server import OwnServer
from tests.support.proxy import Mode, Proxy
from tests.support.storm.drawing import Blow, Storm
from tests.support.storm.working import Duty, make_common, work
from tests.support.workloads import whole_lines

#: How long workers may take to end all flows once everything is healed.
CALM_S = 90.0

#: How often one looks for workers whom a task has killed.
_LOOKS_S = 0.1

_NAMESPACE = "storm"
_OPTIONS = f"namespace={_NAMESPACE}&deadline_s=4&socket_timeout=0.6"
_ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
_LOSES: tuple[Mode, ...] = ("drop_request", "drop_reply", "half_reply")
# Valkey's clock stands still in a script: it counts instead, so many times a second.
_SPIN = "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return 0"
_SPINS_PER_S = 2e7


class Weather(Proxy):
    """The way of one worker to the server, as bad as it is made."""

    def __init__(self, server_port: int, draw: random.Random) -> None:
        self._draw = draw
        self.share = 0.0
        self.modes: tuple[Mode, ...] = _LOSES
        super().__init__(server_port)

    def fate(self, request: bytes) -> Mode | None:
        """Decide what becomes of a request, and count it."""
        with self._lock:
            if not self.share or self._draw.random() >= self.share:
                return None
            self.hits += 1
            return self._draw.choice(self.modes)

    def calm(self) -> None:
        """Pass everything on again; what hangs is cut."""
        self.share, self.refuse = 0.0, False
        self.cut()


class Tempest:
    """One storm; `with` ends all that it has started.

    Args:
        storm: what was drawn for it.
        folder: where files go.

    Attributes:
        happened: how many blows of each kind have met something.
        struck: processes that were killed, stopped or cut off for long.
        account: what happened when, in words.
    """

    def __init__(self, storm: Storm, folder: Path) -> None:
        self.storm = storm
        self.folder = folder
        self.happened: Counter[str] = Counter()
        self.struck: set[int] = set()
        self.account: list[str] = []
        self._names = itertools.count()
        self._began = monotonic()
        # "always": what was acknowledged is there after a kill, as after a power cut.
        self.server = OwnServer(storm.server, folder / "server", *_ALWAYS)
        draw = random.Random(f"{storm.seed}/{storm.number}/proxies")
        self._ways = [Weather(self.server.port, draw) for _ in storm.routes]
        self._workers: list[tuple[Duty, ForkServerProcess]] = []
        self._here: dict[int, ForkServerProcess] = {}
        self._pending: list[tuple[float, int, Callable[[], None]]] = []
        self.common = str(uuid.uuid5(uuid.NAMESPACE_URL, "common"))
        self._backend = RedisBackend.from_url(f"{self.server.url}?{_OPTIONS}")

    def __enter__(self) -> Tempest:
        return self

    def __exit__(self, *_error: object) -> None:
        for _, process in self._workers:
            process.kill()
            process.join()
        for way in self._ways:
            way.__exit__(None, None, None)
        self._backend.close()
        self.server.close()

    @property
    def admin(self) -> Any:
        """A client that answers in text."""
        return self.server.client

    @property
    def duties(self) -> list[Duty]:
        """What all workers were told, those included that were killed."""
        return [duty for duty, _ in self._workers]

    def keys(self, run_id: str) -> FlowKeys:
        """Return the keys of a flow."""
        return Keys(_NAMESPACE).of_flow(flow_uuid_of(run_id, _NAMESPACE))

    def rage(self) -> None:
        """Let workers run, and all blows fall; then wait until all flows have ended.

        Raises:
            AssertionError: a worker did not come to the end.
        """
        make_common(f"{self.server.url}?{_OPTIONS}", self.common)
        first = FORKS.Process(target=int)  # the fork server takes a while to come up
        first.start()
        first.join()
        self._began = monotonic()
        for worker in range(len(self.storm.routes)):
            self._start(worker)
        for blow in self.storm.blows:
            self._later(self._began + blow.at_s, functools.partial(self._fall, blow))
        while self._pending:
            at, _, action = heapq.heappop(self._pending)
            while (left_s := at - monotonic()) > 0:
                threading.Event().wait(min(left_s, _LOOKS_S))
                self._replace_the_dead()
            action()
        for way in self._ways:
            way.calm()
        self._tell("all is healed")
        until = monotonic() + CALM_S
        left = [""]
        while left:
            left = [duty.name for duty, each in self._workers if each.is_alive()]
            left += self._replace_the_dead()
            assert monotonic() < until, f"{left} do not end"
            threading.Event().wait(_LOOKS_S)
        for duty, process in self._workers:
            status = process.exitcode
            killed = status == -signal.SIGKILL and process.pid in self.struck
            assert killed or status == 0, f"{duty.name} ended with {status}"
        self._tell("all workers have ended")

    def _replace_the_dead(self) -> list[str]:
        """Start others in place of those whom a task has killed; names these."""
        dead = []
        for worker, process in list(self._here.items()):
            if process.exitcode != -signal.SIGKILL:
                continue
            (duty,) = (duty for duty, each in self._workers if each is process)
            deaths = whole_lines(duty.file("deaths"))
            assert deaths, f"{duty.name} was killed by nobody"
            assert process.pid is not None
            self.struck.add(process.pid)
            self.happened["die"] += 1
            self._tell(f"{duty.name} was killed by {deaths[-1]}")
            self._start(worker)
            dead.append(duty.name)
        return dead

    def reports(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what the workers tell that came to their end."""
        return [
            (duty.name, json.loads(duty.file("report").read_text(encoding="utf-8")))
            for duty in self.duties
            if duty.file("report").exists()
        ]

    # Workers

    def _start(self, worker: int) -> None:
        storm = self.storm
        duty = Duty(
            f"worker-{worker}.{next(self._names)}",
            f"redis://127.0.0.1:{self._ways[worker].port}/0?{_OPTIONS}",
            str(self.folder),
            [storm.flows[index] for index in storm.routes[worker]],
            storm.threads[worker],
            self.common,
        )
        process = FORKS.Process(target=work, args=(duty,), name=duty.name)
        process.start()
        self._workers.append((duty, process))
        self._here[worker] = process
        self._tell(f"{duty.name} has pid {process.pid}")

    def _pid(self, worker: int) -> int | None:
        process = self._here.get(worker)
        return process.pid if process is not None and process.is_alive() else None

    # Blows

    def _later(self, at: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._pending, (at, next(self._names), action))

    def _tell(self, words: str) -> None:
        self.account.append(f"{monotonic() - self._began:7.3f} {words}")

    def _fall(self, blow: Blow) -> None:
        met = getattr(self, f"_{blow.kind}")(blow)
        self._tell(f"{blow.kind} {blow.target} {blow.lasts_s}: {met or 'met nothing'}")
        if met:
            self.happened[blow.kind] += 1

    def _until(self, blow: Blow, action: Callable[[], None]) -> None:
        self._later(monotonic() + blow.lasts_s, action)

    def _kill(self, blow: Blow) -> object:
        return self._end(blow, [blow.target])

    def _massacre(self, blow: Blow) -> object:
        """Kill all who work: nobody is left to tell of them, or to end what was on."""
        return self._end(blow, list(self._here))

    def _end(self, blow: Blow, workers: list[int]) -> list[int]:
        """Kill workers; others come in their places."""
        pids = []
        for worker in workers:
            if (pid := self._pid(worker)) is None:
                continue
            self.struck.add(pid)
            process = self._here.pop(worker)
            process.kill()
            process.join()
            self._until(blow, functools.partial(self._start, worker))
            pids.append(pid)
        return pids

    def _pause(self, blow: Blow) -> object:
        pid = self._pid(blow.target)
        if pid is None:
            return None
        self.struck.add(pid)
        os.kill(pid, signal.SIGSTOP)

        def go_on() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

        self._until(blow, go_on)
        return pid

    def _spoil(self, blow: Blow, share: float, *modes: Mode) -> object:
        way = self._ways[blow.target]
        before = way.hits
        way.modes, way.share = modes, share

        def calm() -> None:
            way.calm()
            self._tell(f"{blow.kind} {blow.target}: {way.hits - before} were spoiled")

        self._until(blow, calm)
        self._cut_off(blow.target)
        return self._pid(blow.target)

    def _lose(self, blow: Blow) -> object:
        return self._spoil(blow, 0.15, *_LOSES)

    def _late(self, blow: Blow) -> object:
        return self._spoil(blow, 0.1, "late_reply")

    def _hole(self, blow: Blow) -> object:
        return self._spoil(blow, 1.0, "blackhole")

    def _cut_off(self, worker: int) -> None:
        pid = self._pid(worker)
        if pid is not None:
            self.struck.add(pid)

    def _cut(self, blow: Blow) -> object:
        self._ways[blow.target].cut()
        return self._pid(blow.target)

    def _refuse(self, blow: Blow) -> object:
        way = self._ways[blow.target]
        way.refuse = True
        way.cut()
        self._until(blow, way.calm)
        self._cut_off(blow.target)
        return self._pid(blow.target)

    def _swizzle(self, blow: Blow) -> object:
        """Cut all off, one by one, and let them come back in another order."""
        step_s = blow.lasts_s / len(self._ways)

        def refuse(way: Weather) -> None:
            way.refuse = True
            way.cut()

        now = monotonic()
        for index, way in enumerate(self._ways):
            self._cut_off(index)
            self._later(now + index * step_s, functools.partial(refuse, way))
        for index, worker in enumerate(blow.order):
            at = now + blow.lasts_s + index * step_s
            self._later(at, self._ways[worker].calm)
        return blow.order

    def _freeze(self, blow: Blow) -> object:
        self._all_cut_off()
        self.server.freeze(blow.lasts_s)
        return self.server.process.pid

    def _crash(self, blow: Blow) -> object:
        self._all_cut_off()
        self.server.kill()
        threading.Event().wait(blow.lasts_s)
        self.server.start()
        return len(self.server.run_ids)

    def _all_cut_off(self) -> None:
        for worker in range(len(self._ways)):
            self._cut_off(worker)

    def _flush(self, blow: Blow) -> object:
        until, times = monotonic() + blow.lasts_s, 0
        while monotonic() < until:
            self.admin.script_flush()
            times += 1
        return f"{times} times"

    def _disconnect(self, _blow: Blow) -> object:
        return self.admin.execute_command("CLIENT", "KILL", "TYPE", "normal")

    def _busy(self, blow: Blow) -> object:
        began = monotonic()
        self.admin.eval(_SPIN, 0, int(blow.lasts_s * _SPINS_PER_S))
        return f"{monotonic() - began:.3f} s"

    def _full(self, blow: Blow) -> object:
        self.admin.config_set("maxmemory", 1)

        def enough() -> None:
            self.admin.config_set("maxmemory", 0)

        self._until(blow, enough)
        return "no memory is left"

    def _suspend(self, blow: Blow) -> object:
        met = []
        with self._outside(blow) as storage:
            met.append(storage.change_flow_state("SUSPENDING")[0])
        return any(met)

    def _cancel(self, blow: Blow) -> object:
        met = []
        with self._outside(blow) as storage:
            storage.get_flow_state()
            cancel_run(storage, storage.mirror.flow.run, reason="a storm")
            met.append("asked for")
        return met

    @contextlib.contextmanager
    def _outside(self, blow: Blow) -> Iterator[Any]:
        """Open a flow from outside; one that is not there, or over, is left alone."""
        flow = self.storm.flows[blow.target]
        flow_uuid = flow_uuid_of(flow.run_id, _NAMESPACE)
        with contextlib.suppress(RedisFlowError, redis.RedisError):
            yield Storage(models.FlowDetail("f", flow_uuid), self._backend)
