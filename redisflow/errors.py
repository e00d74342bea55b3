"""Every exception that leaves redisflow; two stand with what raises them.

::

    RedisFlowError
    ├─ ConfigError              a URL or an option that cannot be used
    │  └─ NotAllowed            a worker may not import it: engine.allowing
    ├─ BadExport                a file that is no whole export of a run
    ├─ StoreError               (+ taskflow StorageFailure) the server did not do it
    │  ├─ Unavailable           not reached, or not ready, until the deadline
    │  │  └─ Locked             others held the flow's lock until then
    │  ├─ Refused               reached, and it said no: password, ACL, memory, policy
    │  ├─ CorruptKey            a key of another type, or a field not understood
    │  ├─ SchemaTooNew          written by a newer redisflow
    │  ├─ ScriptFailed          a script of ours failed: a bug
    │  └─ ServerError           any other answer of the server: client
    ├─ ValueRefused             (+ taskflow StorageFailure) a value that cannot be kept
    ├─ StaleToken               somebody else owns the atom, or finished it first
    ├─ LeaseLost                the lock was lost before its section ended
    ├─ NotFound                 (+ taskflow NotFound)
    │  └─ FlowLost              the flow was stored, and is gone
    ├─ Duplicate                (+ taskflow Duplicate)
    ├─ InvalidState             (+ taskflow InvalidState) not in the present state
    │  ├─ StructureMismatch     joining a running flow with another structure
    │  └─ SubmissionDiffers     submitting a run once more as something else
    ├─ FlowCancelled            (+ taskflow ExecutionFailure) somebody had it reverted
    ├─ WorkersFailed            no worker process can take part
    └─ WorkerLost               an atom cost too many workers; stored as its failure

What TaskFlow's code catches is also TaskFlow's class, so that code written for
any other backend behaves the same on this one.

``outcome`` says what became of the change that was asked for: ``"applied"``,
``"not applied"`` or ``"unknown"`` (a reply was lost after the request left; what came
of a later sending does not tell about that one, whatever exception it is).
"""

from __future__ import annotations

from typing import Literal

from taskflow import exceptions

Outcome = Literal["applied", "not applied", "unknown"]


class RedisFlowError(Exception):
    """Root of all errors of redisflow.

    Attributes:
        outcome: what became of the change that was asked for.
    """

    outcome: Outcome = "not applied"


class ConfigError(RedisFlowError):
    """A URL, an option or a setting that cannot be used."""


class BadExport(RedisFlowError, ValueError):
    """A file that is no export of a run, or not a whole one; nothing was changed.

    Attributes:
        line: the number of the line that is wrong, from 1; 0 where it is the file.
    """

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


class StoreError(RedisFlowError, exceptions.StorageFailure):
    """The server did not do what it was asked to do."""

    def __init__(self, message: str, *, outcome: Outcome = "not applied") -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # as TaskFlow
        self.outcome = outcome


class Unavailable(StoreError):
    """The server was not reached, or was not ready, until the deadline."""


class Locked(Unavailable):
    """Others held the flow's lock until the deadline of a call.

    Attributes:
        lock: the key of the lock.
    """

    def __init__(self, message: str, *, lock: str) -> None:
        super().__init__(message)
        self.lock = lock


class Refused(StoreError):
    """The server was reached and said no."""


class CorruptKey(StoreError):
    """A key under our names that is not what redisflow wrote.

    Attributes:
        key: the key, as ``redis-cli`` takes it.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class SchemaTooNew(StoreError):
    """A flow that a newer redisflow wrote.

    Attributes:
        key: the key of the flow.
        schema: its schema number.
    """

    def __init__(self, message: str, *, key: str, schema: int) -> None:
        super().__init__(message)
        self.key = key
        self.schema = schema


class ScriptFailed(StoreError):
    """A script failed on the server for a reason that no caller can cause.

    Attributes:
        script: its name.
    """

    def __init__(self, message: str, *, script: str) -> None:
        super().__init__(message)
        self.script = script


class ValueRefused(RedisFlowError, exceptions.StorageFailure):
    """A value that would not come back equal and of the same type.

    Attributes:
        path: where inside the value, such as ``$['hosts'][3]``.
        type_name: the type found there.
        name: what the value was to be: a name that was injected, the key of a
            metadata entry, or the atom whose result it is; "" if that is not known.
    """

    def __init__(
        self, message: str, *, path: str, type_name: str, name: str = ""
    ) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # as TaskFlow
        self.path = path
        self.type_name = type_name
        self.name = name


class StaleToken(RedisFlowError):
    """The write came from one who does not own the atom, or no longer does.

    Attributes:
        atom: the name of the atom.
    """

    def __init__(self, message: str, *, atom: str) -> None:
        super().__init__(message)
        self.atom = atom


class LeaseLost(RedisFlowError):
    """The lease on a lock was over before its section ended; others may have been in.

    What the section wrote before that is there; what it tried to write since is not,
    unless ``outcome`` says that it may be.

    Attributes:
        lock: the key of the lock.
    """

    def __init__(self, message: str, *, lock: str) -> None:
        super().__init__(message)
        self.lock = lock


class NotFound(RedisFlowError, exceptions.NotFound):
    """What was asked for does not exist."""

    def __init__(self, message: str, cause: Exception | None = None) -> None:
        super().__init__(message, cause)  # type: ignore[no-untyped-call]  # as TaskFlow


class FlowLost(NotFound):
    """The flow was stored once and is gone: nothing is written in its place.

    Attributes:
        key: the key of the flow.
    """

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class Duplicate(RedisFlowError, exceptions.Duplicate):
    """Two things that must differ have one name."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # as TaskFlow


class InvalidState(RedisFlowError, exceptions.InvalidState):
    """A change that the present state does not allow."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # as TaskFlow


class StructureMismatch(InvalidState):
    """A running flow cannot be joined with another structure or other options."""


class SubmissionDiffers(InvalidState):
    """A run was submitted before with something else; nothing was changed.

    Attributes:
        run_id: the run.
        differs: what is not as it was: ``factory``, ``args[1]``, ``kwargs['path']``,
            ``options['max_attempts']``, ``store['url']``.
    """

    def __init__(self, message: str, *, run_id: str, differs: tuple[str, ...]) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.differs = differs


class FlowCancelled(RedisFlowError, exceptions.ExecutionFailure):
    """The flow was reverted because somebody asked for it, and not for a failure."""

    def __init__(self, message: str) -> None:
        super().__init__(message)  # type: ignore[no-untyped-call]  # as TaskFlow


class WorkersFailed(RedisFlowError):
    """The workers could not take part in the flow; says what the last one told.

    Attributes:
        error: the name of the exception that the worker met, or "".
    """

    def __init__(self, message: str, *, error: str = "") -> None:
        super().__init__(message)
        self.error = error


class WorkerLost(RedisFlowError):
    """An atom has cost as many workers as it may; stored as its failure."""
