"""Many processes make, run and remove one flow at the same moment."""

from __future__ import annotations

import contextlib

import pytest
from taskflow.patterns import linear_flow

import redisflow
from redisflow import RedisBackend
from redisflow.errors import FlowLost, InvalidState
from redisflow.keys import flow_uuid_of
from redisflow.operations import remove_run
from redisflow.persistence.removal import left_of
from tests.support.processes import Crew, Turn
from tests.support.storages import Noop

CREW = 4
ATOMS = 20
RACES = 5


@pytest.fixture(scope="module")
def crew():
    """Start the processes once for all races."""
    with Crew(CREW) as crew:
        yield crew


def run_together(turn: Turn, url, run_id):
    """Make a flow if nobody has, and run it; returns how many atoms ran here.

    Process 0 does not run it, but tries to remove it; returns whether it did.
    """
    flow = linear_flow.Flow("line").add(
        *(Noop(f"n{number}") for number in range(ATOMS))
    )
    turn.wait()
    engine = redisflow.load(flow, run_id=run_id, url=url)
    backend, uuid = engine.storage.backend, engine.storage.flow_uuid
    turn.wait()
    try:
        if turn.index == 0:
            return remove_run(backend, uuid)
        engine.run()
        return engine.statistics.get("completed", 0)
    except (FlowLost, InvalidState) as error:
        return type(error).__name__
    finally:
        backend.close()


def remove_together(turn: Turn, url, flow_uuid):
    """Remove a flow that all others remove, too."""
    backend = RedisBackend.from_url(url)
    turn.wait()
    try:
        return remove_run(backend, flow_uuid)
    finally:
        backend.close()


def test_all_make_run_and_remove_one_flow(crew, url, namespace):
    """Each atom runs once; who removes meanwhile is refused, and nothing stays.

    A hint for one who had gone before is kept for a minute by the server itself.
    """
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        for race in range(RACES):
            uuid = flow_uuid_of(f"race-{race}", namespace)
            removed, *ran = crew.race(run_together, url, f"race-{race}")
            done = sum(count for count in ran if count != "FlowLost")
            if removed is True:  # before anybody worked on it, or after its end
                assert done in (0, ATOMS)
            else:
                assert removed == "InvalidState"
                assert (done, "FlowLost" in ran) == (ATOMS, False)
                assert any(crew.race(remove_together, url, uuid))
            left = left_of(backend, uuid)
            assert [key for key in left if "}:wake:" not in key] == []
            for key in left:
                assert backend.client.execute("PTTL", key) <= 60_000
                backend.client.execute("DEL", key)
