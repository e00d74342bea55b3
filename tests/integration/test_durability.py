"""durability="replicated": what was acknowledged is on replicas, too."""

from __future__ import annotations

import contextlib
import signal

import pytest
from taskflow import states, task
from taskflow.patterns import linear_flow

import redisflow
from redisflow import embedded
from redisflow.cli.app import invoke
from redisflow.errors import ConfigError, Unavailable
from redisflow.keys import FlowKeys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS


@pytest.fixture(params=KINDS)
def servers(request, tmp_path):
    """Start a primary with one replica that follows it."""
    soon = ("--repl-diskless-sync-delay", "0")
    with contextlib.ExitStack() as stack:
        primary = OwnServer(request.param, tmp_path / "primary", *soon)
        stack.callback(primary.close)
        follows = ("--replicaof", f"127.0.0.1 {primary.port}")
        replica = OwnServer(request.param, tmp_path / "replica", *soon, *follows)
        stack.callback(replica.close)
        eventually(lambda: _online(primary.client) == 1, 30)
        yield primary, replica


def _online(client):
    found = client.info("replication")
    return sum(
        name.startswith("slave") and value["state"] == "online"
        for name, value in found.items()
        if isinstance(value, dict)
    )


@pytest.fixture
def load(servers):
    """Load an engine whose claims and results are to be replicated."""
    with contextlib.ExitStack() as stack:

        def load(*tasks, **options):
            flow = linear_flow.Flow("f").add(*tasks)
            url = f"redis://127.0.0.1:{servers[0].port}/0?deadline_s=1"
            options = {"durability": "replicated", **options}
            engine = redisflow.load(flow, run_id="nightly", url=url, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield load


def nothing():
    """Do nothing."""


def note(name, call=nothing):
    """Make a task that calls something."""
    return task.FunctorTask(call, name=name)


def test_each_claim_and_result_is_confirmed(servers, load):
    """The replica has what a task's predecessor has done before the task begins."""
    primary, replica = servers
    seen = []

    def look():
        key = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid)
        uuid = engine.storage.mirror.atom("a").uuid
        seen.append(replica.client.hget(key.atom(uuid), "state"))

    engine = load(note("a"), note("b", look))
    engine.run()

    assert seen == [states.SUCCESS]
    assert primary.client.info("commandstats")["cmdstat_wait"]["calls"] >= 3


def test_too_few_replicas_leave_it_unknown(servers, load):
    """A result that no replica confirms may be there or not: run() says so."""
    primary, replica = servers

    def freeze():
        replica.process.send_signal(signal.SIGSTOP)

    engine = load(note("a", freeze), note("b"))
    try:
        with pytest.raises(Unavailable, match="0 of 1 replicas") as raised:
            engine.run()
    finally:
        replica.process.send_signal(signal.SIGCONT)

    assert raised.value.outcome == "unknown"
    # It was recorded once, however often it was sent.
    stream = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid).events
    ended = [e for _id, e in primary.client.xrange(stream) if e["to"] == "SUCCESS"]
    assert len(ended) == 1
    later = load(note("a"), note("b"))
    later.run()
    assert later.storage.get_flow_state() == states.SUCCESS


def test_without_any_replica_nothing_counts_as_done(servers, load):
    """One has to confirm at least, also where none is connected any more."""
    primary, replica = servers
    replica.client.replicaof("NO", "ONE")
    eventually(lambda: _online(primary.client) == 0, 30)

    engine = load(note("a"))
    with pytest.raises(Unavailable, match="0 of 1 replicas"):
        engine.run()


def test_the_number_asked_for_has_to_confirm(load):
    """With two asked for, one is too few."""
    engine = load(note("a"), replicas=2)
    with pytest.raises(Unavailable, match="1 of 2 replicas"):
        engine.run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"durability": "replicated", "replicas": 0}, "at least 1"),
        ({"replicas": 1}, "goes with"),
        ({"durability": "hope"}, "server or replicated"),
    ],
)
def test_options_that_cannot_be_used(load, options, message):
    """They are refused before anything is written."""
    with pytest.raises(ConfigError, match=message):
        load(note("a"), **{"durability": "server", **options})


@pytest.fixture
def typed(servers, tmp_path, monkeypatch, capfd):
    """Type a command on the primary, beside a module of flows; returns its status."""
    (tmp_path / "shop.py").write_text(
        "from taskflow.patterns import linear_flow\n"
        "from taskflow.task import FunctorTask\n"
        "def factory():\n"
        "    return linear_flow.Flow('f').add(FunctorTask(lambda: 7, name='a'))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    url = f"redis://127.0.0.1:{servers[0].port}/0?deadline_s=1&namespace=rf"

    def typed(*words, url=url):
        status = invoke([*words, "--url", url])
        return status, capfd.readouterr().err

    return typed


def waits(primary):
    """Count how often replicas were waited for."""
    return primary.client.info("commandstats").get("cmdstat_wait", {"calls": 0})[
        "calls"
    ]


def test_submission_is_confirmed_and_so_is_what_serves_it(servers, typed):
    """What is submitted is on the replica then; and its worker waits, too."""
    primary, replica = servers
    order = ("--run-id", "r1", "--durability", "replicated")

    assert typed("submit", "shop:factory", *order)[0] == 0

    uuid = flow_uuid_of("r1", "rf")
    assert replica.client.zscore("rf:submitted", uuid) is not None
    assert replica.client.hget(FlowKeys("rf", uuid).flow, "submitted") == "1"
    before = waits(primary)
    status, err = typed("worker", "--allow", "shop", "--once")
    assert status == 0, err
    assert primary.client.hget(FlowKeys("rf", uuid).flow, "state") == "SUCCESS"
    assert waits(primary) > before


def test_submission_that_no_replica_confirms_is_not_acknowledged(servers):
    """It may be there or not, and submitting it again finds out."""
    primary, replica = servers
    url = f"redis://127.0.0.1:{primary.port}/0?deadline_s=1&namespace=rf"
    options = {"run_id": "r1", "url": url, "durability": "replicated"}
    replica.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="0 of 1 replicas") as raised:
            redisflow.submit("shop:factory", **options)
    finally:
        replica.process.send_signal(signal.SIGCONT)

    assert raised.value.outcome == "unknown"
    assert redisflow.submit("shop:factory", **options) == "r1"


@pytest.mark.slow
def test_run_takes_it_at_the_terminal(servers, typed):
    """Its workers wait for replicas; how many can be said."""
    primary, _replica = servers
    asked = ("--durability", "replicated", "-w", "1")
    assert typed("run", "shop.py", *asked)[0] == 0
    assert waits(primary) >= 2
    status, err = typed("run", "shop.py", *asked, "--replicas", "2")
    assert status == 4
    assert "1 of 2 replicas" in err


@pytest.mark.parametrize("command", [("run", "shop.py"), ("submit", "shop:factory")])
def test_what_cannot_be_replicated_is_refused(typed, command):
    """A mistake in the command: nothing is begun, and nothing stored."""
    status, err = typed(*command, "--replicas", "1")
    assert (status, "--replicas goes with" in err) == (2, True)
    try:
        status, err = typed(*command, "--durability", "replicated", url="redisflow://")
        assert (status, "takes one server with replicas" in err) == (2, True)
        with contextlib.closing(redisflow.RedisBackend.from_url("redisflow://")) as one:
            assert list(one.client.scan("*")) == []
    finally:
        embedded.stop()
