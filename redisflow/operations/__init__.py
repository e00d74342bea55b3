"""What an operator does to runs from outside: each act guarded, and journaled.

An act goes through the same kind of script as the work itself: it looks at the lock,
at who is alive and at what is held, and refuses with `InvalidState` where the state of
the flow forbids it. The same script writes who did it and why into the flow's journal,
as an entry with ``act`` and ``reason``; what the act changes is journaled as ever.

What begins with ``check`` or ``would`` refuses as the act would, and changes nothing.

Acts of many steps (a reset, a removal) may be cut short: asked for again, they go on.
"""

from __future__ import annotations

from redisflow.operations.editing import (
    check_set_result,
    reset_atom,
    set_result,
    would_reset,
)
from redisflow.operations.removing import (
    Garbage,
    check_removal,
    collect_garbage,
    remove_run,
)
from redisflow.operations.running import (
    cancel,
    check_cancel,
    check_resume,
    check_suspend,
    resume_run,
    suspend_run,
    wait_until_suspended,
)
from redisflow.operations.subject import Subject

__all__ = [
    "Garbage",
    "Subject",
    "cancel",
    "check_cancel",
    "check_removal",
    "check_resume",
    "check_set_result",
    "check_suspend",
    "collect_garbage",
    "remove_run",
    "reset_atom",
    "resume_run",
    "set_result",
    "suspend_run",
    "wait_until_suspended",
    "would_reset",
]
