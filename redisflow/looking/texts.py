"""How names, messages, times and workers are written for people."""

from __future__ import annotations

import os
import re

_TAG = re.compile(r"[0-9a-f]{8}")
_REQUEST = re.compile(r"/[\d.]+$")


def one_line(text: str) -> str:
    r"""Put a text into one line that a terminal shows as it is.

    >>> print(one_line("no such file:\n  a.py\x1b"))
    no such file: a.py\x1b
    """
    joined = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return printable(joined)


def printable(text: str) -> str:
    """Spell characters that could move a terminal's cursor."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def duration(seconds: float) -> str:
    """Write a time taken, in two units at most.

    >>> [duration(s) for s in (0.0312, 4.25, 59.99, 185, 7260, 200_000)]
    ['31ms', '4.2s', '1m00s', '3m05s', '2h01m', '2d07h']
    """
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 59.95:  # noqa: PLR2004  # what rounds to less than a minute
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  # an hour
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004  # beyond, days say more
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def worker_text(worker: str) -> str:
    """Shorten a worker's id: its process id, with the host where that is another.

    Of an operator, who has a name in place of a worker's tag, the name comes first.
    Which of their requests it was is left out.

    >>> worker_text("elsewhere:4711:0badcafe")
    'elsewhere:4711'
    >>> worker_text("elsewhere:4711:ann/2")
    'ann (elsewhere:4711)'
    """
    place, _, tag = _REQUEST.sub("", worker).rpartition(":")
    host, _, pid = place.rpartition(":")
    if not host:
        return worker
    text = pid if host == os.uname().nodename[:24] else place
    return text if _TAG.fullmatch(tag) else f"{tag} ({text})"
