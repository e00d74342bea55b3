"""Faults that are tried once in every run of the tests, and many times as chaos."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redisflow
from redisflow.config import parse_url
from redisflow.engine.factories import FactoryCall
from redisflow.engine.processes import LocalRun
from redisflow.keys import FlowKeys, Keys, flow_uuid_of
from tests.support.crew import Crew
from tests.support.eventually import eventually
from tests.support.records import Flow
from tests.support.strikes import Striker
from tests.support.verdict import broken_promises
from tests.support.workloads import MIXED_ATOMS, Note, read_notes

LEASE_S = 1.0

#: How long after the end of a dead worker's lease its work may still lie about.
SLACK_S = 1.0

#: The lease of workers that a parent looks after.
_PARENTS_LEASE_S = 15.0

WORKLOADS = "tests.support.workloads"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a fault is played: one flow of one server, and a folder.

    Attributes:
        url: the server.
        admin: a client that answers in text.
        folder: for files.
        run_id: names the flow.
    """

    url: str
    admin: Any  # redis-py's types do not know which clients answer in text
    folder: Path
    run_id: str = "fault"

    @property
    def keys(self) -> FlowKeys:
        """The keys of the flow."""
        namespace = parse_url(self.url).namespace
        return Keys(namespace).of_flow(flow_uuid_of(self.run_id, namespace))

    @property
    def notes_file(self) -> Path:
        """The file to which tasks write."""
        return self.folder / "notes"

    @property
    def notes(self) -> list[Note]:
        """What tasks have noted."""
        return read_notes(self.notes_file)

    @property
    def flow(self) -> Flow:
        """The keys as they are now."""
        return Flow(self.admin, self.keys)

    @property
    def striker(self) -> Striker:
        """Make one who kills workers of this flow."""
        return Striker(self.admin, self.keys)

    @property
    def abandoned(self) -> bool:
        """Whether the lease of each of the flow's workers is over."""
        return not self.admin.zcount(self.keys.workers, _now_ms(self), "(inf")

    def crew(self, factory: str, lease_s: float = LEASE_S, **kwargs: Any) -> Crew:
        """Make a crew for the flow of a factory of `workloads`."""
        return Crew(
            url=self.url,
            run_id=self.run_id,
            folder=self.folder,
            factory=f"{WORKLOADS}:{factory}",
            kwargs={"notes": str(self.notes_file), **kwargs},
            options={"lease_s": lease_s},
        )

    def gate(self, name: str) -> Path:
        """Name a file that something waits for."""
        return self.folder / f"gate-{name}"

    def ran(self, atom: str, phase: str = "begin") -> list[Note]:
        """Return the notes of one task."""
        notes = self.notes
        return [note for note in notes if (note.atom, note.phase) == (atom, phase)]

    def dump(self) -> dict[str, bytes]:
        """Return all keys of the namespace, byte for byte."""
        pattern = f"{self.keys.namespace}:*"
        # A client that answers in text cannot read a DUMP.
        raw = type(self.admin).from_url(self.url.partition("?")[0])
        try:
            return {key: raw.dump(key) for key in sorted(raw.scan_iter(pattern))}
        finally:
            raw.close()

    def assert_ended(self, state: str, hits: Counter[str] | None = None) -> Flow:
        """Assert that the flow has ended so, and that all promises were kept."""
        flow = self.flow
        assert flow.fields["state"] == state, flow.fields
        broken = broken_promises(flow, self.notes, hits)
        assert not broken, "\n".join(broken)
        return flow


def kill_at_random(
    stage: Stage,
    draw: random.Random,
    *,
    kills: int,
    fails: bool = False,
    threads: int = 1,
) -> None:
    """Kill workers of a flow of 200 atoms; nobody tells the flow of it.

    Args:
        stage: where.
        draw: chooses moments and victims.
        kills: how many.
        fails: whether the last task fails, so that all are reverted.
        threads: how many tasks a worker runs at a time.
    """
    striker = stage.striker
    tasks = MIXED_ATOMS * (2 if fails else 1)
    schedule = sorted(draw.sample(range(5, tasks - 20), kills))
    pool: dict[str, Any] = {}
    if threads > 1:
        pool = {"executor": "threads", "max_workers": threads}
    gate = stage.gate("mixed")
    with stage.crew("mixed", fails=fails, gate=str(gate)) as crew:
        for _ in range(3):
            crew.start(**pool)
        striker.open(gate, lambda: [each.pid for each in crew.alive])

        def struck(pid: int) -> None:
            next(each for each in crew.members if each.pid == pid).process.join()
            crew.start(**pool)

        striker.follow(
            schedule,
            draw,
            stage.notes_file,
            lambda: [each.pid for each in crew.alive],
            struck,
        )
        for member in crew.members:
            assert member.status() in (0, -signal.SIGKILL), member.log
    assert striker.strikes, "nobody was killed"
    state = "REVERTED" if fails else "SUCCESS"
    flow = stage.assert_ended(state, striker.hits)
    assert list(flow.states.values()) == [state] * MIXED_ATOMS, flow.states
    assert_taken_over(flow, striker, within_s=LEASE_S + SLACK_S)


