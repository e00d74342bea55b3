"""What tests of a storage are about: an atom, and a failure of it."""

from __future__ import annotations

from taskflow import task
from taskflow.types.failure import Failure


class Noop(task.Task):
    """Does nothing."""

    def execute(self) -> None:
        """Return nothing."""


def failure_of(error: Exception) -> Failure:
    """Raise an error and catch it as TaskFlow does."""
    try:
        raise error
    except type(error):
        return Failure()
