"""Fields of a flow's own hash and of an atom's: which are there, and which are numbers.

Whoever judges fields as they are stored asks here; docs/keys.md says what each of them
means. `redisflow.persistence.records` reads the hashes whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Numbers of scripts are exact up to 2**53, which has sixteen digits.
_MOST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a hash whose form is known.

    Attributes:
        numbers: those that are always there, and numbers.
        texts: those that are always there, and may be empty.
        numbers_at_times: numbers that are there once there is something to count.
        numbers_or_empty: numbers that are not there, or empty, where there is none.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    numbers_at_times: tuple[str, ...]
    numbers_or_empty: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        always = (*self.numbers, *self.texts)
        return (*always, *self.numbers_at_times, *self.numbers_or_empty)

    def lacking(self, fields: Mapping[str, str]) -> list[str]:
        """Name the fields that are always there, and not here."""
        return [name for name in (*self.numbers, *self.texts) if name not in fields]

    def odd(self, fields: Mapping[str, str]) -> list[str]:
        """Name the fields that are here and should be numbers, and are none."""
        always = (*self.numbers, *self.numbers_at_times)
        wrong = [name for name in always if not is_number(fields.get(name, "0"))]
        return wrong + [
            name
            for name in self.numbers_or_empty
            if not is_number(fields.get(name) or "0")
        ]


#: A flow's own hash.
OF_FLOW = Layout(
    numbers=(
        *("run", "rev", "schema", "ended", "epoch", "unfinished", "halt"),
        *("created_at", "updated_at"),
    ),
    texts=("uuid", "name", "state", "book", "resolving", "planned"),
    numbers_at_times=("nodes", "submitted", "lease_ms"),
)

#: The hash of an atom.
OF_ATOM = Layout(
    numbers=("rev", "round"),
    texts=("name", "state", "intention", "type"),
    numbers_at_times=("attempt", "place", "entries", "started_at", "finished_at"),
    numbers_or_empty=("node", "token"),
)


def is_number(text: str) -> bool:
    """Tell whether a text is a number as scripts write them: whole, and not negative.

    >>> is_number("12"), is_number("-1"), is_number("1.0"), is_number("")
    (True, False, False, False)
    >>> is_number("9" * 17)
    False
    """
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
