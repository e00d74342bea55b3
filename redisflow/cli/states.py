"""How states are shown: their colours, and how many atoms are in each."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from taskflow import states

from redisflow.cli.console import BAD, BUSY, DOUBTFUL, GOOD
from redisflow.looking.atoms import state_of
from redisflow.persistence.records import AtomRecord

#: States of atoms at work, and of those that have failed.
AT_WORK = ("RUNNING", "REVERTING", "RETRYING")
FAILED = ("FAILURE", "REVERT_FAILURE")

_ENDS = (states.SUCCESS, states.FAILURE, states.REVERTED, states.SUSPENDED)
#: Always the same, so that counts stay where they are while they change.
_ORDER = (*AT_WORK, *FAILED, "SUCCESS", "REVERTED", "IGNORE", "PENDING")

COLOURS: Mapping[str, str] = {
    "SUCCESS": GOOD,
    "RUNNING": BUSY,
    "REVERTING": DOUBTFUL,
    "REVERTED": DOUBTFUL,
    "SUSPENDING": DOUBTFUL,
    "SUSPENDED": DOUBTFUL,
    "FAILURE": BAD,
    "REVERT_FAILURE": BAD,
}


def state_text(state: str) -> Text:
    """Give a state its colour."""
    return Text(state, style=COLOURS.get(state, ""))


def state_of_run_text(state: str, *, submitted: bool) -> Text:
    """Give a run's state its colour; says if it has been left to workers since."""
    text = state_text(state)
    if submitted and state == states.PENDING:
        return Text.assemble(text, ", submitted")
    if submitted and state in _ENDS:
        return Text.assemble(text, ", submitted again")
    return text


def counts_text(counts: Mapping[str, int]) -> Text:
    """Write how many atoms are in each state: at work, failed, done, still to come."""
    ordered = sorted(counts.items(), key=lambda item: _place_of(item[0]))
    parts = [Text.assemble(state_text(state), f" {n:,}") for state, n in ordered]
    return Text("  ").join(parts)


def _place_of(state: str) -> tuple[int, str]:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER), state


def to_be_done(atom: AtomRecord) -> str:
    """Tell what is still to come of an atom but to be executed; empty for nothing."""
    intention = str(atom.detail.intention)
    done = {"REVERT": "REVERTED", "IGNORE": "IGNORE"}.get(intention)
    if intention == "EXECUTE" or state_of(atom) == done:
        return ""
    return f"  to {intention.lower()}"
