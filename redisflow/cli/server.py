"""``redisflow server``: the embedded server of this user."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated

import typer

from redisflow import embedded
from redisflow.cli.commands import paragraphs
from redisflow.cli.options import Output, OutputOption
from redisflow.cli.problems import Status
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import say, whole_output

EPILOG = """\
[bold]Examples[/bold]

redisflow server

redis-cli -s "$(redisflow server status --socket)"

Without a URL every command uses this server, and starts it in the background if it
does not run. That one ends when nobody has been connected for ten minutes, or for the
seconds in REDISFLOW_EMBEDDED_IDLE_S; one in the foreground stays. Its files are in
$XDG_STATE_HOME/redisflow (~/.local/state/redisflow); where that is too long a path for
a socket, the socket is under $XDG_RUNTIME_DIR, $TMPDIR or /tmp.

[bold]Exit status[/bold]: 0 ended as it was told to, 1 the server died, 2 no server
program, or no place for its files, 4 it did not start, 5 one runs already.
"""

app = typer.Typer(
    name="server",
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="rich",
)


@app.callback(epilog=paragraphs(EPILOG))
def server(context: typer.Context) -> None:
    """Run the embedded server in the foreground; or look at it, or end it."""
    if context.invoked_subcommand is not None:
        return
    say(f"the embedded server runs until Ctrl-C; its files: {embedded.state_dir()}")
    raise typer.Exit(embedded.foreground())


@app.command()
def stop(*, output: OutputOption = Output.HUMAN) -> None:
    """End the embedded server; its data stays."""
    ended = embedded.stop()
    say("it has ended" if ended else "no embedded server was running")
    if output is not Output.HUMAN:
        with whole_output() as stream:
            stream.write(json_text({"ended": ended}, output))


@app.command()
def status(
    *,
    socket: Annotated[
        bool, typer.Option("--socket", help="Print the path of its socket, no more.")
    ] = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Tell whether the embedded server runs, and where; starts nothing.

    Ends with 4 if it does not run.
    """
    found = embedded.status()
    if found is None:
        say("the embedded server does not run")
        raise typer.Exit(Status.SERVER)
    fields = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in dataclasses.asdict(found).items()
    }
    with whole_output() as stream:
        if socket:
            stream.write(f"{found.socket_path}\n")
        elif output is not Output.HUMAN:
            stream.write(json_text(fields, output))
        else:
            for name, value in fields.items():
                stream.write(f"{name.replace('_', ' '):12} {value}\n")
