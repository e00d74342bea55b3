"""What of two details of the same flow is not the same, in words.

Values are compared with their types: what a backend gives back as a list was no tuple.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow.persistence.records import version_text

_FIELDS = (
    *("name", "state", "intention", "results", "revert_results"),
    *("failure", "revert_failure"),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one place has of a flow, and another one has otherwise or not at all.

    Attributes:
        lacking: atoms that are not in the other place.
        differences: what is there otherwise.
    """

    lacking: list[models.AtomDetail]
    differences: list[str]


def compare_books(one: models.LogBook, other: models.LogBook) -> list[str]:
    """Tell what of a logbook itself is otherwise in another place."""
    pairs = {
        "name": (one.name, other.name),
        "metadata": (one.meta or {}, other.meta or {}),
    }
    return [name for name, values in pairs.items() if not same(*values)]


def compare_flows(one: models.FlowDetail, other: models.FlowDetail) -> Comparison:
    """Tell what of a flow is otherwise in another place."""
    lacking: list[models.AtomDetail] = []
    differences = [
        f"its {name}"
        for name, values in (
            ("name", (one.name, other.name)),
            ("state", (one.state, other.state)),
            ("metadata", (one.meta or {}, other.meta or {})),
        )
        if not same(*values)
    ]
    for atom in one:
        found = other.find(atom.uuid)
        if found is None:
            lacking.append(atom)
        else:
            differences += _of_atoms(atom, found)
    known = {atom.uuid for atom in one}
    more = [str(atom.name) for atom in other if atom.uuid not in known]
    if more:
        differences.append(f"atoms that are only there: {', '.join(more[:3])}")
    return Comparison(lacking, differences)


def _of_atoms(one: models.AtomDetail, other: models.AtomDetail) -> Iterator[str]:
    if type(one) is not type(other):
        yield f"the type of atom {one.name}"
        return
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in _FIELDS}
    pairs["version"] = version_text(one.version), version_text(other.version)
    pairs["metadata"] = one.meta or {}, other.meta or {}
    for name, values in pairs.items():
        if not same(*values):
            yield f"{name} of atom {one.name}"


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, and of the same types to their depths.

    >>> same({"a": (1, 2)}, {"a": [1, 2]}), same(float("nan"), float("nan"))
    (False, True)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(value, other[name]) for name, value in one.items()
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Failure):
        return same(_told(one), _told(other))
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124  # nan


def _told(failure: Failure) -> list[Any]:
    """Give what is kept of a failure everywhere; tracebacks are kept as text."""
    causes = [_told(cause) for cause in failure.causes or ()]
    return [list(failure), failure.exception_str, causes]
