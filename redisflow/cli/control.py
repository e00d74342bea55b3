"""``redisflow suspend``, ``resume`` and ``cancel``: telling all workers of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow import states

from redisflow.cli.acts import acting_command
from redisflow.engine.plans import cancel_run
from redisflow.operations import Subject, resume_run, suspend_run

#: What is refused is not journaled.
_CANCELLABLE = (states.RUNNING, states.SUSPENDING, states.SUSPENDED)
_STATUS = """\
[bold]Exit status[/bold]: 0 done, 2 usage or no such run, 4 server, 5 a run refused.
"""
SUSPEND_EPILOG = f"""\
[bold]Examples[/bold]

redisflow suspend nightly --reason "deploying"

redisflow suspend --state RUNNING --name 'order-*' --yes

{_STATUS}"""
RESUME_EPILOG = f"""\
[bold]Examples[/bold]

redisflow resume nightly

redisflow resume --state SUSPENDED --dry-run

{_STATUS}"""
CANCEL_EPILOG = f"""\
[bold]Examples[/bold]

redisflow cancel nightly --reason "wrong input"

{_STATUS}"""


def _suspend(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    state = suspend_run(subject, reason=reason)
    text = f"is {state}"
    if state == states.SUSPENDING:
        text = f"{subject.live} worker(s) will stop after what they are at"
    return text, {"state": state, "workers": subject.live}


def _resume(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    servers = resume_run(subject, reason=reason)
    text = f"left to {servers} worker(s)"
    if not servers:
        text = "left to workers, of whom none is there now"
    return text, {"workers": servers}


def _cancel(subject: Subject, reason: str) -> tuple[str, Mapping[str, Any]]:
    flow = subject.look()
    cancelled = flow.fields.get("cancelled_run") == str(flow.run)
    if flow.state in _CANCELLABLE and not cancelled:
        subject.note("cancel", reason)
    cancel_run(subject.storage, flow.run, reason=reason, who=subject.who)
    subject.look()
    text = f"{subject.live} worker(s) revert it"
    if not subject.live:
        text = "no worker is alive: whoever runs it next reverts it"
    return text, {"workers": subject.live}


suspend = acting_command(
    "suspend",
    """Stop all workers of a flow after what they are at.

    The next run of the flow goes on from there. Where no worker is alive the flow is
    suspended at once. With filters, you are asked first.
    """,
    _suspend,
)
resume = acting_command(
    "resume",
    """Let a suspended run go on, by the workers that it was submitted to.

    A run that was not submitted goes on when it is run again with the same run id.
    """,
    _resume,
)
cancel = acting_command(
    "cancel",
    """Have everything reverted that a flow has done.

    What is being executed comes to its end first, and nothing else begins. It stands in
    the journal, with who asked and why; every worker raises the reason.
    """,
    _cancel,
)
