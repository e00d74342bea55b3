"""Flows whose servers change under them: nothing that was lost is ever mixed in."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.scenarios import Stage
from tests.support.servers import KINDS
from tests.support.topologies import Watched, cut_tail
from tests.support.verdict import broken_after_loss, forgotten
from tests.support.workloads import MIXED_ATOMS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

LEASE_S = 8.0
WORKERS = 3


@pytest.fixture(params=KINDS)
def watched(request, tmp_path):
    """Start a primary, its replica and three sentinels."""
    with Watched(request.param, tmp_path) as servers:
        yield servers


def begun(stage):
    """Count the tasks that have begun so far."""
    return sum(note.phase == "begin" for note in stage.notes)


def after(stage, count):
    """Wait until so many more tasks have begun."""
    wanted = begun(stage) + count
    eventually(lambda: begun(stage) >= wanted, 60)


def successes(folder):
    """Count how often workers were told that the success of a task is recorded."""
    return Counter(
        name for file in folder.glob("*.acks") for name in file.read_text().split()
    )


def run_through(stage, admin, disturb, **options):
    """Run a flow of 200 atoms; ``disturb`` does something to its servers meanwhile.

    Returns:
        The flow, the stage as it is afterwards, and how often each success was told.
    """
    with stage.crew("mixed", LEASE_S) as crew:
        for _ in range(WORKERS):
            crew.start(**options)
        after(stage, 30)
        disturb()
        reports = [member.report(90) for member in crew.members]
    told = successes(stage.folder)
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * WORKERS
    stage = dataclasses.replace(stage, admin=admin)
    flow = stage.flow
    assert len(flow.atoms) == MIXED_ATOMS
    assert flow.fields["state"] == "SUCCESS"
    broken = broken_after_loss(flow, stage.notes)
    assert not broken, "\n".join(broken)
    return flow, stage, told


def test_primary_is_killed(watched, tmp_path):
    """Workers follow to the replica; the flow counts one more epoch."""
    stage = Stage(watched.url, watched.primary.client, tmp_path)

    flow, _stage, told = run_through(
        stage, watched.replica.client, watched.primary.kill
    )

    assert watched.failed_over
    assert flow.fields["epoch"] == "2"
    assert set(told) == set(flow.atoms)


def test_acknowledged_work_is_lost(watched, tmp_path):
    """What the replica never heard of is found out, and done once more."""
    stage = Stage(watched.url, watched.primary.client, tmp_path)

    def lose():
        watched.cut_link()
        after(stage, 30)
        watched.primary.kill()

    flow, stage, told = run_through(stage, watched.replica.client, lose)

    assert watched.failed_over
    assert flow.fields["epoch"] == "2"
    assert len(forgotten(flow, stage.notes)) >= 20
    assert sum(told.values()) > MIXED_ATOMS


def test_replicated_work_is_not_lost(watched, tmp_path):
    """With durability="replicated" each success that was told of stays one."""
    stage = Stage(watched.url, watched.primary.client, tmp_path)

    def lose():
        watched.cut_link()
        eventually(lambda: revision(watched.primary) > revision(watched.replica))
        watched.primary.kill()

    def revision(server):
        return int(server.client.hget(stage.keys.flow, "rev"))

    # There is no replica afterwards: what is left to do cannot be confirmed.
    with stage.crew("mixed", LEASE_S) as crew:
        for _ in range(WORKERS):
            crew.start(durability="replicated", url=f"{watched.url[:-2]}4")
        after(stage, 30)
        lose()
        codes = [member.report(90)["error"] for member in crew.members]
    told = successes(tmp_path)
    assert codes == ["Unavailable"] * WORKERS
    assert watched.failed_over
    states = dataclasses.replace(stage, admin=watched.replica.client).flow.states
    assert {states[name] for name in told} == {"SUCCESS"}
    assert len(told) >= 20
    with stage.crew("mixed", LEASE_S) as crew:
        assert crew.start().report(90)["outcome"] == "SUCCESS"
    told = successes(tmp_path)
    flow = dataclasses.replace(stage, admin=watched.replica.client).flow
    assert not broken_after_loss(flow, stage.notes)
    # What was not confirmed was told to nobody, and is not done again either.
    assert set(told.values()) == {1}
    assert len(told) >= MIXED_ATOMS - WORKERS


def test_zombie_primary(watched, tmp_path):
    """One that was frozen and goes on after its successor has come does no harm."""
    stage = Stage(watched.url, watched.primary.client, tmp_path)

    def freeze():
        watched.pause()
        eventually(lambda: watched.failed_over, 30)
        watched.wake()
        after(stage, 20)  # workers go on with it: sentinels take seconds to tell it
        watched.demote()

    flow, stage, _told = run_through(stage, watched.replica.client, freeze)

    assert watched.failed_over
    assert int(flow.fields["epoch"]) >= 2
    assert len(forgotten(flow, stage.notes)) >= 20


@pytest.fixture(params=KINDS)
def appending(request, tmp_path):
    """Start a server that appends to a file."""
    server = OwnServer(request.param, tmp_path / "server", "--appendonly", "yes")
    yield server
    server.close()


def test_end_of_the_file_is_lost(appending, tmp_path, draw):
    """As after a power cut: whole scripts are missing, and done once more."""
    stage = Stage(f"{appending.url}?deadline_s=20", appending.client, tmp_path)
    lost = []

    def cut():
        for _ in range(2):
            appending.kill()
            lost.append(cut_tail(appending, draw.randrange(1_000, 20_000)))
            appending.start()
            after(stage, 20)

    flow, stage, told = run_through(stage, appending.client, cut)

    assert len(appending.run_ids) == 3
    assert sum(lost) >= 2_000
    assert flow.fields["epoch"] == "3"
    assert forgotten(flow, stage.notes)
    assert set(told) == set(flow.atoms)
