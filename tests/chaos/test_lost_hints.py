"""Every wake-up of a worker is taken away by somebody else: all still comes to its end.

Wake-ups are hints: who waits for one looks for itself, too, at the latest after a third
of its lease. Here thieves wait on the lists of all workers, before these do, so that no
push ever reaches one, whoever pushes.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter

import pytest
import redis

import redisflow
from redisflow.keys import Keys, flow_uuid_of
from tests.support.eventually import eventually
from tests.support.submitted import FLOWS, served_by

pytestmark = [pytest.mark.chaos, pytest.mark.one_server, pytest.mark.timeout(90)]

LEASE_S = 2.4

#: How long a worker waits before it looks for itself.
WAIT_S = LEASE_S / 3

#: What looking, and this test, may take beside that.
SLACK_S = 1.2

#: How many layers of tasks there are; all tasks of one have to run at the same time.
LAYERS = 4

#: More than are pushed for one worker while it waits once.
THIEVES = 4

_NAME = "thief"


class Thieves:
    """Take every hint before those can for whom it is; `with` ends them.

    A list gives what is pushed to whoever has waited longest, so that several are
    needed: one that was served waits behind all others again.

    Args:
        admin: a client that answers in text.

    Attributes:
        stolen: the lists from which hints were taken.
    """

    def __init__(self, admin):
        self._admin = admin
        self._clients = []
        self.stolen = []

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        for client in self._clients:
            client.connection_pool.disconnect()
            client.close()

    def rob(self, key):
        """Wait on a list from now on; returns when its owner waits behind the thieves.

        Who waited on it before does so until it looks the next time.
        """
        where = self._admin.connection_pool.connection_kwargs
        host, port = where["host"], where["port"]
        for _ in range(THIEVES):
            options = {"client_name": _NAME, "socket_timeout": None, "retry": None}
            client = redis.Redis(host, port, **options)
            self._clients.append(client)
            threading.Thread(target=self._steal, args=(client, key)).start()
        eventually(self._come_first, 20)

    def _steal(self, client, key):
        with contextlib.suppress(redis.RedisError, OSError, ValueError):
            while client.blpop(key, 0):
                self.stolen.append(key)

    def _come_first(self):
        waiting = {True: [], False: []}
        for row in self._admin.client_list():
            if "b" in row["flags"]:
                waiting[row["name"] == _NAME].append(int(row["idle"]))
        thieves, others = waiting[True], waiting[False]
        if len(thieves) < len(self._clients):
            return False
        return min(thieves) > max(others, default=-1)


def pushed(admin):
    """Count the hints that were pushed to anybody."""
    return admin.info("commandstats").get("cmdstat_rpush", {"calls": 0})["calls"]


@pytest.mark.parametrize(
    ("options", "width", "aside"),
    [
        ({}, 2, False),
        ({"executor": "threads", "max_workers": 2}, 3, True),
    ],
    ids=["idle", "half-idle"],
)
def test_no_hint_arrives(stage, admin, options, width, aside):
    """Each layer is complete one look later: who was not woken has come by itself.

    In the second case one worker runs a task all the time, and has room for one more.
    """
    gates = [stage.gate(str(number)) for number in range(LAYERS)]
    beside = stage.gate("beside")
    flow = {"gates": list(map(str, gates)), "aside": str(beside) if aside else None}
    with (
        Thieves(admin) as thieves,
        stage.crew("layers", LEASE_S, width=width, **flow) as crew,
    ):
        for _ in range(2):
            crew.start(**options)
        layers = [[f"t{n}.{task}" for task in range(width)] for n in range(LAYERS)]
        eventually(lambda: all(map(stage.ran, layers[0])), 30)
        for worker in admin.zrange(stage.keys.workers, 0, 1):
            thieves.rob(stage.keys.wake(worker))
        before = pushed(admin)
        for gate, names in zip(gates, layers, strict=True):
            eventually(lambda names=names: all(map(stage.ran, names)), 30)
            gate.touch()
        beside.touch()
        reports = [member.report() for member in crew.members]
        # Who is not idle yet when a layer is ready needs no hint: there may be fewer.
        assert len(thieves.stolen) == pushed(admin) - before >= 1
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 2
    flow = stage.assert_ended("SUCCESS", Counter())
    for names in layers[1:]:
        begun = [flow.claims[name][0].entry for name in names]
        assert len({entry.worker for entry in begun}) == 2
        at_ms = sorted(entry.ms for entry in begun)
        assert at_ms[-1] - at_ms[0] <= 1000 * (WAIT_S + SLACK_S)


def test_no_submission_is_heard_of(url, admin, namespace, tmp_path, monkeypatch):
    """A serving worker finds by itself what was submitted, a look later."""
    monkeypatch.setattr("redisflow.engine.serving.LOOK_S", WAIT_S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows.py").write_text(FLOWS)
    keys = Keys(namespace)
    with served_by(url, "flows.py") as serve, Thieves(admin) as thieves:
        serve()
        (server,) = eventually(lambda: admin.zrange(keys.servers, 0, 0), 20)
        thieves.rob(keys.wake(server))
        redisflow.submit("flows.py:factory", run_id="sum", url=url, store={"x": 2})
        eventually(lambda: thieves.stolen)
        key = keys.of_flow(flow_uuid_of("sum", namespace)).flow
        eventually(lambda: int(admin.hget(key, "run")) == 1, WAIT_S + SLACK_S)
        eventually(lambda: admin.hget(key, "state") == "SUCCESS")
