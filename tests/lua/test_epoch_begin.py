"""epoch_begin: what follows from a server that the flow does not know."""

from __future__ import annotations

from redisflow.scripts import FlowScripts
from tests.support.flow_rules import broken_rules

#: Microseconds since 1970 at a time before any test.
_LONG_AGO = 1_700_000_000_000_000


def _forget_server(flow):
    """Have the flow come from another server, as after a failover."""
    flow.client.execute("HSET", flow.keys.flow, "server", "another")


def test_known_server_changes_nothing(flow):
    """SAME: the flow was made by this server."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("epoch_begin") == ["SAME", 1]
    assert flow.contents() == before


def test_unknown_server_begins_an_epoch(flow):
    """BEGUN: rev goes on from the clock, the journal tells of it, nothing else."""
    flow.line("a").start()
    _forget_server(flow)
    before, rev = flow.contents(), flow.rev

    assert flow.call("epoch_begin", who="me") == ["BEGUN", 2]

    after = flow.contents()
    entry = flow.journal()[-1]
    assert flow.rev == int(entry["rev"]) > _LONG_AGO > rev
    assert entry["from"] == entry["to"] == "RUNNING"
    assert (entry["epoch"], entry["worker"]) == ("2", "me")
    assert entry["server"] == flow.hash("flow")["server"] == _run_id(flow)
    assert {key for key in after if after[key] != before[key]} == {
        flow.keys.flow,
        flow.keys.events,
    }
    assert flow.call("epoch_begin") == ["SAME", 2]
    assert broken_rules(flow) == []


def test_revisions_grow_where_the_clock_was_put_back(flow):
    """BEGUN: rev grows by one where it is ahead of the server's clock."""
    flow.line("a").start()
    _forget_server(flow)
    ahead = (1 << 52) + 1
    flow.client.execute("HSET", flow.keys.flow, "rev", ahead)

    flow.call("epoch_begin")

    assert flow.rev == ahead + 1


def test_flow_that_is_gone_stays_gone(flow):
    """GONE: nothing is made of it."""
    scripts = FlowScripts(flow.client, flow.keys)
    ran = []

    def run(sha, source, *words):
        ran.append(flow.client.execute("EVAL", source, *words))
        return ran[-1]

    scripts.confirm(run)

    assert ran == [[b"GONE"]]
    assert flow.all_keys() == []


def test_everything_goes_on_with_high_revisions(flow):
    """A flow in its second epoch runs to its end: revisions have 16 digits now."""
    flow.fan("a", "b", "c").start()
    _forget_server(flow)
    flow.call("epoch_begin")

    handout = flow.take(capacity=3)
    assert sorted(handout.what) == ["execute a", "execute b", "execute c"]
    tokens = {item.token for item in handout.items}
    assert len(tokens) == 3
    assert all(int(token) > _LONG_AGO for token in tokens)
    for item, state in zip(handout.items, ("SUCCESS", "FAILURE") * 2, strict=False):
        flow.complete(item, state)
        assert broken_rules(flow) == []
    # A failure is resolved before anything else is taken.
    assert flow.take().what == ["resolve b"]
    assert flow.call("flow_sync", since=flow.rev - 1, limit=100)[2:3] == [0]


def _run_id(flow):
    info = flow.client.execute("INFO", "server")
    return info["run_id"]
