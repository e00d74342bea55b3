"""Random orders of requests, some sent twice, with a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from tests.support.locks import ScriptedLock

pytestmark = pytest.mark.one_server

OWNERS = [f"p:{number}" for number in range(6)]
STEPS = 150


class Walk:
    """What must hold after every request.

    Args:
        lock: driven at random.
        seed: of the draw.
    """

    def __init__(self, lock: ScriptedLock, seed: int) -> None:
        self.lock = lock
        self.draw = random.Random(seed)
        self.fence = lock.fence
        self.writer = ""
        lock.now_ms = 1_800_000_000_000

    def step(self) -> None:
        """Let time pass, and somebody ask for something, maybe twice."""
        lock, draw = self.lock, self.draw
        lock.now_ms += draw.choice([0, 0, 1, 50, 400])
        owner = draw.choice(OWNERS)
        what = draw.choice(["enter", "enter", "enter", "leave", "extend", "keep"])
        if what == "extend" and owner in lock.queue:
            what = "leave"  # who waits has nothing to renew
        does, wait_ms = draw.choice(["writes", "reads"]), draw.choice([0, 300, 900])
        lease_ms = draw.choice([200, 1000])
        first = None
        for _ in range(draw.choice([1, 1, 2, 3])):
            if what == "enter":
                reply = lock.acquire(owner, does, lease_ms=lease_ms, wait_ms=wait_ms)
            elif what == "leave":
                reply = lock.release(owner) and None
            elif what == "extend":
                reply = lock.extend(owner, lease_ms=lease_ms)
            else:
                reply = lock.release(owner, keep_ms=lease_ms)
            first = reply if first is None else first
            assert reply == first, f"{what} of {owner} sent again"
        self.check()

    def check(self) -> None:
        """Compare the keys with the rules."""
        lock = self.lock
        fields, readers, queue = lock.fields, lock.readers, lock.queue
        held = fields["held"]
        assert (held == "read") == bool(readers), (held, readers)
        assert (held == "write") == bool(fields["writer"]), fields
        assert set(lock.owners) == {*readers, *queue}
        assert not set(queue) & {*readers, fields["writer"]}
        fence = int(fields["fence"])
        assert fence >= self.fence
        if held == "write" and fields["writer"] != self.writer:
            assert fence > self.fence
        self.fence, self.writer = fence, fields["writer"]
        if queue:  # whoever may enter has entered
            assert held
            if held == "read":
                assert lock.owners[queue[0]].startswith("awaits-write")


@pytest.mark.parametrize("walk", range(4))
def test_any_order_of_requests_keeps_every_rule(lock, seed, walk):
    """One writer or many readers, one queue, no one in it who may enter."""
    walk = Walk(lock, seed + walk)
    for _ in range(STEPS):
        walk.step()
