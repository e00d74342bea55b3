"""`follow`: TaskFlow's own listeners, in another process than the workers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from taskflow import retry, task
from taskflow.listeners import base, capturing
from taskflow.patterns import linear_flow, unordered_flow

import redisflow
from redisflow import RedisBackend
from redisflow.errors import NotFound
from redisflow.keys import Keys, flow_uuid_of
from redisflow.persistence.journal import Gap
from redisflow.persistence.removal import remove_flow
from tests.support.eventually import eventually

ROOT = Path(redisflow.__file__).parents[1]
SOON_S = 40.0

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_server]

LISTENING = """
    import logging, sys
    from taskflow.listeners import logging as tell, printing, timing
    import redisflow

    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(message)s")
    with redisflow.follow("r1") as following:
        with (
            tell.LoggingListener(following),
            tell.DynamicLoggingListener(following),
            timing.DurationListener(following),
            printing.PrintingListener(following),
        ):
            following.run()
"""
KEEPING = """
    import sys
    import redisflow

    path = sys.argv[1]
    with open(path, "a+") as kept:
        kept.seek(0)
        lines = [line.strip() for line in kept if line.endswith("\\n")]
        with redisflow.follow("r1", since=lines[-1] if lines else None) as following:
            for entry in following:
                kept.write(f"{entry.id}\\n")
                kept.flush()
"""


class Wait(task.Task):
    """Waits until it may end."""

    def __init__(self, name, go_on):
        super().__init__(name, provides=name)
        self.go_on = go_on

    def execute(self):
        """Wait."""
        assert self.go_on.wait(30)
        return f"done {self.name}"

    def revert(self, **_arguments):
        """Nothing is to be undone."""


class Break(task.Task):
    """Fails, at once or when it may."""

    def __init__(self, name, go_on=None):
        super().__init__(name)
        self.go_on = go_on

    def execute(self):
        """Fail."""
        assert self.go_on is None or self.go_on.wait(30)
        raise OSError("the disk is full")


@pytest.fixture
def go_on():
    """Let tasks that wait go on, at the end at any rate."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def running(url):
    """Start engines in threads of this process, and wait for their ends."""
    with contextlib.ExitStack() as stack:

        def start(flow):
            engine = redisflow.load(flow, run_id="r1", url=url)
            stack.callback(engine.storage.backend.close)

            def run():
                with contextlib.suppress(OSError):
                    engine.run()

            thread = threading.Thread(target=run)
            stack.callback(thread.join, 30)
            thread.start()
            return engine

        yield start


