"""TaskFlow's own jobboard and conductors, with redisflow as their persistence.

The flow, the conductors and the board are those of ``examples/conductors.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from taskflow import exceptions, states
from taskflow.conductors.backends.impl_blocking import BlockingConductor
from taskflow.jobs import backends as boards
from taskflow.jobs.backends.impl_redis import RedisJobBoard

from redisflow import RedisBackend, embedded
from redisflow.operations import Subject, cancel
from tests.support.eventually import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [pytest.mark.slow, pytest.mark.one_server]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the example by the name that its jobs know it by."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES.parent), *sys.path]))
    return importlib.import_module("conductors")


@pytest.fixture
def backend(url: str) -> Iterator[RedisBackend]:
    """Open a backend on the test's server."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        yield backend


@pytest.fixture
def board(example: Any, backend: RedisBackend) -> Iterator[RedisJobBoard]:
    """Open the example's board on the test's server."""
    with contextlib.closing(example.open_board(backend)) as board:
        yield board


@dataclass(frozen=True)
class Scene:
    """What a test with conductors needs.

    Attributes:
        example: the module of the example.
        backend: on the test's server.
        board: on the same.
        url: of that server and the test's namespace.
    """

    example: Any
    backend: RedisBackend
    board: RedisJobBoard
    url: str


@pytest.fixture
def scene(example: Any, backend: RedisBackend, board: RedisJobBoard, url: str) -> Scene:
    """Bring together what a test with conductors needs."""
    return Scene(example, backend, board, url)


def ended(job: Any) -> bool:
    """Tell whether a job is done with, and neither claimed nor thrown away."""
    board = job.board
    assert job.state == states.COMPLETE
    assert board.job_count == 0
    assert board.find_owner(job) is None
    return not board._client.hexists(board.trash_key, job.key)


def flow_state(backend: RedisBackend, job: Any) -> str:
    """Return the state of a job's flow."""
    return str(backend.get_connection().get_flow_details(job.book_uuid).state)


def counts(example: Any, folder: Path, what: str) -> Counter[str]:
    """Count how often each task began or ended."""
    return Counter(name for each, name, _ in example.notes(folder) if each == what)


@pytest.mark.parametrize("engine", ["redisflow", "serial"])
def test_a_conductor_dies_and_another_finishes_its_job(
    scene: Scene, engine: str, tmp_path: Path
) -> None:
    """What the dead one had done is not done again, and the job leaves the board."""
    example, backend, board = scene.example, scene.backend, scene.board
    (tmp_path / "hold").touch()
    job = example.post(backend, scene.board, tmp_path)
    with example.conductors(scene.url, engine, 2) as processes:
        victim = example.wait_for_copy(tmp_path)
        assert job.state == states.CLAIMED
        assert f":{victim}:" in board.find_owner(job)
        processes[victim].kill()
        processes[victim].wait()
        assert f":{victim}:" in board.find_owner(job)
        (tmp_path / "hold").unlink()
        assert eventually(lambda: ended(job), within_s=30)
        (other,) = processes.keys() - {victim}
        assert processes[other].wait(20) == 0
    assert flow_state(backend, job) == states.SUCCESS
    assert counts(example, tmp_path, "begin") == {"reserve": 1, "copy": 2, "publish": 1}
    assert [note for note in example.notes(tmp_path) if note[0] == "end"] == [
        ("end", "reserve", victim),
        ("end", "copy", other),
        ("end", "publish", other),
    ]


