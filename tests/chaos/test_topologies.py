"""Flows whose servers change under them: nothing that was lost is ever mixed in."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from time import monotonic

import pytest
from redis.cluster import RedisCluster

import redisflow
from redisflow import RedisBackend
from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import FlowLost, Unavailable
from tests.support.append_only import PLACES, cut_at
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.scenarios import WORKLOADS, Stage
from tests.support.servers import KINDS
from tests.support.topologies import Cluster, Watched, is_up
from tests.support.verdict import broken_after_loss, broken_journal, forgotten
from tests.support.workloads import MIXED_ATOMS

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

LEASE_S = 8.0
WORKERS = 3
ROOT = Path(redisflow.__file__).parents[1]

#: A lease while one server of several stands still, and for how long it does.
LEASE_STILL_S = 2.0
STILL_S = 2.5 * LEASE_STILL_S
TASK_S = 0.35

#: How many transactions are lost with the end of a file, at least.
LOST = 20


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
    with stage.crew("mixed", LEASE_S, takes_s=0.03) as crew:
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
    with stage.crew("mixed", LEASE_S, takes_s=0.03) as crew:
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
    with stage.crew("mixed", LEASE_S, takes_s=0.03) as crew:
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
    # What each had claimed in time, and began only when the server woke, is known.
    assert len(forgotten(flow, stage.notes)) >= 20 - WORKERS


@pytest.fixture(params=KINDS)
def appending(request, tmp_path):
    """Start a server that appends to a file."""
    server = OwnServer(request.param, tmp_path / "server", "--appendonly", "yes")
    yield server
    server.close()


@pytest.mark.parametrize("place", PLACES)
def test_end_of_the_file_is_lost(appending, tmp_path, place):
    """As after a power cut: whole scripts are missing, and done once more.

    One cut is what a server stands: it leaves half a transaction in its file, and at
    the next start takes that for whole (docs/durability.md says what to do).
    """
    stage = Stage(f"{appending.url}?deadline_s=20", appending.client, tmp_path)

    def cut():
        appending.mark()
        text = appending.file.read_bytes()
        mark = cut_at(place, text, LOST)
        with contextlib.closing(appending.copy(tmp_path / "copy", mark)) as copy:
            flow = dataclasses.replace(stage, admin=copy.client).flow
            broken = list(broken_journal(flow))
            assert not broken, "\n".join(broken)
        appending.rewind(mark)

    flow, stage, told = run_through(stage, appending.client, cut)

    assert len(appending.run_ids) == 2
    assert flow.fields["epoch"] == "2"
    assert forgotten(flow, stage.notes)
    assert set(told) == set(flow.atoms)


# Clusters


@pytest.fixture(params=KINDS)
def cluster(request, tmp_path):
    """Start a cluster of three servers that append to files, and a client of it."""
    with Cluster(request.param, tmp_path, "--appendonly", "yes") as servers:
        yield servers


@pytest.fixture
def everywhere(cluster):
    """Open a client of the cluster that answers in text."""
    with contextlib.closing(
        RedisCluster("127.0.0.1", cluster.nodes[0].port, decode_responses=True)
    ) as client:
        yield client


def test_slot_migrates(cluster, everywhere, tmp_path):
    """Workers follow a flow to another server, key by key; nothing is done twice."""
    url = f"redis+cluster://{cluster.hosts}?deadline_s=20"
    stage = Stage(url, everywhere, tmp_path)
    slot = cluster.slot_of(stage.keys.flow)
    source = cluster.owner(slot)

    flow, stage, told = run_through(stage, everywhere, lambda: cluster.migrate(slot))

    assert cluster.owner(slot) is not source
    assert not cluster.keys_in(source, slot)
    assert flow.fields["epoch"] == "2"
    assert not forgotten(flow, stage.notes)
    assert told == Counter(dict.fromkeys(flow.atoms, 1))


def test_flows_spread_over_the_servers(cluster, everywhere, tmp_path):
    """Three flows on three servers are run at the same time."""
    url = f"redis+cluster://{cluster.hosts}?deadline_s=20"
    stages = {}
    for number in itertools.count():
        folder = tmp_path / f"flow-{number}"
        stage = Stage(url, everywhere, folder, run_id=f"flow-{number}")
        node = cluster.owner(cluster.slot_of(stage.keys.flow))
        if stages.setdefault(node.port, stage) is stage:
            folder.mkdir()
        if len(stages) == len(cluster.nodes):
            break
    with contextlib.ExitStack() as stack:
        members = []
        for stage in stages.values():
            crew = stack.enter_context(stage.crew("independent", LEASE_S, count=40))
            members += [crew.start(), crew.start()]
        reports = [member.report() for member in members]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 6
    for port, stage in stages.items():
        stage.assert_ended("SUCCESS", Counter())
        node = next(node for node in cluster.nodes if node.port == port)
        assert node.client.exists(stage.keys.flow)


def test_server_of_a_cluster_is_killed(cluster, everywhere, tmp_path):
    """Without a replica workers soon say that it is gone; others go on later."""
    url = f"redis+cluster://{cluster.hosts}?deadline_s=3"
    stage = Stage(url, everywhere, tmp_path)
    node = cluster.owner(cluster.slot_of(stage.keys.flow))
    with stage.crew("mixed", LEASE_S, takes_s=0.03) as crew:
        for _ in range(WORKERS):
            crew.start()
        after(stage, 30)
        node.kill()
        assert [member.status(25) for member in crew.members] == [1] * WORKERS
        logs = [member.log for member in crew.members]
    assert all("redisflow.errors.Unavailable: the cluster" in log for log in logs)
    node.start()
    eventually(lambda: all(map(is_up, cluster.nodes)), 30)

    with stage.crew("mixed", LEASE_S, takes_s=0.03) as crew:
        for _ in range(WORKERS):
            crew.start()
        reports = [member.report() for member in crew.members]

    assert [report["outcome"] for report in reports] == ["SUCCESS"] * WORKERS
    flow = stage.flow
    assert not broken_after_loss(flow, stage.notes)
    assert flow.fields["epoch"] == "2"
    assert len(node.run_ids) == 2


# One server of a cluster stands still


@pytest.fixture(params=KINDS)
def partial(request, tmp_path):
    """Start a cluster whose servers answer for their slots while another is away."""
    covers = ("--cluster-require-full-coverage", "no")
    with Cluster(request.param, tmp_path, *covers) as servers:
        yield servers


@pytest.fixture
def serving(tmp_path):
    """Start processes that serve flows of the workloads, all that they are given."""
    with contextlib.ExitStack() as stack:

        def start(name, url):
            log = stack.enter_context((tmp_path / f"{name}.log").open("wb"))
            words = ("worker", "--allow", WORKLOADS, "--lease-s", LEASE_STILL_S)
            process = subprocess.Popen(
                [sys.executable, "-m", "redisflow.cli", *map(str, words), "--url", url],
                cwd=ROOT,
                stderr=log,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def on_server(cluster, node, url, folder, *, there):
    """Stage a flow on that server, or on any other."""
    stages = (Stage(url, None, folder, run_id=f"flow-{n}") for n in itertools.count())
    for stage in stages:
        found = cluster.owner(cluster.slot_of(stage.keys.flow))
        if (found is node) == there:
            break
    folder.mkdir()
    return dataclasses.replace(stage, admin=found.client)


def leave_to_workers(stage, count):
    """Submit a flow of so many tasks."""
    about = {"notes": str(stage.notes_file), "count": count, "takes_s": TASK_S}
    redisflow.submit(
        f"{WORKLOADS}:independent",
        run_id=stage.run_id,
        url=stage.url,
        factory_kwargs=about,
    )


def has_ended(stage):
    """Tell whether a flow has come to a good end."""
    return stage.flow.fields["state"] == "SUCCESS"


def test_one_server_of_a_cluster_stands_still(partial, serving, tmp_path):
    """Who works at flows of other servers too goes on with these, and then with its."""
    url = f"redis+cluster://{partial.hosts}?deadline_s=30&socket_timeout=1"
    still = partial.owner(0)  # redis-py asks it before the others
    stopped = on_server(partial, still, url, tmp_path / "stopped", there=True)
    going = on_server(partial, still, url, tmp_path / "going", there=False)
    leave_to_workers(stopped, 56)
    leave_to_workers(going, 64)
    workers = [serving("one", url)]
    after(stopped, 1)
    after(going, 8)  # its renewals have been steady for a while
    workers.append(serving("two", url))
    eventually(lambda: len({note.pid for note in going.notes}) == 2, 30)

    workers_key, lasting = stopped.keys.workers, ("-inf", "(inf")
    leases = stopped.admin.zrangebyscore(workers_key, *lasting, withscores=True)
    still.process.send_signal(signal.SIGSTOP)
    try:
        stood = monotonic()
        assert begun(stopped) < 56, "it was over too soon"
        before = begun(going)
        eventually(lambda: has_ended(going), 60)
        took_s, did = monotonic() - stood, begun(going) - before
        threading.Event().wait(STILL_S - took_s)
    finally:
        still.process.send_signal(signal.SIGCONT)

    assert did * TASK_S / len(workers) > 2 * LEASE_STILL_S, "it was over too soon"
    now_s, _us = stopped.admin.time()
    assert max(at for _worker, at in leases) < 1000 * now_s, "no lease was over"
    eventually(lambda: has_ended(stopped), 60)
    for stage in (stopped, going):
        flow = stage.assert_ended("SUCCESS", Counter())
        assert not [name for name in flow.atoms if flow.taken_back(name)]
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert "lease of worker" not in logs
    assert took_s < 3 * (did * TASK_S / len(workers) + 1)


def test_client_connects_while_one_server_stands_still(partial):
    """Another client of a process comes to the servers that answer, and finds them."""
    url = f"redis+cluster://{partial.hosts}?deadline_s=20&socket_timeout=5"
    still = partial.owner(0)
    others = [n for n in range(99) if partial.owner(partial.slot_of(f"k{n}")) != still]
    with contextlib.closing(Client(parse_url(url))) as client:
        client.execute("SET", f"k{others[0]}", "there")
        still.process.send_signal(signal.SIGSTOP)
        try:
            sibling = client.sibling(timeout_s=0.5)
            with contextlib.closing(sibling):
                value = sibling.execute("GET", f"k{others[0]}", deadline_s=0.5)
        finally:
            still.process.send_signal(signal.SIGCONT)
    assert value == b"there"


def test_server_that_stands_still_is_asked_once(partial, tmp_path):
    """Who waits for it learns of that after one time-out, and not after two."""
    url = f"redis+cluster://{partial.hosts}?deadline_s=20&socket_timeout=3"
    still = partial.owner(0)
    stage = on_server(partial, still, url, tmp_path / "f", there=True)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        scripts = backend.scripts_of(stage.keys.flow_uuid)

        def beat():
            beat = {"run": 1, "worker": "w", "lease_ms": 1}
            scripts.call("worker_heartbeat", **beat, deadline_s=0)

        with pytest.raises(FlowLost):
            beat()
        still.process.send_signal(signal.SIGSTOP)
        try:
            began = monotonic()
            with pytest.raises(Unavailable):
                beat()
            assert 2.9 < monotonic() - began < 5.5
        finally:
            still.process.send_signal(signal.SIGCONT)
