"""Leases of one process are renewed by one thread."""

from __future__ import annotations

import threading

from redisflow import lease
from tests.support.eventually import eventually


def test_longest_lease_keeps_nobody_else_from_being_renewed():
    """The thread outlives a wait that is longer than any lock of Python takes."""
    renewed = threading.Event()
    endless = lease.Lease(lambda: 1e11, lease_s=1e11, server="a server")
    short = lease.Lease(
        lambda: bool(renewed.set()) or 1.0, lease_s=1, server="a server"
    )
    lease.keep(endless)
    try:
        eventually(lambda: lease._heartbeats["a server"]._wakes_at)
        lease.keep(short)
        assert renewed.wait(5)
    finally:
        lease.drop(endless)
        lease.drop(short)
