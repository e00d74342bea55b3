"""How soon does an atom start in another process once the one before it has finished?

A relay: of the two successors of each leg, whoever finished it takes one, and the other
process, which was idle, is woken for the other one. What counts is the time from the
end of the leg's own code here to the beginning of its successor's there. It stands
beside an element that one process pushes, and another one, blocked as long, gets.

Two scripts come into it: one records the leg and leaves the hint, and whoever had that
takes with the other one. So what scripts that decide nothing, of as many arguments and
commands, take in this order is measured as well: that is what is left of the hand-over
where the server decides at no cost, and Python does nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection

from taskflow import flow
from taskflow.patterns import linear_flow, unordered_flow

from benchmarks import processes
from benchmarks.bare import BareAtom
from benchmarks.measuring import Bench, Budget, Row
from benchmarks.processes import Note, Noted, crew

_LIST, _HINTS = "bare-hand-over", "bare-hints"
_JOIN_S = 0.3
#: How long each task takes; so long the other process is asleep.
_TASK_S = 0.01


def relay(legs: int) -> flow.Flow:
    """Make legs of one task each, with two between one leg and the next."""
    made = linear_flow.Flow("relay")
    made.add(Noted("until both are here", _JOIN_S))
    for number in range(legs):
        between = unordered_flow.Flow(f"between-{number}")
        between.add(*(Noted(f"next-{number}-{place}", _TASK_S) for place in "ab"))
        made.add(Noted(f"leg-{number}", _TASK_S), between)
    return made


def measure(bench: Bench) -> Iterator[Row]:
    """Push and run in turns."""
    url, admin, legs = bench.server.url, bench.server.admin, bench.sizes.legs
    rounds = max(3, bench.sizes.crew_rounds)
    bare_s: list[float] = []
    scripts_s: list[float] = []
    our_s: list[float] = []
    handed_over = 0
    with (
        crew(url, 2) as both,
        processes.process(processes.pop, url) as (_, waiter),
        processes.process(processes.pop_and_take, url) as (_, taker),
        bench.server.connect() as client,
    ):
        atom = BareAtom(client, hints=_HINTS)

        def given_s(to: Connection, what: str, give: Callable[[], object]) -> float:
            return statistics.median(
                processes.handed_over_s(admin, to, what, give, asleep_s=_TASK_S)
                for _ in range(legs)
            )

        for _ in range(rounds + 1):
            bare_s.append(given_s(waiter, _LIST, lambda: client.rpush(_LIST, "1")))
            scripts_s.append(given_s(taker, _HINTS, lambda: atom.burst(1)))
            both.load(range(2), relay, legs)
            both.start(range(2))
            notes = [note for part in both.ended(range(2)) for note in part.notes]
            gaps_s = _gaps_s(notes, legs)
            our_s.append(statistics.median(gaps_s))
            handed_over += len(gaps_s)
    del bare_s[0], scripts_s[0], our_s[0]  # the first ones warm up
    yield Row(
        "atom to its successor elsewhere / RPUSH to BLPOP",
        [ours / bare for ours, bare in zip(our_s, bare_s, strict=True)],
        unit="x",
        budget=Budget(3, at_least=False),
        detail=[
            f"an element: {statistics.median(bare_s) * 1e6:.0f} µs",
            f"between two scripts: {statistics.median(scripts_s) * 1e6:.0f} µs",
            f"an atom: {statistics.median(our_s) * 1e6:.0f} µs",
            f"handed over: {handed_over} of {legs * (rounds + 1)}",
        ],
        raw={"bare_s": bare_s, "scripts_s": scripts_s, "atom_s": our_s},
    )
    yield Row(
        "the same by two scripts that decide nothing / RPUSH to BLPOP",
        [both / bare for both, bare in zip(scripts_s, bare_s, strict=True)],
        unit="x",
    )


def _gaps_s(notes: Sequence[Note], legs: int) -> list[float]:
    """Find how long those successors took to start that started elsewhere."""
    named = {note.name: note for note in notes}
    gaps_s: list[float] = []
    for number in range(legs):
        leg = named[f"leg-{number}"]
        successors = [named[f"next-{number}-{place}"] for place in "ab"]
        gaps_s += [
            successor.began - leg.ended
            for successor in successors
            if successor.pid != leg.pid
        ]
    return gaps_s
