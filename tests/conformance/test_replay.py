"""Random flows run by several processes, and their journals played again by TaskFlow.

Each flow has retries, deciders, failures, reverts that fail, flows in flows and empty
ones, and is run by one, two, three or five engines in processes of their own.
TaskFlow's selector and completer then say of each entry of its journal whether it was
allowed (see `tests.support.replay`), and TaskFlow's storage what has to be left at the
end. Where nothing fails, that is also what TaskFlow's serial engine leaves.

A batch draws its flows from the seed of the run and their numbers. ``--flow`` takes the
number of one, and runs that again and again. REPLAY_FLOWS asks for more of them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from dataclasses import replace

import pytest
from oslo_utils import uuidutils
from taskflow import states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.config import parse_url
from redisflow.keys import Keys
from tests.support.crowded_flows import CROWDED
from tests.support.flow_crew import draw_job, run_together
from tests.support.outcomes import by_taskflow, outcome_of
from tests.support.processes import Crew
from tests.support.records import Flow
from tests.support.replay import NotAllowed, Replay
from tests.support.verdict import broken_records

pytestmark = [
    pytest.mark.one_server,
    pytest.mark.conformance,
    pytest.mark.timeout(180),
]

FLOWS = int(os.environ.get("REPLAY_FLOWS", "320"))
FLOWS_PER_BATCH = 20
DEFAULT_BATCHES = 2
MOST_WORKERS = 5
AGAIN = 50
CROWDS = 6


@pytest.fixture(scope="module")
def crew():
    """Start the processes once for all flows."""
    with Crew(MOST_WORKERS) as crew:
        yield crew


class Stand:
    """Where a flow is run and judged.

    Args:
        crew: the processes.
        url: the server.
        admin: a client that answers in text.
        backend: a backend of this process.
    """

    def __init__(self, crew, url, admin, backend):
        self._crew = crew
        self._url = url
        self._admin = admin
        self._backend = backend

    def run(self, job):
        """Run a flow, and assert all that has to hold of it."""
        book = models.LogBook("b")
        detail = models.FlowDetail("f", uuidutils.generate_uuid())
        book.add(detail)
        self._backend.get_connection().save_logbook(book)
        told = self._crew.race(run_together, self._url, detail.uuid, job)
        told = [each for each in told if each is not None]
        flow = Flow(
            self._admin, Keys(parse_url(self._url).namespace).of_flow(detail.uuid)
        )
        assert broken_records(flow) == []
        replay = Replay(job.shape, job.shared)
        replay.play(flow.journal)
        self._compare(job, detail.uuid, told, replay)
        return flow

    def _compare(self, job, uuid, told, replay):
        """Compare what the processes have told, and the keys, with the replay."""
        expected, shape = replay.outcome(), job.shape
        assert {each.outcome for each in told} == {expected.flow}
        errors = {each.error for each in told}
        assert len(errors) == 1, f"the engines do not agree: {errors}"
        if not replay.halted:
            assert errors == {expected.error}
            notes = Counter(note for each in told for note in each.notes)
            assert notes == Counter(expected.notes), "something ran once too often"
        storage = Storage(models.FlowDetail("f", uuid), self._backend)
        found = outcome_of(
            storage, shape.plans, None, expected.notes, controls=shape.controls
        )
        found.error = expected.error
        assert found == expected
        if expected.flow == states.SUCCESS and not replay.failed:
            alone = by_taskflow(shape, **job.shared)
            if alone.error == ("InvalidState",):
                # It looks for work after each atom that ends, and misses what a nay has
                # made ready elsewhere: it stops, though its selector knows of more.
                assert alone.flow == states.RUNNING
                return
            found.notes, alone.notes = sorted(found.notes), sorted(alone.notes)
            assert found == alone
            assert max(Counter(found.notes).values(), default=1) == 1


@pytest.fixture
def stand(crew, url, admin):
    """Give a place where flows are run."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        yield Stand(crew, url, admin, backend)


def pytest_generate_tests(metafunc):
    """Make the batches; the first ones are in every run of the tests."""
    if "batch" not in metafunc.fixturenames:
        return
    if metafunc.config.option.flow is not None:
        metafunc.parametrize("batch", ["again"])
        return
    metafunc.parametrize(
        "batch",
        [
            pytest.param(batch, marks=[pytest.mark.slow] * (batch >= DEFAULT_BATCHES))
            for batch in range(-(-FLOWS // FLOWS_PER_BATCH))
        ],
    )


def test_taskflow_would_have_done_the_same(batch, seed, request, stand):
    """All that was begun was allowed, all that failed was resolved as by TaskFlow."""
    if batch == "again":
        numbers = [request.config.option.flow] * AGAIN
    else:
        numbers = range(batch * FLOWS_PER_BATCH, (batch + 1) * FLOWS_PER_BATCH)
    for number in numbers:
        job = draw_job(seed, number)
        try:
            stand.run(job)
        except Exception as error:
            test = request.node.nodeid.partition("[")[0]
            error.add_note(
                f"{job}\nto repeat: pytest --seed {seed} --flow {number} {test}"
            )
            raise


@pytest.mark.parametrize("name", CROWDED)
def test_much_comes_at_a_moment(name, stand):
    """Deciders, failures and retries that meet do not undo what the others did."""
    for _ in range(CROWDS):
        stand.run(CROWDED[name])


def _too_early(journal):
    """Let a task begin before the one that it waits for has ended."""
    moves = [(entry.atom, entry.new) for entry in journal]
    begun = journal.pop(moves.index(("b0", states.RUNNING)))
    journal.insert(moves.index(("a0", states.SUCCESS)), begun)


def _other_decision(journal):
    """Let a controller give up that has to try again."""
    told = next(n for n, entry in enumerate(journal) if entry.intention == states.RETRY)
    journal[told] = replace(journal[told], intention=states.REVERT)


def _left_out(journal):
    """Let a failure be without consequences, and the flow end."""
    failed = next(n for n, entry in enumerate(journal) if entry.new == states.FAILURE)
    del journal[failed + 1 : -1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_too_early, "allowed are"),
        (_other_decision, "TaskFlow makes it"),
        (_left_out, "was not resolved"),
    ],
)
def test_a_spoiled_journal_is_not_allowed(spoil, says, stand):
    """The replay tells a journal that TaskFlow would not have written."""
    job = CROWDED["retries"]
    journal = list(stand.run(job).journal)
    spoil(journal)

    with pytest.raises(NotAllowed, match=re.escape(says)):
        Replay(job.shape, job.shared).play(journal)
