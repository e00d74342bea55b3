"""With which status the program ends for which error."""

from __future__ import annotations

import pytest
from taskflow import exceptions

from redisflow import errors
from redisflow.cli.app import invoke
from redisflow.cli.problems import Status, UsageProblem, status_of
from redisflow.engine.children import WorkersFailed


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageProblem("no such run"), Status.USAGE),
        (errors.FlowLost("gone", key="k"), Status.SERVER),
        (errors.CorruptKey("odd", key="k"), Status.SERVER),
        (WorkersFailed("no worker could start"), Status.FAILED),
        (exceptions.ExecutionFailure("failed"), Status.FAILED),
        (KeyError(4), Status.INTERNAL),
    ],
)
def test_each_error_has_its_status(error, status):
    """Those of flows, of servers and of commands are told from our own mistakes."""
    assert status_of(error) is status


def test_a_mistake_of_our_own_is_no_failed_flow(monkeypatch, capsys):
    """It ends with 70, and a line that says how to see where it was."""

    def fail(*_arguments):
        raise KeyError(4)

    monkeypatch.setattr("redisflow.cli.show.backend_to_look", fail)
    assert invoke(["show", "nightly"]) == 70
    assert "KeyError: 4 (REDISFLOW_DEBUG=1 shows where)" in capsys.readouterr().err
