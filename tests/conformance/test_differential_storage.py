"""Random calls on TaskFlow's storage and on ours: the same comes of each of them.

TaskFlow's runs on its memory backend. Ours are two, which share a flow and take turns:
what one of them writes the other one reads, so that together they have to be what
TaskFlow's is alone. A call has to return the same, or to raise the same class, and in
the end both are asked for all that they know.

What differs on purpose is left out, or asked in another way, by name:

* ``StaleToken``: a second storage does not replace the first one's result of a task.
  Results of tasks are saved through one of the two.
* Failures: TaskFlow remembers those saved through this very object, even when a later
  result has replaced them. Ours tells what the flow holds, as TaskFlow's does once it
  is made anew from its details; such a one is asked here.
* A result of FAILURE or REVERT_FAILURE is a ``Failure``. TaskFlow takes anything.
* States and intentions that do not exist are refused. TaskFlow stores any text.
* Names of metadata, values and atoms are text. TaskFlow takes anything that can be
  hashed.
* The metadata entry ``injected`` belongs to ``inject_atom_args``, which merges.
* Transient values stay with the storage that has them, and so do the calls after them.
* Several providers of a name have one order everywhere, that of their creation. In
  TaskFlow it is that of the calls of this object; here every atom is given its details
  once, and provides the same names when it is given them again.
"""

from __future__ import annotations

import logging
import uuid

import hypothesis
import pytest
from hypothesis import strategies as st
from taskflow import retry, states
from taskflow.persistence import models
from taskflow.persistence.backends import impl_memory
from taskflow.storage import Storage as TaskFlowStorage
from taskflow.types.failure import Failure

from redisflow import RedisBackend, Storage
from redisflow.persistence.names import ATOM_STATES
from tests.support.storages import Noop, failure_of

pytestmark = pytest.mark.one_server

#: What each atom provides; several provide the same, in different places.
TASKS = {"t1": "x", "t2": ("x", "y"), "t3": {"k", "y"}, "t4": None}
RETRIES = {"r1": "x", "r2": ("z", "y")}
INJECTOR = TaskFlowStorage.injector_name
UNKNOWN = "nobody"

FAILURES = [failure_of(kind("broken")) for kind in (OSError, ValueError)]
FLOW_STATES = (
    states.PENDING,
    states.RUNNING,
    states.SUCCESS,
    states.FAILURE,
    states.REVERTED,
    states.SUSPENDING,
    states.SUSPENDED,
    states.RESUMING,
)

#: What of an atom's details has to be the same.
FIELDS = (
    "name",
    "state",
    "intention",
    "results",
    "failure",
    "revert_results",
    "revert_failure",
    "meta",
    "version",
)

atoms = st.sampled_from([*TASKS, *TASKS, *RETRIES, *RETRIES, UNKNOWN])
tasks = st.sampled_from([*TASKS, *TASKS, "r1", UNKNOWN])
retries = st.sampled_from([*RETRIES, *RETRIES, "t1", UNKNOWN])
names = st.sampled_from(["x", "y", "z", "k", "n", "none"])
scalars = st.none() | st.integers(-3, 3) | st.sampled_from(["", "k", "text", 0.5])
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.tuples(scalars, scalars),
    st.dictionaries(st.sampled_from(["k", "y", "x"]), scalars, max_size=3),
)
entries = st.dictionaries(st.sampled_from(["x", "y", "n"]), values, max_size=2)
some_entries = st.dictionaries(
    st.sampled_from(["x", "y", "n"]), values, min_size=1, max_size=2
)
mappings = st.dictionaries(st.sampled_from(["one", "two"]), names, max_size=2)
scopes = st.none() | st.lists(
    st.lists(st.sampled_from([*TASKS, *RETRIES]), max_size=3, unique=True), max_size=3
)
optional = st.none() | st.lists(st.sampled_from(["one", "two"]), max_size=2)
results = st.one_of(
    st.tuples(values, st.sampled_from([states.SUCCESS, states.REVERTED])),
    st.tuples(
        st.sampled_from(FAILURES),
        st.sampled_from([states.FAILURE, states.REVERT_FAILURE]),
    ),
    st.tuples(values, st.sampled_from([states.RUNNING, states.REVERTING])),
)


def call(name, *arguments, **options):
    """Draw a call of a method."""
    return st.tuples(
        st.just(name),
        st.tuples(*arguments),
        st.fixed_dictionaries({}, optional=options),
    )


