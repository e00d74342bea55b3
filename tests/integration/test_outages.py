"""A server that goes away, and what those who wait for it say."""

from __future__ import annotations

import contextlib
import logging
import threading

import pytest

import redisflow
from redisflow.client import Outage, outages
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer
from tests.support.servers import KINDS
from tests.support.submitted import FLOWS, served_by


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """Start a server that keeps what it has."""
    folder = tmp_path / "server"
    with contextlib.closing(
        OwnServer(request.param, folder, "--appendonly", "yes")
    ) as server:
        yield server


@pytest.mark.slow
@pytest.mark.one_server
def test_worker_says_once_that_its_server_is_away(own, tmp_path, monkeypatch, caplog):
    """And once that it is back, though several leases are tried all the time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.py").write_text(FLOWS)
    url = f"{own.url}?deadline_s=0.3"
    caplog.set_level(logging.WARNING, "redisflow")
    with served_by(url, "flows.py") as start:
        served = start()
        for run in ("one", "two"):
            store = {"gate": str(tmp_path / run)}
            redisflow.submit("flows.py:gated", run_id=run, store=store, url=url)
        eventually(lambda: len(served.told("joining")) == 2, 20)
        eventually(lambda: count_claims(own) == 2, 20)
        own.kill()
        eventually(lambda: lines(caplog, "no lease can be renewed"), 20)
        eventually(lambda: served.told("the server cannot be used"), 20)
        threading.Event().wait(3)  # a lease and a half
        own.start()
        eventually(lambda: lines(caplog, "leases are renewed again"), 20)
        eventually(lambda: served.told("the server is back"), 20)
        for run in ("one", "two"):
            for number in range(2):
                (tmp_path / f"{run}{number}").touch()
        eventually(lambda: len(served.told("SUCCESS after")) == 2, 30)

    (away,) = lines(caplog, "no lease can be renewed for")
    (back,) = lines(caplog, "leases are renewed again, after")
    assert lines(caplog, "lease") == [away, back]
    assert len(served.told("the server cannot be used for")) == 1
    assert len(served.told("the server is back, after")) == 1


def lines(caplog, words):
    """Return what was logged with these words."""
    return [line for line in caplog.messages if words in line]


def count_claims(own):
    """Count the items that workers hold."""
    keys = own.client.scan_iter("redisflow:*:claims")
    return sum(int(own.client.hlen(key) > 1) for key in keys)


def test_outage_is_said_again_after_a_long_time(monkeypatch):
    """With for how long it has lasted; and only once that it is over."""
    now = [100.0]
    monkeypatch.setattr(outages, "monotonic", lambda: now[0])
    outage = Outage()
    assert outage.ends() is None

    said = []
    for _ in range(1300):
        said.append(outage.lasts(now[0]))
        now[0] += 1

    assert [seconds for seconds in said if seconds is not None] == [0, 600, 1200]
    assert outage.ends() == 1300
    assert outage.ends() is None
    assert outage.lasts(now[0] - 5) == 5
