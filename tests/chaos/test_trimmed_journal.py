"""Somebody cuts the beginning of a journal off while others read it.

Readers are processes of their own: ``redisflow tail``, and a program that follows. What
they were given, and where they were told of a gap, is compared with a copy of the whole
journal: between two entries without a gap there never was another one.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from tests.support.eventually import eventually
from tests.support.screen import PROGRAM, environment
from tests.support.workloads import whole_lines

pytestmark = [pytest.mark.chaos, pytest.mark.one_server, pytest.mark.timeout(120)]

LEASE_S = 8.0
NAMES = [f"t{number}" for number in range(8)]

#: How many entries are left at last.
LEFT = 5

_FOLLOWS = """
import json, sys
import redisflow
from redisflow.persistence.journal import Gap

since = int(sys.argv[1]) if sys.argv[1:] else None
with redisflow.follow("fault", since=since) as following:
    for entry in following:
        gap = isinstance(entry, Gap)
        record = {"gap": entry.reason} if gap else {"id": entry.id, "rev": entry.rev}
        print(json.dumps(record), flush=True)
"""


class Reader:
    """A process that reads a journal; `with` ends it.

    Args:
        kind: "follow" or "tail".
        stage: where the flow is.
        since: the revision after which it begins.
    """

    def __init__(self, kind, stage, since=None):
        self._file = stage.folder / f"{kind}.{since}"
        words = [sys.executable, "-c", _FOLLOWS, *([] if since is None else [since])]
        if kind == "tail":
            words = [*PROGRAM, "tail", stage.run_id, "-o", "jsonl"]
            words += [] if since is None else ["--since", since]
        with self._file.open("w") as out:
            self.process = subprocess.Popen(
                list(map(str, words)), env=environment(stage.url), stdout=out
            )

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        with self.process:
            self.process.kill()

    @property
    def records(self):
        """What it has told so far: entries and gaps."""
        return [json.loads(line) for line in whole_lines(self._file)]

    @property
    def last(self):
        """The id of the entry that it has told last."""
        ids = [record["id"] for record in self.records if "id" in record]
        return ids[-1] if ids else ""


def gaps_between(records, journal):
    """Count the gaps; between other neighbours there was never another entry."""
    place = {name: number for number, name in enumerate(journal)}
    told, gaps = [-1], []
    for record in records:
        if "id" in record:
            told.append(place[record["id"]])
        else:
            assert record["gap"] == "trimmed"
            gaps.append(len(told))
    for number, (here, there) in enumerate(pairwise(told), 1):
        assert there == here + 1 or (there > here and number in gaps), records
    return len(gaps)


@pytest.fixture(params=["follow", "tail"])
def kind(request):
    """Name a kind of reader."""
    return request.param


@pytest.fixture
def half_way(stage):
    """Run a flow up to its middle; gives what lets it go on, and then its journal."""
    gate = stage.gate("go-on")
    middle = NAMES[len(NAMES) // 2]
    with stage.crew("line", LEASE_S, names=NAMES, gates={middle: str(gate)}) as crew:
        member = crew.start()
        eventually(lambda: stage.ran(middle), 30)

        def go_on():
            gate.touch()
            member.report()
            return journal(stage)

        yield go_on


def journal(stage):
    """Name the entries that there are."""
    return [name for name, _ in stage.admin.xrange(stage.keys.events)]


def trim(stage, name):
    """Cut off what comes before an entry."""
    stage.admin.xtrim(stage.keys.events, minid=name, approximate=False)


def test_reader_stands_still(stage, half_way, kind):
    """One that sleeps while its next entries go is told, and reads what is left."""
    with Reader(kind, stage) as reader:
        eventually(lambda: reader.last == journal(stage)[-1], 30)
        reader.process.send_signal(signal.SIGSTOP)
        whole = half_way()
        trim(stage, whole[-LEFT])
        reader.process.send_signal(signal.SIGCONT)
        assert reader.process.wait(30) == 0
        assert reader.last == whole[-1]
        assert gaps_between(reader.records, whole) == 1


def test_reader_dies(stage, half_way, kind):
    """One that begins again where it was is told first what it has missed."""
    with Reader(kind, stage) as reader:
        eventually(lambda: reader.last == journal(stage)[-1], 30)
        reader.process.kill()
        rev = reader.records[-1]["rev"]
    whole = half_way()
    trim(stage, whole[-LEFT])
    with Reader(kind, stage, since=rev) as reader:
        assert reader.process.wait(30) == 0
        first, *others = reader.records
    assert first["gap"] == "trimmed"
    assert [record["id"] for record in others] == whole[-LEFT:]


class Cutter:
    """Cuts off all but the newest entry, again and again; `with` ends it.

    Args:
        stage: where the flow is.

    Attributes:
        whole: names of all entries that there ever were.
    """

    def __init__(self, stage):
        self._stage = stage
        self.whole = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._cut_on)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        self._thread.join()

    def has_passed(self, reader):
        """Whether what comes next for a reader is gone."""
        first = journal(self._stage)[0]
        return self._place(first) > self._place(reader.last) + 1

    def _place(self, name):
        return self.whole.index(name) if name in self.whole else -1

    def _cut_on(self):
        last = False
        while not last:
            last = self._over.is_set()
            since = f"({self.whole[-1]}" if self.whole else "-"
            rows = self._stage.admin.xrange(self._stage.keys.events, since)
            self.whole += [name for name, _ in rows]
            trim(self._stage, self.whole[-1])


def test_nothing_is_left_to_read(stage):
    """All but the newest go again and again; readers sleep at first, and then race."""
    gate = stage.gate("go-on")
    line = {"names": [f"t{n}" for n in range(40)], "gates": {"t0": str(gate)}}
    with stage.crew("line", LEASE_S, **line) as crew, contextlib.ExitStack() as stack:
        for _ in range(2):
            crew.start()
        eventually(lambda: stage.ran("t0"), 30)
        readers = [
            stack.enter_context(Reader(kind, stage)) for kind in ("follow", "tail")
        ]
        eventually(lambda: all(reader.last for reader in readers), 30)
        with Cutter(stage) as cutter:
            for reader in readers:
                reader.process.send_signal(signal.SIGSTOP)
            gate.touch()
            eventually(lambda: all(map(cutter.has_passed, readers)), 30)
            for reader in readers:
                reader.process.send_signal(signal.SIGCONT)
            reports = [member.report() for member in crew.members]
        assert [reader.process.wait(30) for reader in readers] == [0, 0]
    assert [report["outcome"] for report in reports] == ["SUCCESS"] * 2
    for reader in readers:
        assert reader.last == cutter.whole[-1]
        assert gaps_between(reader.records, cutter.whole) >= 1