READS = st.one_of(
    call("get_atom_state", atoms | st.just(INJECTOR)),
    call("get_atom_intention", atoms),
    call("get_atoms_states", st.lists(atoms, max_size=3)),
    call("get_task_progress", tasks),
    call("get_task_progress_details", tasks),
    call("get", atoms | st.just(INJECTOR)),
    call("get_revert_result", atoms),
    call("get_retry_history", retries),
    call("get_retry_histories"),
    call("get_flow_state"),
    call("fetch_all"),
    call("fetch", names, many_handler=st.sampled_from([list, len])),
    call(
        "fetch_mapped_args",
        mappings,
        atom_name=atoms,
        scope_walker=scopes,
        optional_args=optional,
    ),
    call(
        "fetch_unsatisfied_args",
        atoms,
        mappings,
        scope_walker=scopes,
        optional_args=optional,
    ),
)
FAILURE_READS = st.one_of(
    call("has_failures"),
    call("get_failures"),
    call("get_execute_failures"),
    call("get_revert_failures"),
)
SAVES = st.tuples(st.just("save"), st.tuples(atoms, results)).map(
    lambda drawn: ("save", (drawn[1][0], *drawn[1][1]), {})
)
WRITES = st.one_of(
    SAVES,
    SAVES,
    call("set_atom_state", atoms, st.sampled_from(ATOM_STATES)),
    call("set_atom_intention", atoms, st.sampled_from(states.INTENTIONS)),
    call("reset", atoms | st.just(INJECTOR), state=st.sampled_from(ATOM_STATES)),
    call("update_atom_metadata", atoms, st.none() | entries),
    call("set_task_progress", tasks, scalars, details=st.none() | entries),
    call("inject", entries),
    call("inject", entries.map(lambda found: list(found.items()))),
    call("inject", entries, transient=st.just(True)),
    # Of nothing that is injected TaskFlow keeps a note in the metadata, ours does not.
    call("inject_atom_args", atoms, some_entries, transient=st.booleans()),
    call("update_flow_metadata", st.none() | entries),
    call("change_flow_state", st.sampled_from(FLOW_STATES)),
    call("set_flow_state", st.sampled_from(FLOW_STATES)),
)
HISTORIES = st.one_of(
    call("save", retries, values),
    call("save_retry_failure", retries, atoms, st.sampled_from(FAILURES)),
    call("cleanup_retry_history", retries, st.sampled_from(ATOM_STATES)),
    call("get_retry_history", retries),
)
ENSURES = st.one_of(
    call("ensure_atom", st.sampled_from([*TASKS, *RETRIES])),
    call("ensure_atoms", st.lists(st.sampled_from([*TASKS, *RETRIES]), unique=True)),
    call("ensure_atom", st.sampled_from(["!t1", "!r1", "", "object"])),
)
STEPS = st.tuples(
    st.booleans(),
    st.one_of(
        WRITES, WRITES, HISTORIES, HISTORIES, READS, READS, FAILURE_READS, ENSURES
    ),
)

#: What the storages may differ in from then on, as one has values of its own.
_TRANSIENT = ("inject", "inject_atom_args")
_BY_NAME = ("fetch", "fetch_all", "fetch_mapped_args", "fetch_unsatisfied_args")


class Again(retry.Retry):
    """Does nothing."""

    def on_failure(self, history, *_args, **_kwargs):
        """Give up."""
        return retry.REVERT

    def execute(self, history, *_args, **_kwargs):
        """Return nothing."""


def atom_of(name):
    """Make the atom of a name; one of the other kind after a mark."""
    if name == "object":
        return object()
    if name == "":
        atom = Noop("nameless")
        atom.name = ""
        return atom
    if name.startswith("!"):
        other = name[1:]
        return Again(other) if other in TASKS else Noop(other)
    if name in TASKS:
        return Noop(name, provides=TASKS[name])
    return Again(name, provides=RETRIES[name])


