"""docs/cli.md says what the program's own help says."""

from __future__ import annotations

import runpy
from pathlib import Path

import typer

from redisflow.cli.app import app

ROOT = Path(__file__).parents[2]


def test_the_page_is_current():
    """It is what `make reference` writes now."""
    written = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))["reference"]()
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == written, "run: make reference"
    assert "## `redisflow why`" in page


#: Commands without an output of their own: each says why.
_NO_JSON = {
    "graph": "it has forms of its own",
    "export": "what it writes is lines of JSON",
    "worker": "it prints nothing; --log-format json is its log",
    "server": "it runs in the foreground; its status has",
}


def test_every_command_says_it_to_programs_too():
    """Whatever prints takes -o human, json or jsonl; what acts has --dry-run."""
    deferred = typer.main.get_command(app).commands
    commands = {name: each.imported for name, each in deferred.items()}
    assert len(commands) > 20
    for name, command in commands.items():
        options = {option for each in command.params for option in each.opts}
        assert ("--output" in options) is (name not in _NO_JSON), name
        if name in ("suspend", "resume", "cancel", "reset", "set-result"):
            assert {"--dry-run", "--reason", "--yes"} <= options, name
        if name in ("rm", "gc"):
            assert {"--dry-run", "--yes", "--state", "--older", "--name"} <= options
        if name in ("ls", "show", "tree", "why", "workers", "locks"):
            assert "--watch" in options, name
    breaking = {
        option for p in commands["locks"].commands["break"].params for option in p.opts
    }
    assert {"--dry-run", "--reason", "--yes", "--output"} <= breaking
