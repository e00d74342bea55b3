"""``redisflow export`` and ``redisflow import``: a whole run, in a file."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import typer

from redisflow.cli.options import (
    DryRunOption,
    Output,
    OutputOption,
    RunArgument,
    Url,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import Progress, discard_output, say, whole_output
from redisflow.looking.flows import find_flow
from redisflow.looking.texts import printable
from redisflow.moving import Checked, Exported, check_export, export_run, import_run
from redisflow.moving.importing import place_of
from redisflow.persistence import RedisBackend

EXPORT_EPILOG = """\
[bold]Examples[/bold]

redisflow export nightly -f nightly.jsonl

redisflow export nightly | jq -r 'select(.kind == "atom") | .fields | .name, .state'

The file has what stands in Redis: results, journal, structure; encrypted values stay
encrypted. Workers and the lock are no part of what is imported.

[bold]Exit status[/bold]: 0 written, 2 usage or no such run, 4 server, 5 the run changed
each time that it was read.
"""
IMPORT_EPILOG = """\
[bold]Examples[/bold]

redisflow import nightly.jsonl

redisflow import nightly.jsonl --run-id nightly-copy --dry-run

redisflow export nightly | redisflow import - --url redis://elsewhere:6379/0

A run that is there is never touched. One that was left to workers goes on where workers
serve; others go on when they are run again with the same run id.

[bold]Exit status[/bold]: 0 imported, 2 usage, or a file that is no whole export, 4
server, 5 the run, or a part of it, is there already.
"""

_STDIN = "-"


def export(
    run: RunArgument,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="Write into this file, which is there when all of it is written."
            " Without it: standard output.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Write a whole run as lines of JSON: all that it takes to go on elsewhere.

    The run is written as it was at one moment. One that is at work is read again until
    it stands still for long enough; suspend it first if it never does.
    """
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        uuid = find_flow(backend, run)
        if file is None:
            with tempfile.TemporaryFile() as stream:
                found = export_run(backend, uuid, stream, run_id=run)
                _copy_out(stream)
        else:
            with _whole_file(file) as stream:
                found = export_run(backend, uuid, stream, run_id=run)
    where = "" if file is None else f" into {printable(str(file))}"
    say(f"exported {_told(found)}, {found.size:,} bytes{where}")


def import_file(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="What redisflow export wrote; - is standard input.",
            show_default=False,
        ),
    ],
    *,
    run_id: Annotated[
        str | None,
        typer.Option(
            "--run-id",
            metavar="ID",
            help="Another name for the run. Without it: the one that it had.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Make a run of a file that redisflow export wrote.

    The whole file is checked first, and nobody sees the run before all of it is there.
    What workers held can be taken again; who imported it, and from where, stands in the
    journal.
    """
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(_opened(file))
        checked = check_export(stream)
        stream.seek(0)
        backend = stack.enter_context(contextlib.closing(RedisBackend.from_url(url)))
        if dry_run:
            place, name = place_of(backend, checked, run_id)
            document = _would(checked, place, name)
            say(f"would import {_label(document)}: {_size(checked)}")
        else:
            progress = Progress()

            def told(lines: int) -> None:
                progress.tell(lambda: f"{lines:,} of {checked.lines:,} lines")

            source = "standard input" if file == _STDIN else Path(file).name
            done = import_run(
                backend,
                stream,
                checked,
                run_id=run_id,
                source=f"{source}, exported from {checked.origin}"
                f" by {checked.exported_by}",
                told=told,
            )
            document = dataclasses.asdict(done)
            say(f"imported {_label(document)}: {_size(checked)}{_next(document)}")
    if output is not Output.HUMAN:
        with whole_output() as out:
            out.write(json_text({**document, "dry_run": dry_run}, output))


def _told(found: Exported) -> str:
    label = printable(found.run_id or found.flow_uuid)
    return (
        f"run {label} ({found.state}): {found.atoms:,} atoms,"
        f" {found.entries:,} entries of the journal"
    )


def _would(checked: Checked, place: str, name: str | None) -> dict[str, Any]:
    return {
        "run_id": name,
        "flow_uuid": place,
        "name": checked.name,
        "state": checked.state,
        "atoms": len(checked.atoms),
        "entries": checked.entries,
    }


def _label(document: dict[str, Any]) -> str:
    label = printable(document["run_id"] or document["flow_uuid"])
    return f"run {label} ({document['state']})"


def _size(checked: Checked) -> str:
    return (
        f"{len(checked.atoms):,} atoms, {checked.entries:,} entries of the journal,"
        f" {checked.results:,} results"
    )


def _next(document: dict[str, Any]) -> str:
    """Tell what becomes of the run now."""
    said = ""
    if document["given_back"]:
        said += f"; {document['given_back']:,} items that workers held can be taken"
    if document["submitted"]:
        said += "; it is left to workers that serve here"
    return said


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, which gets its own when it is whole.

    A link leads to the file that is written; into a pipe or a device it is copied.

    Raises:
        UsageProblem: it cannot be written there.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        with tempfile.TemporaryFile() as spool:
            yield spool
            spool.seek(0)
            try:
                with path.open("wb") as stream:
                    shutil.copyfileobj(spool, stream)
            except OSError as error:
                raise UsageProblem(f"cannot write {path}: {error.strerror}") from error
        return
    try:
        number, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".part", dir=path.parent
        )
    except OSError as error:
        raise UsageProblem(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(number, "w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise UsageProblem(f"cannot write {path}: {error.strerror}") from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """Open a file that can be read twice.

    Raises:
        UsageProblem: it cannot be read.
    """
    if file == _STDIN:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.seek(0)
            yield cast(BinaryIO, spool)
        return
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise UsageProblem(f"cannot read {file}: {error.strerror}") from error
        if not stream.seekable():
            raise UsageProblem(f"{file} can be read only once: give it as -")
        yield stream


def _copy_out(stream: BinaryIO) -> None:
    """Copy what was written to standard output; whoever reads that may have gone."""
    stream.seek(0)
    try:
        shutil.copyfileobj(stream, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
