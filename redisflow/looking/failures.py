"""What is told of a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from taskflow.types.failure import Failure

from redisflow.looking.texts import one_line, printable

#: More of a message is in the JSON.
_CHARACTERS = 300
_CAUSES = 5

_PLACE = re.compile(r'File "([^"]+)", line (\d+)')


def describe_failure(failure: Failure) -> dict[str, Any]:
    """Give what is told of a failure, and of its causes, the nearest first."""
    causes = [_described(cause) for cause in failure.causes or ()]
    return {**_described(failure), "causes": causes}


def _described(failure: Failure) -> dict[str, Any]:
    names = list(failure)
    places = _PLACE.findall(failure.traceback_str or "")
    return {
        "type": names[0] if names else "",
        "message": failure.exception_str,
        "where": ":".join(places[-1]) if places else None,
        "traceback": failure.traceback_str,
    }


def failure_line(failure: Mapping[str, Any]) -> str:
    """Tell of a failure in a line."""
    atom, method = failure.get("atom"), failure.get("method")
    of = f"{atom}: " if atom else ""
    kind = printable(failure["type"].rpartition(".")[2])
    where = f" ({printable(failure['where'])})" if failure["where"] else ""
    message = one_line(str(failure["message"]))
    if len(message) > _CHARACTERS:
        message = f"{message[:_CHARACTERS]}…"
    return f"{of}{'revert: ' if method == 'revert' else ''}{kind}: {message}{where}"


def failure_lines(failure: Mapping[str, Any]) -> Iterator[str]:
    """Tell of a failure in a line, and of each of its causes in one."""
    yield failure_line(failure)
    for cause in failure["causes"][:_CAUSES]:
        yield f"caused by {failure_line(cause)}"
