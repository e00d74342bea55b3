"""flow_update: metadata of a flow, entry by entry."""

from __future__ import annotations


def test_entries_are_merged(flow):
    """OK: new entries come, old ones are replaced, others stay."""
    flow.create("a", "1", "b", "2")

    assert flow.call("flow_update", rest=["b", "3", "c", "4"]) == ["OK", 2]
    assert (
        flow.hash("flow").items()
        >= {
            "meta:a": "1",
            "meta:b": "3",
            "meta:c": "4",
            "rev": "2",
        }.items()
    )


def test_repeated_call_leaves_the_same_metadata(flow):
    """The same request twice only counts as another revision."""
    flow.create()
    flow.call("flow_update", rest=["a", "1"])
    before = flow.hash("flow")

    assert flow.call("flow_update", rest=["a", "1"]) == ["OK", 3]
    assert flow.hash("flow") == before | {
        "rev": "3",
        "updated_at": flow.hash("flow")["updated_at"],
    }


def test_metadata_is_not_journaled(flow):
    """The journal holds transitions only."""
    flow.create()
    flow.call("flow_update", rest=["a", "1"])

    assert len(flow.journal()) == 1


def test_no_field_of_the_flow_itself_can_be_overwritten(flow):
    """An entry named like one of the flow's own fields is metadata all the same."""
    flow.create()
    flow.call("flow_update", rest=["state", '"x"', "rev", "99"])

    assert flow.hash("flow").items() >= {"rev": "2", "meta:rev": "99"}.items()
    assert flow.state == ""
