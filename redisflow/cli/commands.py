"""The commands of the program, each imported when it is asked for.

A command needs TaskFlow and a client of Redis, which take their time to import; who
wants the version, the list of commands, or a word completed, is not to wait for them.
So the program has a `Deferred` in the place of each, which gives way to the command
itself when that is to be run, to be completed, or to tell its own help.

What a list shows beside its name is the command's docstring all the same: it is read
from the source of its module.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

#: Name of a command -> its module, and its function there, in the order of the help.
HOMES: Mapping[str, str] = {
    "run": "run.run",
    "submit": "submit.submit",
    "worker": "worker.worker",
    "ls": "ls.ls",
    "show": "show.show",
    "tree": "tree.tree",
    "graph": "graph.graph",
    "why": "why.why",
    "tail": "tail.tail",
    "workers": "workers.workers",
    "keys": "keys.keys",
    "suspend": "control.suspend",
    "resume": "control.resume",
    "cancel": "control.cancel",
    "reset": "edit.reset",
    "set-result": "edit.set_result_of",
    "rm": "remove.rm",
    "gc": "remove.gc",
    "export": "move.export",
    "import": "move.import_file",
    "migrate": "migrate.migrate_books",
    "doctor": "doctor.doctor",
    "bench": "bench.bench",
    "locks": "locks.locks",
    "server": "server.server",
}


def paragraphs(text: str | None) -> str:
    """Join the lines of each paragraph: help flows to the width of the terminal."""
    found = re.split(r"\n\s*\n", (text or "").strip())
    return "\n\n".join(" ".join(part.split()) for part in found)


class Deferred(TyperCommand):
    """Stands in the program for a command that has not been imported.

    Args:
        name: of the command.
        home: its module, and its function there.
    """

    def __init__(self, name: str, home: str) -> None:
        super().__init__(name)
        self._name = name
        self._module, _, self._function = home.partition(".")

    def describe(self) -> None:
        """Learn what a list of commands shows of it."""
        if self.help is None:
            source = Path(__file__).with_name(f"{self._module}.py").read_bytes()
            for node in ast.parse(source).body:
                if isinstance(node, ast.FunctionDef) and node.name == self._function:
                    self.help = paragraphs(ast.get_docstring(node))

    # Typed as loosely as it is: the class of contexts has its home where typer's
    # version wants it.
    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Make the context of the command itself: it takes over from here."""
        return self.imported.make_context(*args, **extra)

    @functools.cached_property
    def imported(self) -> Any:
        """The command itself.

        A module that has a Typer of its own, ``app``, is a command with commands. Where
        it has several commands, each epilog is named for its own.
        """
        module = importlib.import_module(f"redisflow.cli.{self._module}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, rich_markup_mode="rich")
            function = getattr(module, self._function)
            own = f"{self._name.replace('-', '_').upper()}_EPILOG"
            epilog = getattr(module, own, None) or module.EPILOG
            app.command(
                self._name, help=paragraphs(function.__doc__), epilog=paragraphs(epilog)
            )(function)
        return typer.main.get_command(app)


class Commands(TyperGroup):
    """All of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, home in HOMES.items():
            self.add_command(Deferred(name, home))

    def list_commands(self, ctx: Any) -> list[str]:
        """List their names; what is shown with them has been read then."""
        for command in self.commands.values():
            if isinstance(command, Deferred):
                command.describe()
        return super().list_commands(ctx)