@contextlib.contextmanager
def local_run(
    stage: Stage,
    factory: str,
    workers: int = 2,
    lease_s: float = _PARENTS_LEASE_S,
    **kwargs: Any,
) -> Iterator[LocalRun]:
    """Open a run with a parent that looks after its workers."""
    call = FactoryCall(
        f"{WORKLOADS}:{factory}", (), {"notes": str(stage.notes_file), **kwargs}
    )
    with (
        (stage.folder / "workers.log").open("wb") as log,
        LocalRun(
            call,
            workers=workers,
            run_id=stage.run_id,
            url=stage.url,
            options={"lease_s": lease_s},
            output=log.fileno(),
        ) as local,
    ):
        yield local


def kill_at_random_with_parent(
    stage: Stage, draw: random.Random, *, kills: int
) -> None:
    """Kill workers of a flow of 200 atoms; their parent replaces them."""
    striker = stage.striker
    # The first early: such short tasks may be over before a slow machine looks.
    later = draw.sample(range(40, 180), kills - 1)
    schedule = [draw.randrange(5, 40), *sorted(later)]
    outcomes: list[str] = []
    gate = stage.gate("mixed")
    with local_run(stage, "mixed", workers=3, gate=str(gate)) as local:
        parent = threading.Thread(
            target=lambda: outcomes.append(local.run()), daemon=True
        )
        parent.start()
        striker.open(gate, lambda: local.pids)
        striker.follow(
            schedule, draw, stage.notes_file, lambda: local.pids, lambda _pid: None
        )
        parent.join(60)
        assert outcomes == ["SUCCESS"], (stage.folder / "workers.log").read_text()
    assert striker.strikes, "nobody was killed"
    flow = stage.assert_ended("SUCCESS", striker.hits)
    # Much sooner than the lease would end, though all others may just have been killed,
    # too: then it waits until one of those that take their places has started.
    assert_taken_over(flow, striker, within_s=_PARENTS_LEASE_S / 2)


def assert_taken_over(
    flow: Flow,
    striker: Striker,
    *,
    within_s: float,
    paused: Mapping[str, int] | None = None,
) -> None:
    """Assert that all that dead workers held was taken over, and soon.

    Args:
        flow: its keys.
        striker: knows who died.
        within_s: how soon.
        paused: how many times atoms were taken from workers that are not dead.
    """
    for strike in striker.strikes:
        for atom in strike.atoms:
            after_ms = flow.takeover_ms(atom, strike.worker, strike.ms)
            assert after_ms is not None, f"nobody took {atom} over from {strike}"
            assert after_ms <= within_s * 1000, (
                f"{atom} lay {after_ms} ms after {strike}"
            )
    counts = {name: len(flow.taken_back(name)) for name in flow.atoms}
    charged = {name: count for name, count in counts.items() if count}
    hits = striker.hits + Counter(paused)
    assert charged == hits, f"charged {charged}, hit {hits}"


def come_late(
    stage: Stage, names: Sequence[str], ends: Mapping[str, str], state: str
) -> None:
    """Come to a flow that has ended, in processes that loaded it before and after."""
    with stage.crew("line", names=names, ends=ends) as crew:
        early = crew.start(gate=stage.gate("late"))
        crew.loaded(early)
        first = crew.start().report()
        flow = stage.assert_ended(state)
        before = stage.dump()
        text = stage.notes_file.read_bytes()
        stage.gate("late").touch()
        for late in (early, crew.start(), crew.start(rerun=False)):
            report = late.report()
            assert report["outcome"] == state, report
            # The exception itself stays where it was raised.
            assert bool(report["error"]) == bool(first["error"]), report
            assert report["statistics"] == {}, report
        assert stage.notes_file.read_bytes() == text, "something ran again"
        assert stage.dump() == before, "something was written"
        assert flow.states == stage.flow.states


