"""``redisflow export`` and ``import``, as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.cli import move
from redisflow.cli.terminal import Progress

ROOT = Path(redisflow.__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


class Give(task.Task):
    """A task with a result."""

    def execute(self) -> str:
        """Give its name."""
        return self.name


def make_flow() -> linear_flow.Flow:
    """Make a flow of two tasks."""
    return linear_flow.Flow("f").add(Give("a", provides="x"), Give("b"))


@pytest.fixture
def away(url, namespace):
    """Name another place: a namespace beside the test's own."""
    return url.replace(namespace, f"{namespace}-away")


@pytest.fixture
def file(url, typed, tmp_path):
    """Export a run that has ended into a file."""
    redisflow.load(make_flow(), run_id="nightly", url=url).run()
    file = tmp_path / "nightly.jsonl"
    assert typed("export", "nightly", "-f", str(file))[0] == 0
    return file


def test_export_into_a_file(file, typed, tmp_path):
    """It tells what is in it, is for its owner alone, and has no half-made sibling."""
    status, out, err = typed("export", "nightly", "--file", str(file))
    assert (status, out) == (0, "")
    assert "exported run nightly (SUCCESS): 2 atoms, " in err
    assert f"{file.stat().st_size:,} bytes into {file}" in err
    assert [path.name for path in tmp_path.glob("*nightly*")] == ["nightly.jsonl"]
    assert file.stat().st_mode & 0o077 == 0


def test_export_into_what_is_no_file(file, typed, tmp_path):
    """A link stays one, and a pipe stays a pipe: what reads it gets the lines."""
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "target")
    os.mkfifo(pipe)
    assert typed("export", "nightly", "-f", str(link))[0] == 0
    lines = file.read_bytes().count(b"\n")
    assert (link.is_symlink(), link.read_bytes().count(b"\n")) == (True, lines)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        assert typed("export", "nightly", "-f", str(pipe))[0] == 0
        assert read.result(10).count(b"\n") == lines
    assert pipe.is_fifo()


def test_export_to_standard_output(file, typed):
    """The same lines, and nothing else there."""
    status, out, err = typed("export", "nightly")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (status, lines[0]["kind"], lines[-1]["kind"]) == (
        *(0, "redisflow-export"),
        "end",
    )
    assert (
        lines[1:-1]
        == [json.loads(each) for each in file.read_text().splitlines()][1:-1]
    )
    assert err.count("\n") == 1


def test_export_that_cannot_be_had(typed, url, tmp_path):
    """Status 2 for a run that is unknown, or a place where nothing can be written."""
    assert typed("export", "nobody")[0] == 2
    redisflow.load(make_flow(), run_id="nightly", url=url).run()
    status, _, err = typed("export", "nightly", "-f", str(tmp_path / "no" / "file"))
    assert (status, "cannot write" in err) == (2, True)
    (tmp_path / "folder").mkdir()
    status, _, err = typed("export", "nightly", "-f", str(tmp_path / "folder"))
    assert (status, "cannot write" in err, len([*tmp_path.iterdir()])) == (2, True, 1)


def test_import_elsewhere(file, typed, away):
    """It tells what came; the run is shown there, and its journal says from where."""
    status, out, err = typed("import", str(file), url=away)
    assert (status, out) == (0, "")
    assert "imported run nightly (SUCCESS): 2 atoms, " in err
    assert typed("doctor", "nightly", url=away)[0] == 0
    status, out, _ = typed("tail", "nightly", url=away)
    assert "act: import  reason: nightly.jsonl, exported from the server at 127" in out
    engine = redisflow.load(make_flow(), run_id="nightly", url=away)
    engine.run()
    assert engine.storage.fetch("x") == "a"


def test_import_as_json(file, typed):
    """A dry run says what would be, and does nothing."""
    words = ["import", str(file), "--run-id", "copy", "-o", "json"]
    status, out, err = typed(*words, "--dry-run")
    would = json.loads(out)
    assert (status, would["run_id"], would["dry_run"]) == (0, "copy", True)
    assert "would import run copy (SUCCESS)" in err
    assert typed("show", "copy")[0] == 2

    status, out, _ = typed(*words)
    done = json.loads(out)
    assert (status, done["run_id"], done["atoms"]) == (0, "copy", 2)
    assert done["flow_uuid"] == would["flow_uuid"]
    assert typed("show", "copy")[0] == 0


def test_import_of_what_is_there(file, typed, dumps):
    """Status 5, also for a dry run; nothing is changed."""
    before = dumps()
    for more in ([], ["--dry-run"]):
        status, out, err = typed("import", str(file), *more)
        assert (status, out) == (5, "")
        assert "import it under another name (--run-id)" in err
    assert dumps() == before


def test_import_of_what_is_no_export(file, typed, tmp_path, dumps):
    """Status 2, one line, and nothing is changed."""
    before = dumps()
    half = tmp_path / "half"
    half.write_bytes(file.read_bytes()[:-200])
    for name, said in (
        (str(half), "cut short"),
        ("/dev/null", "empty"),
        (str(tmp_path), "cannot read"),
        (str(tmp_path / "nothing"), "cannot read"),
        (__file__, "is no redisflow-export"),
    ):
        status, out, err = typed("import", name, "--run-id", "copy")
        assert (status, out, err.count("\n"), said in err) == (2, "", 1, True), name
    assert typed("import", str(file), "--run-id", "")[0] == 2
    assert dumps() == before


def test_a_long_import_tells_how_far_it_is(file, typed, away, monkeypatch):
    """Now and then, on standard error."""
    monkeypatch.setattr(move, "Progress", lambda: Progress(every_s=0))
    status, out, err = typed("import", str(file), url=away)
    lines = len(file.read_bytes().splitlines()) - 1
    assert (status, out) == (0, "")
    assert f"redisflow: 2 of {lines} lines\n" in err


def program(*words: str) -> list[str]:
    """Name the real program."""
    return [sys.executable, "-m", "redisflow.cli", *words]


def test_from_one_place_to_the_other_through_a_pipe(file, url, away):
    """As two programs; and a reader that goes early is no error."""
    environment: Any = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        program("export", "nightly", "--url", url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as export:
        done = subprocess.run(
            program("import", "-", "--url", away, "-o", "jsonl"),
            stdin=export.stdout,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    assert (done.returncode, export.returncode) == (0, 0), done.stderr
    assert json.loads(done.stdout)["run_id"] == "nightly"

    shell = f"{' '.join(program('export', 'nightly', '--url'))} '{url}' | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