def test_a_conductor_that_is_told_to_stop_hands_its_job_on(
    scene: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It finishes the task that it is at; another does the rest, and nothing twice."""
    example, backend = scene.example, scene.backend
    (tmp_path / "hold").touch()
    job = example.post(backend, scene.board, tmp_path)
    with example.conductors(scene.url, "redisflow", 1) as processes:
        ((first, process),) = processes.items()
        assert example.wait_for_copy(tmp_path) == first
        process.terminate()
        eventually(lambda: "ends as soon as" in capfd.readouterr().err)
        with example.conductors(scene.url, "redisflow", 1) as others:
            (second,) = others
            (tmp_path / "hold").unlink()
            assert eventually(lambda: ended(job), within_s=30)
            assert process.wait(20) == 0
    assert flow_state(backend, job) == states.SUCCESS
    assert [note[1:] for note in example.notes(tmp_path) if note[0] == "end"] == [
        ("reserve", first),
        ("copy", first),
        ("publish", second),
    ]


def test_a_cancelled_flow_is_not_run_again(scene: Scene, tmp_path: Path) -> None:
    """It is reverted, and that is the end of its job."""
    example, backend = scene.example, scene.backend
    (tmp_path / "hold").touch()
    job = example.post(backend, scene.board, tmp_path)
    with example.conductors(scene.url, "redisflow", 1) as processes:
        ((_pid, process),) = processes.items()
        example.wait_for_copy(tmp_path)
        cancel(Subject(backend, job.book_uuid), reason="wrong input")
        (tmp_path / "hold").unlink()
        assert eventually(lambda: ended(job), within_s=30)
        assert process.wait(20) == 0
    assert flow_state(backend, job) == states.REVERTED
    assert counts(example, tmp_path, "begin") == {"reserve": 1, "copy": 1}


def test_a_conductor_of_taskflow_runs_this_engine_too(
    scene: Scene, tmp_path: Path
) -> None:
    """Its jobs end as they do with any other engine."""
    job = scene.example.post(scene.backend, scene.board, tmp_path)
    conductor = BlockingConductor(
        "plain", scene.board, persistence=scene.backend, engine="redisflow"
    )
    conductor.notifier.register("job_consumed", lambda _event, **_: conductor.stop())
    working = threading.Thread(target=conductor.run)
    working.start()
    working.join(30)
    assert not working.is_alive()
    assert ended(job)
    assert flow_state(scene.backend, job) == states.SUCCESS


@pytest.fixture
def job(example: Any, board: RedisJobBoard, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Claim a job, on a board whose claims are short."""
    monkeypatch.setattr(example, "LEASE_S", 0.4)
    job = board.post("a job")
    board.claim(job, "me")
    return job


def test_a_claim_is_renewed_while_its_job_is_worked_on(
    example: Any, board: RedisJobBoard, job: Any
) -> None:
    """A kept claim outlives its lease; left alone it runs out."""
    ttls = []

    def renewed() -> bool:
        ttls.append(job.expires_in())
        return sum(now > before for before, now in itertools.pairwise(ttls)) > 3

    with example.ClaimKeeper(job, "me", lost=pytest.fail):
        assert eventually(renewed)
        assert board.find_owner(job) == "me"
    assert eventually(lambda: job.state == states.UNCLAIMED)


def test_a_claim_that_ran_out_is_taken_again(
    example: Any, board: RedisJobBoard, job: Any
) -> None:
    """Who was silent for too long claims its job again, if nobody else has."""
    with example.ClaimKeeper(job, "me", lost=pytest.fail):
        board._client.delete(job.owner_key)
        assert eventually(lambda: board.find_owner(job) == "me")


def test_a_claim_that_somebody_else_has_is_lost(
    example: Any, board: RedisJobBoard, job: Any
) -> None:
    """Who was silent for too long is told that somebody else has its job."""
    lost = threading.Event()
    with example.ClaimKeeper(job, "me", lost=lost.set):
        board._client.set(job.owner_key, "another")
        assert lost.wait(10)
        assert board.find_owner(job) == "another"


def test_a_job_that_is_gone_needs_no_claim(
    example: Any, board: RedisJobBoard, job: Any
) -> None:
    """The keeper of a job that was consumed ends without a word."""
    with example.ClaimKeeper(job, "me", lost=pytest.fail) as keeper:
        board.consume(job, "me")
        assert eventually(lambda: not keeper._thread.is_alive())


def test_the_board_is_on_the_server_of_the_backend(example: Any, server: Any) -> None:
    """The embedded server serves a board, too, through its socket."""
    if embedded.find_binary() is None:
        pytest.skip("no server to embed")
    try:
        with (
            contextlib.closing(RedisBackend()) as backend,
            contextlib.closing(example.open_board(backend)) as board,
        ):
            assert board.job_count == 0
            assert board.namespace == "redisflow-jobs"
    finally:
        embedded.stop()


# What docs/jobboard.md says of TaskFlow's own classes


def test_a_claim_of_a_plain_conductor_has_no_end(
    board: RedisJobBoard, backend: RedisBackend
) -> None:
    """TaskFlow's conductors claim without an expiry, so a dead one keeps its job."""
    job = board.post("a job")
    RedisJobBoard.claim(board, job, "dead")
    assert job.expires_in() == -1
    with pytest.raises(exceptions.UnclaimableJob):
        board.claim(job, "another")


def test_a_name_that_is_used_again_renews_the_claim_of_the_dead(
    board: RedisJobBoard,
) -> None:
    """Claiming under the same name is refused, and makes the old claim last."""
    job = board.post("a job")
    board.claim(job, "me", expiry=1)
    with pytest.raises(exceptions.UnclaimableJob):
        board.claim(job, "me", expiry=1000)
    assert job.expires_in() > 900


def test_an_owner_that_is_nobody_is_an_error(board: RedisJobBoard) -> None:
    """TaskFlow's board cannot say that nobody has claimed a job; the example's can."""
    job = board.post("a job")
    assert board.find_owner(job) is None
    with pytest.raises(TypeError):
        RedisJobBoard.find_owner(board, job)


def test_a_url_of_a_board_is_read_in_part_only() -> None:
    """Host and database of a board's URL are ignored: use its separate settings."""
    board = boards.fetch("a board", "redis://db1.example:7000/3")
    with contextlib.closing(board):
        options = board._client.connection_pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("localhost", 7000, 0)