class Pair:
    """One storage of TaskFlow and two of ours, given the same calls."""

    def __init__(self, backends, log):
        self.log = log
        self.memory = impl_memory.MemoryBackend()
        book = models.LogBook("book")
        self.detail = models.FlowDetail("f", str(uuid.uuid4()))
        book.add(self.detail)
        connection = self.memory.get_connection()
        connection.save_logbook(book)
        self.theirs = TaskFlowStorage(self.detail, self.memory)
        flow = models.FlowDetail("f", str(uuid.uuid4()))
        self.ours = [Storage(flow, backends[0])]
        self.ours[0].get_flow_state()
        self.ours += [Storage(models.FlowDetail("f", flow.uuid), backends[1])]
        self.alone = False

    def step(self, second, what):
        """Make one call, and assert that the same comes of it."""
        name, arguments, options = what
        if name.startswith("ensure"):
            self.ensure(second, name, *arguments)
            return
        if name in _TRANSIENT and options.get("transient", name != "inject"):
            self.alone = True  # from now on only one of the two knows all
        ours = self.ours[second]
        if (name == "save" and arguments[0] in TASKS) or self.alone:
            ours = self.ours[0]
        theirs = self.theirs
        if "failures" in name:
            theirs = TaskFlowStorage(self.detail, self.memory)
        expected = outcome(lambda: getattr(theirs, name)(*arguments, **options))
        warned = self.told()
        found = outcome(lambda: getattr(ours, name)(*arguments, **options))
        if name == "get_revert_result" and arguments[0] in RETRIES:
            # TaskFlow loses what a retry's revert returned when it saves the details.
            assert found[0] == expected[0]
        else:
            agree(name, found, expected)
        assert self.told() == warned

    def told(self):
        """Return the warnings of the last call."""
        # Locks that earlier tests have left to their leases speak up at any time.
        of_storages = ("taskflow.storage", "redisflow.storage")
        messages = sorted(
            record.getMessage()
            for record in self.log.records
            if record.name.startswith(of_storages)
        )
        self.log.clear()
        return messages

    def ensure(self, second, name, wanted):
        """Give atoms their details; those of known atoms stay the same."""
        made = list(map(atom_of, wanted)) if name == "ensure_atoms" else atom_of(wanted)
        ours = self.ours[second]
        expected = outcome(lambda: bool(getattr(self.theirs, name)(made)))
        found = outcome(lambda: getattr(ours, name)(made))
        if found[0] == "returned":
            uuids = found[1] if isinstance(found[1], list) else [found[1]]
            known = wanted if name == "ensure_atoms" else [wanted]
            assert uuids == [ours.get_atom_uuid(atom) for atom in known]
            found = ("returned", bool(found[1]))
        agree(name, found, expected)

    def compare(self):
        """Assert that both know the same in the end."""
        for number in (0, 1):
            self.ours[number].get_flow_state()
        for name in [*TASKS, *RETRIES, INJECTOR]:
            for read in ("get_atom_state", "get_atom_intention", "get"):
                self.step(not self.alone, (read, (name,), {}))
            self.step(not self.alone, ("get_revert_result", (name,), {}))
        for read in ("get_retry_histories", "get_flow_state", "fetch_all"):
            self.step(not self.alone, (read, (), {}))
        for read in ("has_failures", "get_execute_failures", "get_revert_failures"):
            self.step(not self.alone, (read, (), {}))
        metas = {detail.name: detail.meta for detail in self.detail}
        for ours in self.ours:
            assert ours.flow_meta == self.theirs.flow_meta
            assert {d.name: d.meta for d in ours._flowdetail} == metas
        self.compare_stored()

    def compare_stored(self):
        """Assert that what is stored reads as the details of TaskFlow do."""
        connection = self.ours[0].backend.get_connection()
        stored = connection.get_flow_details(self.ours[0].flow_uuid)
        for mine, theirs in zip(stored, self.detail, strict=True):
            fields = [f for f in FIELDS if f != "revert_results" or mine.name in TASKS]
            for field in fields:
                found, expected = (plain(getattr(d, field)) for d in (mine, theirs))
                assert found == expected, (mine.name, field)


def outcome(operation):
    """Make a call; tell what it returned or raised, in a form that can be compared."""
    try:
        return "returned", plain(operation())
    except Exception as error:  # noqa: BLE001 - that is what is compared
        return "raised", error


def agree(name, found, expected):
    """Assert that two outcomes are the same; of errors it is TaskFlow's class."""
    if expected[0] == "raised" and found[0] == "raised":
        assert isinstance(found[1], type(expected[1])), (name, found, expected)
        return
    assert found == expected, name


def plain(value):
    """Turn what cannot be compared into what can."""
    if isinstance(value, Failure):
        return ("failure", tuple(value), value.exception_str)
    if isinstance(value, retry.History):
        return (plain(list(value)), plain(value.failure))
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    return value


@pytest.fixture
def backends(url):
    """Open two backends on the test's server."""
    opened = [RedisBackend.from_url(url) for _ in range(2)]
    yield opened
    for backend in opened:
        backend.close()


@hypothesis.settings(
    max_examples=60,
    # Failing examples are short enough to be read, and slow to be made shorter.
    phases=[p for p in hypothesis.Phase if p is not hypothesis.Phase.shrink],
)
@hypothesis.given(st.lists(STEPS, min_size=10, max_size=40))
def test_the_same_comes_of_every_call(backends, caplog, steps):
    """Both storages answer alike, call by call, and know the same in the end."""
    caplog.set_level(logging.WARNING)
    pair = Pair(backends, caplog)
    pair.step(False, ("ensure_atoms", (["t1", "t2", "r1"],), {}))
    for second, what in steps:
        hypothesis.note(f"{'second' if second else 'first'}: {what}")
        pair.step(second, what)
    pair.compare()
