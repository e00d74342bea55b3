"""The examples do what they say, on real servers and with several workers."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from taskflow import states

from redisflow.engine.factories import FactoryCall, find_factory
from redisflow.engine.processes import LocalRun

pytestmark = pytest.mark.one_server

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDCOUNT = f"{EXAMPLES}/wordcount.py"
PROVISION = f"{EXAMPLES}/provision.py"


@pytest.fixture(autouse=True)
def _workers_find_redisflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers import the redisflow that is tested here."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES.parent), *sys.path]))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a directory with a few plain files in folders."""
    root = tmp_path / "texts"
    for number in range(12):
        folder = root / f"folder-{number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        text = "The cat\nsat on THE mat. " * number + f"word{number} naïve\n"
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def odd_tree(tree: Path) -> Iterator[Path]:
    """Add what real directories have besides readable text."""
    (tree / "binary").write_bytes(b"not\0text")
    (tree / "empty").write_bytes(b"")
    (tree / "empty.gz").write_bytes(b"")
    (tree / "latin-1.txt").write_bytes("caf\u00e9 \u00fcber".encode("latin-1"))
    (tree / "broken-link").symlink_to(tree / "nowhere")
    (tree / "link").symlink_to(tree / "folder-1" / "1.txt")
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    (tree / os.fsdecode(b"name-\xff.txt")).write_text("oddly named")
    packed = gzip.compress(b"packed words " * 1000, mtime=0)
    (tree / "packed.gz").write_bytes(packed)
    (tree / "packed-binary.gz").write_bytes(gzip.compress(b"\0\1\2"))
    (tree / "truncated.gz").write_bytes(packed[:-9])
    (tree / "damaged.gz").write_bytes(packed[:12] + b"\xff\xff" + packed[14:])
    (tree / "plain.gz").write_text("not packed at all")
    closed = tree / "closed.txt"
    closed.write_text("secret")
    closed.chmod(0)
    closed_folder = tree / "closed-folder"
    closed_folder.mkdir()
    closed_folder.chmod(0)
    yield tree
    closed_folder.chmod(0o700)


def plain_count(path: Path, **kwargs: Any) -> dict[str, Any]:
    """Count in this process, with the example's own function for that."""
    count: Any = find_factory(f"{WORDCOUNT}:count_words")
    counted: dict[str, Any] = count(str(path), **kwargs)
    return counted


def run(url: str, reference: str, **kwargs: Any) -> tuple[str, dict[str, Any]]:
    """Run an example with two workers; returns its state and its results."""
    call = FactoryCall.of(reference, kwargs=kwargs)
    with LocalRun(call, workers=2, url=url) as local:
        return local.run(), local.results()


def words_of(results: dict[str, Any], name: str) -> dict[str, int]:
    """Return what one chunk has counted; nothing if the result is no chunk's."""
    return results[name]["words"] if name.startswith("count-") else {}


def history(cloud: Path) -> tuple[list[str], list[str]]:
    """Return the ids of what was made in a cloud, and of what was removed again."""
    changes = find_factory(f"{PROVISION}:Cloud")(cloud).history()  # type: ignore[union-attr]
    return tuple(  # type: ignore[return-value]
        [entry["id"] for entry in changes if entry["change"] == change]
        for change in ("create", "delete")
    )


def test_words_are_counted_as_by_one_process(url: str, tree: Path) -> None:
    """Chunks counted by several workers add up to the plain count."""
    state, results = run(url, WORDCOUNT, path=str(tree), chunks=5, top=4)
    assert state == states.SUCCESS
    assert results["total"] == plain_count(tree, top=4)
    assert results["total"]["top"] == [
        ["the", 132],
        ["cat", 66],
        ["mat", 66],
        ["on", 66],
    ]
    assert results["total"]["files"] == 12


def test_odd_files_are_counted_or_reported(url: str, odd_tree: Path) -> None:
    """Whatever stands in a directory is counted, or skipped and reported."""
    state, results = run(url, WORDCOUNT, path=str(odd_tree), chunks=30)
    total = results["total"]
    assert state == states.SUCCESS
    assert total == plain_count(odd_tree)
    assert total["skipped_binary"] == 2
    always = {"damaged.gz", "plain.gz", "truncated.gz"}
    if os.geteuid() != 0:  # root reads it all the same
        always |= {"closed.txt", "closed-folder/"}
    assert set(total["unreadable"]) == always
    assert total["skipped_unreadable"] == len(always)
    words = {word for name in results for word in words_of(results, name)}
    assert {"café", "über", "oddly", "packed"} <= words


def test_a_limit_holds_for_all_workers(tree: Path) -> None:
    """A limited count takes the first files in order, and says that it is limited."""
    everything, some = plain_count(tree), plain_count(tree, limit_mb=0.0005)
    assert some["limited"]
    assert not everything["limited"]
    assert 0 < some["files"] < everything["files"]
    assert some["bytes"] <= 500


def test_a_wrong_path_fails_the_flow(url: str, tmp_path: Path) -> None:
    """A path that is no directory is a failure of the first task, with the reason."""
    call = FactoryCall.of(WORDCOUNT, kwargs={"path": str(tmp_path / "nowhere")})
    with LocalRun(call, workers=1, url=url) as local:
        assert local.run() == states.REVERTED
        failures = local.engine.storage.get_execute_failures()
    assert list(failures) == ["list-files"]
    assert failures["list-files"].check("NotADirectoryError")


def test_a_saga_is_undone_in_reverse(url: str, tmp_path: Path) -> None:
    """Each step that was done before the failure is undone once, the last one first."""
    state, _ = run(url, PROVISION, cloud=str(tmp_path / "cloud"), step_s=0)
    created, deleted = history(tmp_path / "cloud")
    assert state == states.REVERTED
    assert [name.partition("-")[0] for name in created] == ["address", "volume"]
    assert deleted == created[::-1]
    assert list((tmp_path / "cloud").iterdir()) == [tmp_path / "cloud" / "cloud.log"]


def test_a_saga_without_failure_stays(url: str, tmp_path: Path) -> None:
    """With the failure switched off all four steps are done and nothing is undone."""
    kwargs = {"cloud": str(tmp_path / "cloud"), "fail": False, "step_s": 0}
    state, results = run(url, PROVISION, **kwargs)
    created, deleted = history(tmp_path / "cloud")
    assert state == states.SUCCESS
    assert list(results.values()) == created
    assert len(created) == 4
    assert not deleted


def test_a_repeated_request_changes_nothing(tmp_path: Path) -> None:
    """The cloud makes, and removes, one thing for each idempotency key."""
    cloud: Any = find_factory(f"{PROVISION}:Cloud")(tmp_path)
    first = cloud.create("volume", key="k", made_from={})
    assert cloud.create("volume", key="k", made_from={}) == first
    cloud.delete(first, key="d")
    cloud.delete(first, key="d")
    assert [entry["change"] for entry in cloud.history()] == ["create", "delete"]
    assert cloud.things() == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_goes_as_it_should(url: str) -> None:
    """A worker dies at work, another takes over, counts agree, a saga is undone."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py", "--url", url],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed = re.search(r"kill -9 (\d+)\n.*at work on (count-\d+)", done.stdout)
    assert killed
    assert f"took {killed[2]} over from worker {killed[1]}." in done.stdout
    assert re.search(r"\d words in \d[\d,]* files: the same\.", done.stdout)
    assert "The flow ended in REVERTED:" in done.stdout
    assert "left over: nothing" in done.stdout
    assert "WRONG" not in done.stdout