def suspend_from_outside(stage: Stage) -> None:
    """Suspend a flow from a process that runs none of it; other workers go on later."""
    with stage.crew("mixed", takes_s=0.01) as crew:
        for _ in range(3):
            crew.start()
        eventually(lambda: len(stage.notes) > MIXED_ATOMS // 4, 30)
        make = FactoryCall(crew.factory, (), crew.kwargs).make_flow
        engine = redisflow.load(make(), run_id=stage.run_id, url=stage.url)
        with contextlib.closing(engine.storage.backend):
            engine.compile()
            engine.suspend()
        for member in crew.members:
            assert member.report()["outcome"] == "SUSPENDED", member.log
        journal = [entry for _id, entry in stage.admin.xrange(stage.keys.events)]
        to = [(bool(entry["atom"]), entry["to"]) for entry in journal]
        after = to[to.index((False, "SUSPENDING")) :]
        assert (True, "RUNNING") not in after, "a task was begun after the suspend"
        assert (True, "RUNNING") in to[: -len(after)]
        assert after[-1] == (False, "SUSPENDED")
        for _ in range(2):
            crew.start()
        for member in crew.members[-2:]:
            assert member.report()["outcome"] == "SUCCESS", member.log
    flow = stage.assert_ended("SUCCESS", Counter())
    assert set(flow.states.values()) == {"SUCCESS"}


def pause(stage: Stage, *, wakes: str) -> None:
    """Stop a worker in the middle of a task for longer than its lease.

    Args:
        stage: where.
        wakes: when it goes on: "during" the run, or "after" its end.
    """
    gates = {name: str(stage.gate(name)) for name in ("slow", "last")}
    striker = stage.striker
    with stage.crew("line", names=["first", "slow", "last"], gates=gates) as crew:
        crew.start()
        begun = eventually(lambda: stage.ran("slow"), 30)[0]
        victim = next(each for each in crew.members if each.pid == begun.pid)
        healthy = crew.start()
        victim.signal(signal.SIGSTOP)
        assert striker.still_held(victim.pid), "it held nothing"
        since_ms = _now_ms(stage)
        eventually(lambda: len(stage.ran("slow")) == 2, LEASE_S + 10)
        stage.gate("slow").touch()
        if wakes == "after":
            stage.gate("last").touch()
            healthy.report()
            victim.signal(signal.SIGCONT)
        else:
            eventually(lambda: stage.ran("last"), 30)
            victim.signal(signal.SIGCONT)
            eventually(lambda: len(stage.ran("slow", "end")) == 2, 30)
            eventually(lambda: f"late:{begun.token}" in stage.flow.results["slow"], 30)
            stage.gate("last").touch()
            healthy.report()
        assert victim.report()["statistics"]["stale"] == 1
    flow = stage.assert_ended("SUCCESS")
    assert f"late:{begun.token}" in flow.results["slow"], "nothing came late"
    assert [claim.end for claim in flow.claims["slow"]] == ["", "SUCCESS"]
    after_ms = flow.takeover_ms("slow", flow.claims["slow"][0].entry.worker, since_ms)
    assert after_ms is not None
    assert after_ms <= (LEASE_S + SLACK_S) * 1000


def wake_and_go_on(stage: Stage) -> None:
    """Let a worker that slept past its lease be the only one that is left.

    It has to sweep, and to keep its lease through a task that takes longer than that.
    """
    gates = {name: str(stage.gate(name)) for name in ("slow", "last")}
    striker = stage.striker
    with stage.crew("line", names=["first", "slow", "last"], gates=gates) as crew:
        sleeper = crew.start()
        eventually(lambda: stage.ran("slow"), 30)
        other = crew.start()
        sleeper.signal(signal.SIGSTOP)
        eventually(lambda: len(stage.ran("slow")) == 2, LEASE_S + 10)
        stage.gate("slow").touch()
        eventually(lambda: stage.ran("last"), 30)
        sleeper.signal(signal.SIGCONT)
        eventually(lambda: len(stage.ran("slow", "end")) == 2, 30)
        # Long enough to renew its lease evenly again, as sweepers must have.
        threading.Event().wait(LEASE_S)
        assert striker.strike(other.pid) is not None, "it was spared"
        eventually(lambda: len(stage.ran("last")) == 2, 2 * LEASE_S + SLACK_S)
        assert stage.ran("last")[-1].pid == sleeper.pid
        idle = crew.start()
        threading.Event().wait(2.5 * LEASE_S)
        stage.gate("last").touch()
        assert sleeper.report()["statistics"]["stale"] == 1
        idle.report()
    flow = stage.assert_ended("SUCCESS")
    assert [claim.end for claim in flow.claims["last"]] == ["", "SUCCESS"]
    assert len(stage.ran("last")) == 2, "it was taken over once too often"
    assert_taken_over(flow, striker, within_s=LEASE_S + SLACK_S, paused={"slow": 1})


def _now_ms(stage: Stage) -> int:
    seconds, us = stage.admin.time()
    return int(seconds * 1000 + us // 1000)
