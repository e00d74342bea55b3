"""A task that ends when a test says so."""

from __future__ import annotations

import threading

from taskflow import task


class Gate(task.Task):
    """Waits until it may end; then it may fail.

    Args:
        name: of the task.
        go_on: set when it may end.
        begun: is set when it begins.
        message: of what it raises then; empty for none.
    """

    def __init__(
        self,
        name: str,
        go_on: threading.Event,
        *,
        begun: threading.Event | None = None,
        message: str = "",
    ) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # as TaskFlow
        self.go_on, self.begun, self.message = go_on, begun, message

    def execute(self) -> None:
        """Wait."""
        if self.begun is not None:
            self.begun.set()
        assert self.go_on.wait(60)
        if self.message:
            raise RuntimeError(self.message)
