"""flow_sync: what has changed since a revision."""

from __future__ import annotations


def names(reply) -> list[str]:
    """Name the atoms of an answer."""
    rows = [dict(zip(row[::2], row[1::2], strict=True)) for row in reply[4][1::2]]
    return [row["name"] for row in rows]


def test_all_atoms_come_in_the_order_of_their_changes(flow):
    """OK: from revision 0 everything is told, and the revision that it is from."""
    flow.create()
    flow.ensure("b", "a")

    reply = flow.call("flow_sync", since=0, limit=10)

    assert reply[:3] == ["OK", flow.rev, 0]
    fields = dict(zip(reply[3][::2], reply[3][1::2], strict=True))
    assert fields == flow.hash("flow")
    assert names(reply) == ["b", "a"]
    assert reply[5] == 0


def test_only_what_changed_comes(flow):
    """From the revision that the caller has, only later changes are told."""
    flow.create()
    flow.ensure("a", "b", "c")
    rev = flow.rev
    flow.on("b", "atom_update", rest=["x", "1"])

    assert names(flow.call("flow_sync", since=rev, limit=10)) == ["b"]
    assert names(flow.call("flow_sync", since=flow.rev, limit=10)) == []


def test_pages_add_up_to_all_changes(flow):
    """While more is 1 the caller asks again from the revision that it was told."""
    flow.create()
    flow.ensure(*(f"t{number:02}" for number in range(25)))
    seen, since, more = [], 0, 1
    while more:
        reply = flow.call("flow_sync", since=since, limit=10)
        since, more = reply[1:3]
        seen += names(reply)

    assert seen == [f"t{number:02}" for number in range(25)]
    assert since == flow.rev


def test_living_workers_are_counted(flow):
    """The last field counts leases that are not over, without the sentinel."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.lapse("w2")

    assert flow.call("flow_sync", since=0, limit=10)[5] == 1


def test_nothing_is_written(flow):
    """A read leaves every key as it was."""
    flow.line("a").start()
    before = flow.contents()

    flow.call("flow_sync", since=0, limit=10)

    assert flow.contents() == before