@pytest.fixture
def reader(tmp_path, url):
    """Start a program that follows, and end it with the test."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "REDISFLOW_URL": url}
    with contextlib.ExitStack() as stack:

        def start(text, *arguments):
            script = tmp_path / "reader.py"
            script.write_text(textwrap.dedent(text))
            process = subprocess.Popen(
                [sys.executable, str(script), *map(str, arguments)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def kept(tmp_path):
    """Name the file in which a reader keeps its position."""
    return tmp_path / "kept"


@pytest.mark.slow
def test_listeners_of_taskflow_in_another_process(url, running, go_on, reader):
    """They log, print and time what a run does elsewhere, live, and its failure."""
    fails = threading.Event()
    flow = linear_flow.Flow("f").add(Wait("a", go_on), Break("b", fails))
    engine = running(flow)
    process = reader(LISTENING)
    begun = process.stdout.readline()  # the journal's first entries, while a waits
    go_on.set()
    live = [begun]
    while "'done a'" not in live[-1]:  # once a is reverted, its result is not told
        live.append(process.stdout.readline())
        assert live[-1], "it has ended"
    fails.set()
    stdout, stderr = process.communicate(timeout=SOON_S)
    assert process.returncode == 0, stderr
    printed = ("".join(live) + stdout).splitlines()
    assert "has moved flow 'f'" in begun
    assert "into state 'RUNNING' from state 'PENDING'" in begun
    assert any("task 'a'" in line and "'done a'" in line for line in printed)
    assert any("'b'" in line and "the disk is full" in line for line in printed)
    assert "into state 'REVERTED' from state 'RUNNING'" in printed[-1]
    for line in printed:
        assert stderr.count(line) >= 1, line  # LoggingListener says the same
    assert "transitioned into state 'FAILURE'" in stderr  # DynamicLoggingListener
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        detail = backend.get_connection().get_flow_details(engine.storage.flow_uuid)
    assert detail.meta["duration"] >= 0
    assert all(atom.meta["duration"] >= 0 for atom in detail)


@pytest.mark.slow
def test_a_killed_reader_goes_on_where_it_was(admin, running, go_on, reader, kept):
    """One that begins again at its position loses nothing and repeats nothing."""
    first = threading.Event()
    waits = [Wait(f"a{n}", first if n < 10 else go_on) for n in range(20)]
    engine = running(linear_flow.Flow("f").add(*waits))

    def lines():
        return kept.read_text().splitlines() if kept.exists() else []

    process = reader(KEEPING, kept)
    assert eventually(lambda: len(lines()) > 20, SOON_S)
    first.set()
    eventually(lambda: len(lines()) > 30, SOON_S)
    process.kill()
    process.wait()
    go_on.set()
    process = reader(KEEPING, kept)
    _, stderr = process.communicate(timeout=SOON_S)
    assert process.returncode == 0, stderr
    storage = engine.storage
    events = storage.backend.keys.of_flow(storage.flow_uuid).events
    assert lines() == [name for name, _fields in admin.xrange(events)]


def test_listeners_hear_what_engines_tell(url, running):
    """The same transitions, in the same order, as a listener on the engine hears."""
    flow = linear_flow.Flow("f", retry=retry.Times(2, name="r")).add(Break("b"))
    engine = redisflow.load(flow, run_id="r1", url=url)
    here, there = [], []
    with capturing.CaptureListener(engine, values=here), contextlib.suppress(OSError):
        engine.run()
    engine.storage.backend.close()
    with redisflow.follow("r1", url=url) as following:
        with capturing.CaptureListener(following, values=there):
            following.run()
        assert following.name == "f"
        assert str(following) == "Follower: f"
    assert _told(there) == _told(here)
    assert len(there) > 10


def _told(heard):
    """Leave out whose they are, and results: those are the ones that are there now."""
    kept = ("flow_name", "task_name", "retry_name", "old_state")
    return [
        (kind, state, [details.get(name) for name in kept], sorted(details))
        for kind, state, details in heard
    ]


def test_results_and_names_come_along(url):
    """Details have names, uuids and results, as an engine's notifications do."""
    done = threading.Event()
    done.set()
    flow = unordered_flow.Flow("f").add(Wait("a", done), Wait("b", done))
    engine = redisflow.load(flow, run_id="r1", url=url)
    engine.run()
    heard = {}

    class Hear(base.Listener):
        def _task_receiver(self, state, details):
            heard[details["task_name"], state] = details

    with redisflow.follow("r1", url=url) as following, Hear(following):
        following.run()
    assert heard["a", "SUCCESS"] == {
        "task_name": "a",
        "task_uuid": engine.storage.get_atom_uuid("a"),
        "old_state": "RUNNING",
        "result": "done a",
    }
    assert "result" not in heard["b", "RUNNING"]
    engine.storage.backend.close()


def test_leaving_a_loop_loses_nothing(url):
    """Iterating again goes on with the next entry, and `position` says where."""
    done = threading.Event()
    done.set()
    engine = redisflow.load(Wait("a", done), run_id="r1", url=url)
    engine.run()
    with redisflow.follow("r1", url=url) as following:
        whole = list(following)
    seen = []
    with redisflow.follow(engine.storage.flow_uuid, url=url) as following:
        for entry in following:
            seen.append(entry)
            assert following.position == entry.id
            if len(seen) == 2:
                break
        seen += following
    assert seen == whole
    with redisflow.follow("r1", url=url, since=whole[3].rev) as following:
        assert list(following) == whole[4:]
    engine.storage.backend.close()


def test_a_gap_is_given_and_moves_the_position(url, admin, namespace):
    """A journal that was cut off: the gap comes as a value of its own."""
    done = threading.Event()
    done.set()
    engine = redisflow.load(Wait("a", done), run_id="r1", url=url)
    engine.run()
    events = Keys(namespace).of_flow(flow_uuid_of("r1", namespace)).events
    last = admin.xrevrange(events, count=1)[0][0]
    admin.xtrim(events, minid=last, approximate=False)
    with redisflow.follow("r1", url=url) as following:
        gap, entry = following
        assert gap == Gap("trimmed", "0-0")
        assert (entry.id, following.position) == (last, last)
    engine.storage.backend.close()


