"""flow_create: a flow with all its collections, or the one that is there."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey
from tests.support.flow_rules import broken_rules
from tests.support.flow_view import SENTINELS


def test_created_flow_has_all_collections_and_a_first_entry(flow):
    """CREATED: each collection has its sentinel, the journal its first entry."""
    status, made_at = flow.create("owner", '"me"')

    fields = flow.hash("flow")
    assert status == "CREATED"
    assert fields["created_at"] == fields["updated_at"] == str(made_at)
    assert (
        fields.items()
        >= {
            "uuid": "F1",
            "name": "nightly",
            "book": "",
            "schema": "1",
            "run": "1",
            "rev": "1",
            "meta:owner": '"me"',
        }.items()
    )
    assert broken_rules(flow) == []
    assert [(entry["rev"], entry["to"]) for entry in flow.journal()] == [
        ("1", "PENDING")
    ]


def test_state_is_kept_and_journaled(flow):
    """A flow that comes with a state starts its history there."""
    flow.create(state="SUSPENDED")

    assert flow.state == "SUSPENDED"
    assert flow.journal()[0]["to"] == "SUSPENDED"


def test_flow_that_exists_is_left_alone(flow):
    """EXISTS: a second call changes nothing and tells the name that is stored."""
    flow.create("owner", '"me"')
    before = flow.contents()

    reply = flow.call("flow_create", rest=["owner", '"you"'], uuid="F1", name="other")

    assert reply == ["EXISTS", "nightly"]
    assert flow.contents() == before


@pytest.mark.parametrize("name", [*SENTINELS, "events"])
def test_what_a_lost_flow_left_behind_is_not_adopted(flow, name):
    """A collection without its flow is named, and nothing is created around it."""
    flow.create()
    flow.client.execute("DEL", *set(flow.all_keys()) - {getattr(flow.keys, name)})
    before = flow.contents()

    with pytest.raises(CorruptKey) as caught:
        flow.create()

    assert caught.value.key == getattr(flow.keys, name)
    assert flow.contents() == before
