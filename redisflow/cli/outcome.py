"""What came of a run: its results on standard output, all else on standard error."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.highlighter import ReprHighlighter
from rich.pretty import pretty_repr
from taskflow import states
from taskflow.types.failure import Failure

from redisflow.cli.console import console_on
from redisflow.cli.options import Output
from redisflow.cli.problems import Status
from redisflow.cli.progress import atoms_of, counts_of
from redisflow.cli.reports import json_text, json_value
from redisflow.cli.states import counts_text
from redisflow.cli.terminal import say, whole_output
from redisflow.codec import Mask
from redisflow.looking.failures import describe_failure, failure_lines
from redisflow.looking.texts import duration, printable
from redisflow.looking.unreadable import looking
from redisflow.storage import Mirror, Storage

#: What a person is shown of results; more of them is in the JSON.
_NAMES = 100
_LINES = 20
_ITEMS = 20
_CHARACTERS = 300
_DEPTH = 6
_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run.

    Attributes:
        run_id: the run's name.
        flow_uuid: the uuid of its flow.
        flow_name: the flow's name.
        state: how it ended.
        counts: atoms by state.
        results: named results of atoms.
        store: values that were given to the flow.
        failures: what failed, as it goes into the JSON.
        dead_workers: which workers died, and how.
        elapsed_s: how long this command took.
    """

    run_id: str
    flow_uuid: str
    flow_name: str
    state: str
    counts: Mapping[str, int]
    results: Mapping[str, Any]
    store: Mapping[str, Any]
    failures: Sequence[Mapping[str, Any]]
    dead_workers: Sequence[str]
    elapsed_s: float

    @property
    def status(self) -> Status:
        """The exit status for it."""
        if self.state == states.SUCCESS:
            return Status.SUCCESS
        return Status.SUSPENDED if self.state == states.SUSPENDED else Status.FAILED


def outcome_of(
    storage: Storage,
    state: str,
    *,
    run_id: str,
    elapsed_s: float,
    dead_workers: Sequence[str] = (),
) -> Outcome:
    """Collect what came of a run; it came of it, whether it can be read here or not."""
    with looking(storage.backend):
        found = {
            name: value
            for name, value in storage.fetch_all().items()
            if not isinstance(value, Failure)
        }
        store = storage.injected_values()
        failures = _failures(storage, state)
    atoms = sorted(atoms_of(storage.mirror), key=lambda atom: atom.node)
    provided = dict.fromkeys(name for atom in atoms for name in atom.provides)
    return Outcome(
        run_id=run_id,
        flow_uuid=storage.flow_uuid,
        flow_name=storage.flow_name,
        state=state,
        counts=dict(counts_of(storage.mirror)),
        results={name: found[name] for name in provided if name in found},
        store=store,
        failures=failures,
        dead_workers=dead_workers,
        elapsed_s=elapsed_s,
    )


def print_outcome(outcome: Outcome, output: Output, mask: Mask) -> None:
    """Print the results, or all of it as JSON, and on standard error how it went."""
    outcome = replace(
        outcome, results=mask.named(outcome.results), store=mask.named(outcome.store)
    )
    tell(outcome)
    with whole_output() as stream:
        if output is not Output.HUMAN:
            stream.write(json_of(outcome, output))
        elif outcome.state == states.SUCCESS:
            _print_results(outcome.results)


def tell(outcome: Outcome) -> None:
    """Say on standard error how a run went."""
    for failure in outcome.failures[:_FAILURES]:
        for line in failure_lines(failure):
            say(line)
    if len(outcome.failures) > _FAILURES:
        say(f"and {len(outcome.failures) - _FAILURES} more failures: see -o json")
    for worker in outcome.dead_workers[:_FAILURES]:
        say(f"worker {worker}")
    more = len(outcome.dead_workers) - _FAILURES
    if more > 0:
        say(f"and {more} more workers died")
    say(
        f"run {outcome.run_id}: {outcome.state} after {duration(outcome.elapsed_s)}"
        f" ({counts_text(outcome.counts).plain or 'no atoms'})"
    )


def tell_if_idle(outcome: Outcome, mirror: Mirror, since_ms: float) -> None:
    """Say so if a run that was started once more had nothing to do.

    Args:
        outcome: what came of it.
        mirror: of its flow.
        since_ms: when it was asked for, on the server's clock.
    """
    if outcome.state == states.SUCCESS and all(
        atom.started_at < since_ms for atom in atoms_of(mirror)
    ):
        say(
            "nothing was left to do: all atoms are done;"
            " 'redisflow reset' puts them back"
        )


def json_of(outcome: Outcome, output: Output) -> str:
    """Write an outcome as JSON."""
    document = {
        "run_id": outcome.run_id,
        "flow_uuid": outcome.flow_uuid,
        "name": outcome.flow_name,
        "state": outcome.state,
        "exit_status": int(outcome.status),
        "counts": dict(outcome.counts),
        "results": {name: json_value(v) for name, v in outcome.results.items()},
        "store": {name: json_value(v) for name, v in outcome.store.items()},
        "failures": list(outcome.failures),
        "dead_workers": list(outcome.dead_workers),
        "elapsed_s": round(outcome.elapsed_s, 3),
    }
    return json_text(document, output)


def _failures(storage: Storage, state: str) -> list[dict[str, Any]]:
    """List what failed: atoms, and whatever else ended the run."""
    found: list[dict[str, Any]] = []
    known: list[Failure] = []
    for method, failures in (
        ("execute", storage.get_execute_failures()),
        ("revert", storage.get_revert_failures()),
    ):
        for atom, failure in failures.items():
            known.append(failure)
            told = describe_failure(failure)
            found.append({"atom": atom, "method": method, **told})
    if state == states.FAILURE:
        for failure in storage.get_halt_failures():
            if not any(each.matches(failure) for each in known):
                told = describe_failure(failure)
                found.append({"atom": None, "method": None, **told})
    return found


def _print_results(results: Mapping[str, Any]) -> None:
    """Print results for a person; says so where something is left out."""
    console = console_on(sys.stdout)
    highlight = ReprHighlighter()
    shortened = len(results) > _NAMES
    for name in list(results)[:_NAMES]:
        lines, cut = _value_lines(results[name], width=console.width - len(name) - 3)
        shortened = shortened or cut
        text = f"{printable(name)} = " + "\n".join(map(printable, lines))
        console.print(highlight(text), soft_wrap=True)
    if shortened:
        more = len(results) - _NAMES
        also = f" and {more:,} more names" if more > 0 else ""
        say(f"results are shortened{also}: -o json prints all of them")


def _value_lines(value: Any, *, width: int) -> tuple[list[str], bool]:
    """Write a value; tells whether something is left out."""
    text = pretty_repr(
        value,
        max_width=min(max(20, width), 100),
        max_length=_ITEMS,
        max_string=_CHARACTERS,
        max_depth=_DEPTH,
    )
    lines = text.splitlines()
    cut = bool(re.search(r"\.\.\.|'\+\d+", text))
    if len(lines) > _LINES:
        return [*lines[:_LINES], "…"], True
    return lines, cut
