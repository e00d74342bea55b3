"""Logbooks, and details of atoms in every state that they can be in."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from taskflow import states
from taskflow.persistence import models

from tests.support.storages import failure_of


def new_uuid() -> str:
    """Make a uuid."""
    return str(uuid.uuid4())


def new_book(*atoms: models.AtomDetail) -> tuple[models.LogBook, models.FlowDetail]:
    """Make a logbook with a flow that has atoms, none of it stored."""
    book = models.LogBook("book", new_uuid())
    flow = models.FlowDetail("flow", new_uuid())
    for atom in atoms:
        flow.add(atom)
    book.add(flow)
    return book, flow


def task_detail(name: str = "a", **fields: Any) -> models.TaskDetail:
    """Make details of a task."""
    detail = models.TaskDetail(name, new_uuid())
    for field, value in fields.items():
        setattr(detail, field, value)
    return detail


def retry_detail(name: str = "r", **fields: Any) -> models.RetryDetail:
    """Make details of a retry."""
    detail = models.RetryDetail(name, new_uuid())
    for field, value in fields.items():
        setattr(detail, field, value)
    return detail


#: Makes details in one state of their life each.
WHOLE: Mapping[str, Callable[[], models.AtomDetail]] = {
    "task": lambda: task_detail(
        state=states.SUCCESS,
        intention=states.EXECUTE,
        version="2.1",
        results={"hosts": ("a", b"b")},
        meta={"progress": 0.5, "injected": {"x": 1}, "k": [1, {"y": None}]},
    ),
    "task without a result": lambda: task_detail(state=states.SUCCESS),
    "task that failed": lambda: task_detail(
        state=states.FAILURE,
        intention=states.REVERT,
        failure=failure_of(ValueError("no")),
    ),
    "task that was reverted": lambda: task_detail(
        state=states.REVERTED,
        failure=failure_of(ValueError("no")),
        revert_results=[1, 2],
    ),
    "task whose revert failed": lambda: task_detail(
        state=states.REVERT_FAILURE,
        failure=failure_of(ValueError("no")),
        revert_failure=failure_of(RuntimeError("nor this")),
    ),
    "task of nobody yet": task_detail,
    "retry": lambda: retry_detail(
        state=states.RETRYING,
        intention=states.RETRY,
        results=[
            (1, {"a": failure_of(ValueError("1")), "b:c": failure_of(OSError("2"))}),
            (None, {}),
            ((3,), {"a": failure_of(ValueError("3"))}),
        ],
    ),
    "retry of nobody yet": retry_detail,
}


def told(detail: models.AtomDetail) -> dict[str, Any]:
    """Return all that a detail says, in a form that can be compared."""
    fields: dict[str, Any] = detail.to_dict()
    return fields
