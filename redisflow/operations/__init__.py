"""What an operator does to runs from outside: each act guarded, and journaled.

An act goes through the same kind of script as the work itself: it looks at the lock,
at who is alive and at what is held, and refuses with `InvalidState` where the state of
the flow forbids it. Who did it and why stands in the flow's journal before it is done,
as an entry with ``act`` and ``reason``; what the act changes is journaled as ever.

Acts of many steps (a reset, a removal) may be cut short: asked for again, they go on.
"""

from __future__ import annotations

from redisflow.operations.editing import reset_atom, set_result
from redisflow.operations.removing import (
    Garbage,
    collect_garbage,
    left_of,
    remove_run,
)
from redisflow.operations.running import (
    resume_run,
    suspend_run,
    wait_until_suspended,
)
from redisflow.operations.subject import Subject, operator_id

__all__ = [
    "Garbage",
    "Subject",
    "collect_garbage",
    "left_of",
    "operator_id",
    "remove_run",
    "reset_atom",
    "resume_run",
    "set_result",
    "suspend_run",
    "wait_until_suspended",
]