def test_an_unknown_run(url):
    """NotFound, with the name."""
    with pytest.raises(NotFound, match="no flow with run id or uuid 'nope'"):
        redisflow.follow("nope", url=url)


@pytest.mark.parametrize("since", ["now", "last"])
def test_a_position_is_one_to_go_on_from_before_anything_is_read(url, since):
    """Where it was told to begin, not what it was told, and not the beginning."""
    done = threading.Event()
    done.set()
    engine = redisflow.load(Wait("a", done), run_id="r1", url=url)
    engine.run()
    with redisflow.follow("r1", url=url) as following:
        last = list(following)[-1]
    with redisflow.follow(
        "r1", url=url, since=last.rev if since == "last" else since
    ) as following:
        assert list(following) == []
        assert following.position == last.id
    engine.storage.backend.close()


@pytest.mark.parametrize("how", ["trimmed", "deleted"])
def test_a_journal_that_is_wholly_gone_is_a_gap(url, admin, namespace, how):
    """Nothing is left to tell of, and that is said."""
    done = threading.Event()
    done.set()
    engine = redisflow.load(Wait("a", done), run_id="r1", url=url)
    engine.run()
    events = Keys(namespace).of_flow(flow_uuid_of("r1", namespace)).events
    if how == "trimmed":
        admin.xtrim(events, maxlen=0, approximate=False)
    else:
        admin.delete(events)
    with redisflow.follow("r1", url=url) as following:
        assert list(following) == [Gap("trimmed", "0-0")]
    engine.storage.backend.close()


def test_listeners_hear_of_a_flow_that_was_made_anew(url, backend):
    """Another flow of the same run id has other atoms, and another name."""
    done = threading.Event()
    done.set()
    first = redisflow.load(Wait("a", done), run_id="r1", url=url)
    first.run()
    heard = []
    with redisflow.follow("r1", url=url, forever=True) as following:
        entries = iter(following)
        assert next(entries).rev == 1
        remove_flow(backend, first.storage.flow_uuid)
        flow = linear_flow.Flow("other").add(Wait("b", done))
        second = redisflow.load(flow, run_id="r1", url=url)
        second.run()
        with capturing.CaptureListener(following, values=heard):
            for entry in entries:
                if isinstance(entry, Gap):
                    reasons = entry.reason
                    continue
                names = {details.get("flow_name") for _, _, details in heard}
                if "other" in names and (entry.new, entry.atom) == ("SUCCESS", ""):
                    break
    assert reasons == "recreated"
    assert "b" in {details.get("task_name") for _, _, details in heard}
    first.storage.backend.close()
    second.storage.backend.close()


def test_results_are_those_of_their_own_time_or_none(url):
    """What a later try has put in their place is not told as theirs."""
    tries = iter((OSError("one"), OSError("two"), None))

    class Try(task.Task):
        def execute(self):
            if (error := next(tries)) is not None:
                raise error
            return 3

    flow = linear_flow.Flow("f", retry=retry.Times(3, name="r")).add(Try("t"))
    engine = redisflow.load(flow, run_id="r1", url=url)
    engine.run()
    heard = []
    with (
        redisflow.follow("r1", url=url) as following,
        capturing.CaptureListener(following, values=heard),
    ):
        following.run()
    results = [
        (details.get("task_name") or "r", state, details["result"])
        for _, state, details in heard
        if "result" in details
    ]
    failures = [found for _, state, found in results if state == "FAILURE"]
    assert len(failures) == 2
    assert all("not kept" in failure.exception_str for failure in failures)
    assert results[-1] == ("t", "SUCCESS", 3)
    assert [found for name, _, found in results if name == "r"] == [None, None, 3]
    engine.storage.backend.close()


def test_a_value_that_cannot_be_read_here_stops_nobody(url, admin, namespace):
    """Its codec is elsewhere: the transition is told of, without the result."""
    done = threading.Event()
    done.set()
    engine = redisflow.load(Wait("a", done), run_id="r1", url=url)
    engine.run()
    keys = Keys(namespace).of_flow(flow_uuid_of("r1", namespace))
    admin.hset(keys.result(engine.storage.get_atom_uuid("a")), "results", "sealed")
    heard = []
    with (
        redisflow.follow("r1", url=url) as following,
        capturing.CaptureListener(following, values=heard),
    ):
        following.run()
    (told,) = [d for _, s, d in heard if s == "SUCCESS" and d.get("task_name") == "a"]
    assert told["result"] is None
    engine.storage.backend.close()
