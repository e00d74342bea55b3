"""For the tests of your own flows: a server, runs with deaths in them, and checks.

==============  ===================================================================
`server`        `ThrowAwayServer`: a real server in a folder of its own; ``guard``
                ends it, whatever becomes of the tests
`running`       `run_to_completion`: a flow run by several workers, some of which
                die where they are told to; ``dying`` is what has them die
`checks`        what is asked of a run that has ended, and of values
==============  ===================================================================

`redisflow.pytest_plugin` has pytest's fixtures. docs/testing.md shows their use.
"""

from __future__ import annotations

from redisflow.testing.checks import (
    check_executed_once,
    check_order,
    check_round_trip,
)
from redisflow.testing.dying import Death
from redisflow.testing.running import Completed, run_to_completion
from redisflow.testing.server import ThrowAwayServer

__all__ = [
    "Completed",
    "Death",
    "ThrowAwayServer",
    "check_executed_once",
    "check_order",
    "check_round_trip",
    "run_to_completion",
]
