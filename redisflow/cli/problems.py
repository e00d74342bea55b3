"""What an error is to the one who typed the command: a line, and an exit status.

This is the only place that knows which exception ends with which status. The first
class of the table that matches decides, so subclasses come before their bases. What no
row expects is a mistake of redisflow's own.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from enum import IntEnum

from taskflow import exceptions

from redisflow import errors
from redisflow.looking.texts import one_line


class Status(IntEnum):
    """How the program ends."""

    SUCCESS = 0
    FAILED = 1
    USAGE = 2
    SUSPENDED = 3
    SERVER = 4
    STATE = 5
    INTERNAL = 70  # as sysexits.h has it
    INTERRUPTED = 130  # as shells have it: 128 + SIGINT


class UsageProblem(Exception):
    """Something in the command that cannot be."""


class FactoryFailed(UsageProblem):
    """The user's factory raised an exception, its cause."""

    def __init__(self, reference: str, cause: BaseException) -> None:
        kind = type(cause).__name__
        super().__init__(f"factory {reference} raised {kind}: {cause}{_where(cause)}")


_STATUSES: tuple[tuple[type[BaseException], Status], ...] = (
    (UsageProblem, Status.USAGE),
    (errors.ConfigError, Status.USAGE),
    (errors.BadExport, Status.USAGE),
    (errors.ValueRefused, Status.USAGE),
    (exceptions.Duplicate, Status.USAGE),
    (exceptions.DependencyFailure, Status.USAGE),
    (exceptions.CompilationFailure, Status.USAGE),
    (errors.FlowLost, Status.SERVER),
    (exceptions.NotFound, Status.USAGE),
    (exceptions.InvalidState, Status.STATE),
    (errors.StaleToken, Status.STATE),
    (errors.LeaseLost, Status.STATE),
    (errors.Locked, Status.STATE),
    (exceptions.StorageFailure, Status.SERVER),
    (KeyboardInterrupt, Status.INTERRUPTED),
    (errors.RedisFlowError, Status.FAILED),
    (exceptions.TaskFlowException, Status.FAILED),
    (exceptions.WrappedFailure, Status.FAILED),
)
#: What TaskFlow's message says of whose requirements are missing.
_WHO = re.compile(r"""'(\w+)' method on '"?(.+?)(?:==[^']*)?' requires""")
_CREDENTIALS = re.compile(r"(\w://[^/@\s:]*):\S*@")
_PARAMETERS = re.compile(r"([?&]\w*passw\w*=)[^&\s'\"]*", re.IGNORECASE)


def status_of(error: BaseException) -> Status:
    """Tell with which status the program ends for an error."""
    if isinstance(error, errors.WorkersFailed):
        # A worker met it: all that came from there is the name of its class.
        return _status_of_class(_class_named(error.error))
    return _status_of_class(type(error))


def _class_named(name: str) -> type[BaseException]:
    found = getattr(errors, name, None) or getattr(exceptions, name, None)
    return found if isinstance(found, type) else errors.WorkersFailed


def _status_of_class(kind: type[BaseException]) -> Status:
    for cls, status in _STATUSES:
        if issubclass(kind, cls):
            return status
    return Status.INTERNAL


def line_of(error: BaseException) -> str:
    """Describe an error in one line, without passwords."""
    if isinstance(error, KeyboardInterrupt):
        text = "interrupted"
    elif isinstance(error, exceptions.MissingDependencies):
        text = _missing(error)
    elif isinstance(error, (UsageProblem, errors.RedisFlowError)):
        text = str(error)
    elif isinstance(error, exceptions.TaskFlowException):
        text = str(error) or type(error).__name__
    else:
        text = f"{type(error).__name__}: {error} (REDISFLOW_DEBUG=1 shows where)"
    return without_passwords(one_line(text))


def traceback_of(error: BaseException) -> str:
    """Give the traceback of an error, without passwords."""
    return without_passwords("".join(traceback.format_exception(error)))


def without_passwords(text: str) -> str:
    """Blot out the passwords of URLs.

    >>> without_passwords("redis://me:secret@db1")
    'redis://me:***@db1'
    >>> without_passwords("redis://db1?password=secret&db=1")
    'redis://db1?password=***&db=1'
    """
    return _PARAMETERS.sub(r"\1***", _CREDENTIALS.sub(r"\1:***@", text))


def _missing(error: exceptions.MissingDependencies) -> str:
    """Say which arguments of which atoms nothing provides."""
    found: dict[tuple[str, str], None] = {}
    for each in _chain(error):
        who = _WHO.match(str(each))
        for name in each.missing_requirements if who else ():
            found[name, who[2] if who else ""] = None
    if not found:
        return str(error)
    parts = [f"{name!r} of atom {atom!r}" for name, atom in found]
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""  # noqa: PLR2004
    name = next(iter(found))[0]
    return (
        f"nothing provides the argument {', '.join(parts[:3])}{more}:"
        f" give it with --store {name}=VALUE"
    )


def _chain(
    error: BaseException | None,
) -> Iterator[exceptions.MissingDependencies]:
    while isinstance(error, exceptions.MissingDependencies):
        yield error
        error = error.cause


def _where(error: BaseException) -> str:
    """Name the last place that is the user's own."""
    if isinstance(error, SyntaxError):
        return ""  # its text says where
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not re.search(r"[/\\](redisflow|importlib)[/\\]|^<", frame.filename)
    ]
    return f" ({places[-1].filename}:{places[-1].lineno})" if places else ""
