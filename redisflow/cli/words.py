"""Words of the command line as they are typed, put in the form that typer reads.

Two things may be left out: the value of ``--watch``, which stands after ``=`` or not at
all, and the word ``show`` of ``locks``, whose options may stand anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Seconds between two readings, where ``--watch`` does not say how many.
WATCH_S = 2.0

_OF_LOCKS = ("show", "break")
#: Options of ``locks`` of which the value may be the next word.
_WITH_VALUE = ("-o", "--output", "--url")


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Put in what may be left out of a command.

    >>> spelled_out(["show", "nightly", "--watch"])
    ['show', 'nightly', '--watch=2.0']
    >>> spelled_out(["locks", "nightly"])
    ['locks', 'show', 'nightly']
    >>> spelled_out(["locks", "-o", "json", "break", "nightly"])
    ['locks', 'break', '-o', 'json', 'nightly']
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words = [
        f"--watch={WATCH_S}" if text == "--watch" and place < end else text
        for place, text in enumerate(arguments)
    ]
    return _of_locks(words) if words[:1] == ["locks"] else words


def _of_locks(words: list[str]) -> list[str]:
    """Put the command of ``locks`` before its options, and ``show`` before a name."""
    place = 1
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        place += 2 if words[place] in _WITH_VALUE else 1
    if place >= len(words):
        return words  # options alone: all locks
    if words[place] in _OF_LOCKS:
        return ["locks", words[place], *words[1:place], *words[place + 1 :]]
    return ["locks", "show", *words[1:]]
