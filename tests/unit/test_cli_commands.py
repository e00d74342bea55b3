"""Commands are imported when they are asked for, with no more than they need."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from redisflow.cli.commands import HOMES, Deferred

_PROGRAM = """
import sys
from redisflow.cli import main
try:
    main()
finally:
    sys.stderr.write("\\n".join(["", "modules:", *sys.modules]))
"""

#: What takes time to import, and only commands that run or change flows need.
_TO_RUN = (
    "networkx",
    "redisflow.engine",
    "redisflow.operations",
    "redisflow.storage",
    "rich.live",
    "taskflow.engines",
)
#: What takes time, and no command needs to be named.
_TO_LOOK = (
    *_TO_RUN,
    "orjson",
    "redis",
    "redisflow.client",
    "redisflow.persistence",
    "taskflow.atom",
    *(f"redisflow.cli.{home.partition('.')[0]}" for home in HOMES.values()),
)
#: Nobody listens there; giving up is soon done.
_NOWHERE = "unix:///nowhere?deadline_s=0.1"


def imported(*words: str, **env: str) -> set[str]:
    """Run the program, and give what it has imported in the end."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words],
        env={**os.environ, "REDISFLOW_URL": _NOWHERE, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert "Traceback" not in done.stderr
    return set(done.stderr.partition("\nmodules:\n")[2].split())


def test_the_version_needs_next_to_nothing():
    """Neither rich nor a client of Redis nor any command is imported for it."""
    found = imported("--version")
    assert "redisflow.cli.app" in found
    assert not found & {*_TO_LOOK, "rich"}


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--help"], {}),
        ([], {"COMP_WORDS": "redisflow w", "COMP_CWORD": "1"}),
    ],
)
def test_lists_of_commands_import_no_command(words, env):
    """The help, and a shell that completes the name of one, do without."""
    if env:
        env = {**env, "_REDISFLOW_COMPLETE": "complete_bash"}
    found = imported(*words, **env)
    assert "redisflow.cli.app" in found
    assert not found & {*_TO_LOOK}


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["show", "nightly"],
        ["tree", "nightly"],
        ["graph", "nightly"],
        ["why", "nightly"],
        ["tail", "nightly"],
        ["workers"],
        ["keys", "nightly"],
        ["locks"],
    ],
)
def test_looking_needs_no_engine(words):
    """What runs flows is not imported by commands that read."""
    found = imported(*words)
    assert {"redis", f"redisflow.cli.{words[0]}"} <= found
    assert not found & {*_TO_RUN}


@pytest.mark.parametrize("name", HOMES)
def test_lists_say_what_the_command_says(name):
    """What was read from a module's source is the help of the command."""
    command = Deferred(name, HOMES[name])
    command.describe()
    assert command.help
    assert command.help == command.imported.help
    assert command.imported.name == name
    assert command.imported.epilog
