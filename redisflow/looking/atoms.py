"""What a record tells of an atom."""

from __future__ import annotations

from taskflow import states

from redisflow.persistence.records import AtomRecord


def state_of(atom: AtomRecord) -> str:
    """Give an atom's state."""
    return str(atom.detail.state or "PENDING")


def failed_in(atom: AtomRecord) -> int:
    """Tell in which round an atom failed, if it has a failure: an earlier one stays."""
    return atom.round - (atom.detail.state == states.RUNNING)


def seconds_taken(atom: AtomRecord, now_ms: float) -> float | None:
    """Tell how long an atom ran last, or has been running.

    Returns:
        Seconds; None if it never ran, or if nobody runs what was begun.
    """
    if not atom.started_at:
        return None
    if atom.finished_at >= atom.started_at:
        return (atom.finished_at - atom.started_at) / 1000
    if not atom.owner or atom.detail.state not in (states.RUNNING, states.REVERTING):
        return None
    return max(0.0, (now_ms - atom.started_at) / 1000)


def progress_of(atom: AtomRecord) -> float:
    """Tell how far an atom is, from 0.0 to 1.0."""
    progress = atom.detail.meta.get("progress", 0.0)
    return float(progress) if isinstance(progress, int | float) else 0.0
