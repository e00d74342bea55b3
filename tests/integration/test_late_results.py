"""Results that come after their run has ended: refused, counted, and kept aside."""

from __future__ import annotations

import threading

import pytest
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from redisflow.persistence.sweeping import sweep


@pytest.mark.parametrize("how", ["run", "run_iter"])
def test_late_result_is_kept_aside(how, url, admin, backend):
    """Others took over and ended the run while the task went on here."""
    begun, go = threading.Event(), threading.Event()

    class Slow(task.Task):
        def execute(self):
            if redisflow.current().attempt:
                return "in time"
            begun.set()
            assert go.wait(20)
            return "late"

    def load():
        flow = linear_flow.Flow("f").add(Slow("slow"))
        return redisflow.load(flow, run_id="r", url=url)

    late, other = load(), load()
    thread = threading.Thread(
        target=late.run if how == "run" else lambda: list(late.run_iter())
    )
    thread.start()
    try:
        assert begun.wait(20)
        membership = late._course._membership
        scripts = late.storage.backend.scripts_of(late.storage.flow_uuid)
        sweep(scripts, membership.id)  # as if it had been silent
        membership.swept()
        other.run()
    finally:
        go.set()
        thread.join(20)

    assert other.storage.get("slow") == "in time"
    assert late.statistics["stale"] == 1
    keys = backend.keys.of_flow(late.storage.flow_uuid)
    stored = admin.hgetall(keys.result(admin.hget(keys.atoms, "slow")))
    assert stored.pop("results") == '"in time"'
    assert list(stored.values()) == ['"late"']
