"""``redisflow tail``: a journal, as it is and as it grows, whatever the server does."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import threading

import pytest
from taskflow.patterns import linear_flow

import redisflow
from redisflow.keys import FlowKeys, flow_uuid_of
from redisflow.persistence.journal import Journal
from tests.support.eventually import eventually
from tests.support.gates import Gate
from tests.support.own_server import OwnServer
from tests.support.screen import PROGRAM, Screen, environment
from tests.support.servers import KINDS
from tests.support.storages import Noop

pytestmark = [pytest.mark.timeout(180), pytest.mark.one_server]

SOON_S = 60.0
_DAY_MS = 86_400_000


class Running:
    """A run of one flow in a thread, and the program that shows its journal."""

    def __init__(self, url, namespace, message=""):
        self.url = url
        self.go_on = threading.Event()
        flow = linear_flow.Flow("f").add(
            Gate("shop.flows.Reserve", self.go_on),
            Gate("pay", self.go_on, message=message),
        )
        self.engine = redisflow.load(flow, run_id="nightly", url=url)
        self.events = FlowKeys(namespace, flow_uuid_of("nightly", namespace)).events
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        with contextlib.suppress(RuntimeError):
            self.engine.run()

    def end(self):
        """Let the run come to its end."""
        self.go_on.set()
        self.thread.join(SOON_S)
        self.engine.storage.backend.close()


@pytest.fixture
def running(url, namespace):
    """Start a run, and end it with the test."""
    run = Running(url, namespace)
    run.thread.start()
    yield run
    run.end()


class Tail:
    """The program with its output in files; ``with`` ends it."""

    def __init__(self, folder, url, *words):
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*PROGRAM, "tail", *words, "-o", "jsonl"],
                env=environment(url),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        with self.process:
            self.process.kill()

    @property
    def records(self):
        """What it has printed until now, whole lines."""
        text = self._out.read_text()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    @property
    def said(self):
        """Its standard error."""
        return self._err.read_text()


def entries(admin, key):
    """Name the entries of a journal."""
    return [name for name, _fields in admin.xrange(key)]


def ids(records):
    """Name the entries that were shown."""
    return [record["id"] for record in records if "id" in record]


# As it grows


def test_it_is_shown_as_it_grows_and_ends_with_the_run(url, running, admin):
    """On a terminal entries come while the run lasts; its end ends the program."""
    with Screen("tail", "nightly", columns=80, environment=environment(url)) as screen:
        eventually(lambda: "PENDING → RUNNING" in "\n".join(screen.lines), SOON_S)
        assert screen.process.poll() is None
        assert "SUCCESS" not in screen.written
        running.go_on.set()
        assert screen.end() == 0
        lines = screen.lines
    assert lines[-1].split()[2:6] == ["*", "RUNNING", "→", "SUCCESS"]
    assert len(lines) == len(entries(admin, running.events))
    moves = [re.search(r"\S+ → ", line) for line in lines if " → " in line]
    assert len({move.start() for move in moves}) == 1


@pytest.mark.slow
def test_ctrl_c_ends_it(url, running, tmp_path):
    """Status 130, and not a word."""
    with Tail(tmp_path, url, "nightly", "--follow", "forever") as tail:
        eventually(lambda: tail.records, SOON_S)
        tail.process.send_signal(signal.SIGINT)
        assert tail.process.wait(SOON_S) == 130
        assert tail.said == ""


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """Start a server that keeps what it acknowledges, to be killed."""
    options = ("--appendonly", "yes", "--appendfsync", "always")
    with contextlib.closing(
        OwnServer(request.param, tmp_path / "server", *options)
    ) as server:
        yield server


@pytest.mark.slow
def test_a_server_that_comes_back_is_gone_on_with(own, tmp_path):
    """It is told and waited for; no entry is left out, and none is shown twice."""
    run = Running(own.url, "redisflow")
    storage = run.engine.storage
    storage.ensure_atom(Noop("pay"))
    patient = f"{own.url}?deadline_s=1"
    with Tail(tmp_path, patient, "nightly", "--follow", "forever") as tail:
        storage.set_atom_state("pay", "RUNNING")
        eventually(lambda: ids(tail.records) == entries(own.client, run.events), SOON_S)
        for state in ("SUCCESS", "REVERTING"):
            before = len(tail.records)
            own.kill()
            eventually(lambda: "cannot be used" in tail.said, SOON_S)
            own.start()
            storage.set_atom_state("pay", state)
            eventually(lambda n=before: len(tail.records) > n, SOON_S)
        eventually(lambda: ids(tail.records) == entries(own.client, run.events), SOON_S)
        assert not any("gap" in record for record in tail.records)
        assert "; waiting" in tail.said
        assert "Traceback" not in tail.said
        tail.process.send_signal(signal.SIGINT)
        assert tail.process.wait(SOON_S) == 130
    storage.backend.close()


@pytest.mark.slow
def test_what_a_server_has_lost_is_named(own, tmp_path):
    """A gap stands where entries have become void; what comes after it is shown."""
    run = Running(own.url, "redisflow")
    storage = run.engine.storage
    storage.ensure_atom(Noop("pay"))
    mark = own.mark()
    with Tail(tmp_path, own.url, "nightly", "--follow", "forever") as tail:
        storage.set_atom_state("pay", "RUNNING")
        lost = entries(own.client, run.events)
        eventually(lambda: ids(tail.records) == lost, SOON_S)
        own.rewind(mark)
        eventually(lambda: tail.records[-1].get("gap") == "rewound", SOON_S)
        storage.set_atom_state("pay", "RUNNING")
        fresh = [e for e in entries(own.client, run.events) if e not in lost]
        assert fresh
        eventually(lambda: ids(tail.records) == [*lost, *fresh], SOON_S)
    storage.backend.close()


@pytest.mark.parametrize(
    "said",
    ["no worker is alive: waiting", "submitted, and no worker serves: waiting"],
)
def test_it_says_once_that_nobody_is_there(url, namespace, typed, monkeypatch, said):
    """Whoever follows a run that nobody works on is told what it waits for."""
    if said.startswith("submitted"):
        redisflow.submit("shop:factory", run_id="nightly", url=url)
    else:
        Running(url, namespace).engine.storage.backend.close()
    read, reads = Journal.read, []

    def looked(journal, _block_s):
        reads.append(journal)
        if len(reads) == 4:
            raise KeyboardInterrupt
        return read(journal, 0.0)

    monkeypatch.setattr(Journal, "read", looked)
    status, _out, err = typed("tail", "nightly")
    assert (status, err) == (130, f"redisflow: {said}\n")


# As it is


def test_what_was_read_until_ctrl_c_is_one_document(running, typed, monkeypatch):
    """Whoever asks for JSON gets it, with status 130."""
    running.end()
    read = Journal.read

    def interrupted(journal, block_s):
        if block_s and (found := read(journal, 0.0)):
            return found
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "read", interrupted)
    status, out, err = typed("tail", "nightly", "--follow", "forever", "-o", "json")
    assert (status, err) == (130, "")
    assert json.loads(out)["entries"][-1]["to"] == "SUCCESS"


def test_what_was_cut_off_is_named(running, admin, typed):
    """A line for people, a record for programs, before what is left."""
    running.end()
    admin.xtrim(running.events, maxlen=3, approximate=False)
    status, out, _err = typed("tail", "nightly")
    assert status == 0
    assert out.startswith("--- the beginning of the journal was cut off")
    assert len(out.splitlines()) == 4
    _status, out, _err = typed("tail", "nightly", "-o", "jsonl")
    assert json.loads(out.splitlines()[0])["gap"] == "trimmed"


def test_it_can_begin_later(running, admin, typed):
    """After a revision, or with the last entries."""
    running.end()
    revs = [int(fields["rev"]) for _id, fields in admin.xrange(running.events)]
    for words, expected in (
        (("--since", str(revs[3])), revs[4:]),
        (("-n", "2"), revs[-2:]),
        (("-n", "0"), []),
    ):
        _status, out, _err = typed("tail", "nightly", *words, "-o", "json")
        assert [each["rev"] for each in json.loads(out)["entries"]] == expected
    assert typed("tail", "nightly", "-n", "1", "--since", "1")[0] == 2


def test_another_day_is_told(running, admin, typed):
    """Times are of today, unless a line above says of which day they are."""
    running.end()
    assert "--- " not in typed("tail", "nightly")[1]
    rows = admin.xrange(running.events)
    admin.delete(running.events)
    for name, fields in rows[:4]:
        time_ms, _, number = name.partition("-")
        admin.xadd(running.events, fields, f"{int(time_ms) - 3 * _DAY_MS}-{number}")
    for name, fields in rows[4:]:
        admin.xadd(running.events, fields, name)
    lines = typed("tail", "nightly")[1].splitlines()
    days = [place for place, line in enumerate(lines) if line.startswith("--- ")]
    assert days == [0, 5]


def test_its_status_is_that_of_the_run(url, namespace, typed):
    """1 for one that was reverted; nothing is said beside the entries."""
    run = Running(url, namespace, "no money")
    run.go_on.set()
    run.thread.start()
    run.end()
    status, out, err = typed("tail", "nightly")
    assert (status, err) == (1, "")
    assert "RUNNING → REVERTED" in out.splitlines()[-1]


def test_notes_that_are_long_go_on_below(running, url, typed):
    """On a terminal a reason is read whole, under what it belongs to."""
    running.end()
    reason = "the input of the night before was taken " * 4
    assert typed("reset", "nightly", "pay", "--yes", "--reason", reason)[0] == 0
    words = ("tail", "nightly", "--follow", "no")
    with Screen(*words, columns=80, environment=environment(url)) as screen:
        screen.end()
        lines = screen.lines
    assert all(len(line) <= 80 for line in lines)
    place = next(n for n, line in enumerate(lines) if "reset pay" in line)
    assert re.match(r" {19}\S", lines[place + 1])
    assert reason.strip() in " ".join(" ".join(lines[place:]).split())
    assert reason.strip() in typed("tail", "nightly", "--follow", "no")[1]
