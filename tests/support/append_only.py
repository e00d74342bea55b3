"""An append-only file, and the places at which a power cut can end it.

A server writes what a script has changed as a transaction: MULTI, the commands, EXEC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command in the file.

    Attributes:
        name: its first word.
        start: where it begins.
        end: where the next one begins.
    """

    name: bytes
    start: int
    end: int


def commands(text: bytes) -> Iterator[Command]:
    """Read all commands that are whole."""
    at = 0
    while at < len(text):
        start = at
        count, at = _number(text, at, b"*")
        words = []
        for _ in range(count):
            length, at = _number(text, at, b"$")
            words.append(text[at : at + length])
            at += length + len(b"\r\n")
        if at > len(text):
            return
        yield Command(words[0].upper(), start, at)


def _number(text: bytes, at: int, kind: bytes) -> tuple[int, int]:
    end = text.find(b"\r\n", at)
    if end < 0:
        return 0, len(text) + 1
    assert text[at : at + 1] == kind, text[at:end]
    return int(text[at + 1 : end]), end + len(b"\r\n")


def transactions(text: bytes) -> Iterator[list[Command]]:
    """Read all transactions, each from MULTI to EXEC."""
    found: list[Command] = []
    for command in commands(text):
        if command.name == b"MULTI":
            found = []
        found.append(command)
        if command.name == b"EXEC":
            yield found


#: With fewer commands a transaction is not worth a cut.
_SHORTEST = 5

#: The places at which a transaction can be cut, by what they are.
PLACES: Mapping[str, Callable[[list[Command]], int]] = {
    "between-transactions": lambda found: found[0].start,
    "between-commands": lambda found: found[2].end,
    "in-a-command": lambda found: (found[2].start + found[2].end) // 2,
}


def cut_at(place: str, text: bytes, ago: int) -> int:
    """Find where to cut the file so that its last transactions are lost.

    Args:
        place: one of `PLACES`.
        text: the file.
        ago: how many transactions come after the one that is cut, at least.
    """
    whole = [found for found in transactions(text) if len(found) > _SHORTEST]
    return PLACES[place](whole[-ago])
