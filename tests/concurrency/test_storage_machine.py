"""Storages in two processes, driven by random calls, beside a plain model of a flow.

Each call is made in one of the two. What it answers, and what both then read, has to be
what the model says: one dictionary, as if there were neither processes nor a server.
"""

from __future__ import annotations

import contextlib
import uuid

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st
from taskflow import exceptions, states
from taskflow.persistence import models

from redisflow import RedisBackend, Storage
from redisflow.persistence.names import ATOM_STATES
from tests.support.lock_process import LockProcess
from tests.support.storages import Noop, failure_of

pytestmark = [pytest.mark.one_server, pytest.mark.timeout(120)]

NAMES = ("a", "b", "c")
FAILED = failure_of(OSError("disk"))
FLOW_STATES = (states.RUNNING, states.SUSPENDING, states.SUSPENDED, states.RESUMING)

either = st.sampled_from((0, 1))
names = st.sampled_from(NAMES)
atom_states = st.sampled_from(ATOM_STATES)
values = st.one_of(st.none(), st.integers(0, 9), st.tuples(st.just("x"), st.booleans()))
keys = st.sampled_from(("k", "l"))


class Atom:
    """What is known of an atom."""

    def __init__(self):
        self.meta = {}
        self.reset(states.PENDING)

    def reset(self, state):
        """Put it back to a state, without results."""
        self.state, self.intention = state, states.EXECUTE
        self.result = self.failure = None
        self.saved_by = None

    def save(self, process, result, state):
        """Take a result; returns whether it came too late."""
        if self.saved_by not in (None, process) and self.state in _FINISHED:
            return True
        self.state, self.saved_by = state, process
        failed = state == states.FAILURE
        self.result, self.failure = (None, result) if failed else (result, None)
        return False


_FINISHED = (states.SUCCESS, states.FAILURE)


class Flow(stateful.RuleBasedStateMachine):
    """The model, and the two processes.

    Attributes:
        url: of the server; set by the test, like all that follows.
        ask: calls a method of the storage of one process.
        new_flow: makes a flow for both, and returns its uuid.
    """

    new_flow = ask = None

    def __init__(self):
        super().__init__()
        self.atoms, self.values, self.meta = {}, {}, {}
        self.state = states.PENDING
        self.uuid = type(self).new_flow()

    def call(self, process, method, *args, **kwargs):
        """Call a method in one of the processes; an exception comes as its name."""
        return type(self).ask(process, self.uuid, method, *args, **kwargs)

    def about(self, name, answer):
        """Return an atom; of an unknown one, assert that it was called that."""
        if name not in self.atoms:
            assert answer == "NotFound"
        return self.atoms.get(name)

    @stateful.rule(process=either, name=names)
    def ensure(self, process, name):
        """Details are made once; both processes get the same."""
        first = self.call(process, "ensure_atom", Noop(name))
        assert self.call(1 - process, "get_atom_uuid", name) == first
        self.atoms.setdefault(name, Atom())

    @stateful.rule(process=either, name=names, state=atom_states)
    def set_state(self, process, name, state):
        """The state is the new one, whatever it was."""
        answer = self.call(process, "set_atom_state", name, state)
        if atom := self.about(name, answer):
            assert answer is None
            atom.state = state

    @stateful.rule(
        process=either, name=names, new=atom_states, expected=st.none() | atom_states
    )
    def transition(self, process, name, new, expected):
        """It moves from what is expected, where TaskFlow's table allows it."""
        answer = self.call(
            process, "transition_atom_state", name, new, expected=expected
        )
        if atom := self.about(name, answer):
            old = atom.state
            if expected not in (None, old) or new == old:
                assert answer == (False, old)
            elif states.check_task_transition(old, new):
                assert answer == (True, old)
                atom.state = new
            else:
                assert answer == "InvalidState"

    @stateful.rule(
        process=either, name=names, intention=st.sampled_from(states.INTENTIONS)
    )
    def intend(self, process, name, intention):
        """The intention is the new one."""
        answer = self.call(process, "set_atom_intention", name, intention)
        if atom := self.about(name, answer):
            atom.intention = intention

    @stateful.rule(process=either, name=names, value=values)
    def save(self, process, name, value):
        """The first result of a round stays, unless its own writer replaces it."""
        answer = self.call(process, "save", name, value)
        if atom := self.about(name, answer):
            late = atom.save(process, value, states.SUCCESS)
            assert answer == ("StaleToken" if late else None)

    @stateful.rule(process=either, name=names)
    def fail(self, process, name):
        """So does the first failure."""
        answer = self.call(process, "save", name, FAILED, states.FAILURE)
        if atom := self.about(name, answer):
            late = atom.save(process, FAILED, states.FAILURE)
            assert answer == ("StaleToken" if late else None)

    @stateful.rule(process=either, name=names, state=atom_states)
    def reset(self, process, name, state):
        """Nothing is left of its results, unless it is in that state already."""
        answer = self.call(process, "reset", name, state)
        if (atom := self.about(name, answer)) and atom.state != state:
            atom.reset(state)

    @stateful.rule(process=either, name=names, key=keys, value=values)
    def describe(self, process, name, key, value):
        """One entry is replaced, the others stay."""
        answer = self.call(process, "update_atom_metadata", name, {key: value})
        if atom := self.about(name, answer):
            atom.meta[key] = value

    @stateful.rule(process=either, key=keys, value=values)
    def describe_flow(self, process, key, value):
        """One entry is replaced, the others stay."""
        assert self.call(process, "update_flow_metadata", {key: value}) is None
        self.meta[key] = value

    @stateful.rule(process=either, key=keys, value=values)
    def inject(self, process, key, value):
        """The value of a name is the last one."""
        assert self.call(process, "inject", {key: value}) is None
        self.values[key] = value

    @stateful.rule(process=either, new=st.sampled_from(FLOW_STATES))
    def move(self, process, new):
        """The flow moves where TaskFlow's table allows it."""
        answer = self.call(process, "change_flow_state", new)
        try:
            moved = states.check_flow_transition(self.state, new)
        except exceptions.InvalidState:
            assert answer == "InvalidState"
        else:
            assert answer == (moved, self.state)
            self.state = new if moved else self.state

    @stateful.invariant()
    def both_read_the_same(self):
        """Both processes know what the model knows."""
        expected = {name: (a.state, a.intention) for name, a in self.atoms.items()}
        failures = {name for name, a in self.atoms.items() if a.failure is not None}
        for process in (0, 1):
            states_of = self.call(process, "get_atoms_states", list(self.atoms))
            assert states_of == expected
            assert self.call(process, "get_flow_state") == self.state
            assert self.call(process, "flow_meta") == self.meta
            assert set(self.call(process, "get_failures")) == failures
            for key, value in self.values.items():
                assert self.call(process, "fetch", key) == value
            for name, atom in self.atoms.items():
                if atom.saved_by is None or atom.state != states.SUCCESS:
                    continue
                found = self.call(process, "get", name)
                if atom.failure is None:
                    assert found == atom.result
                else:  # as in TaskFlow: a state that was set by hand leaves the failure
                    # ... which `matches` nothing any more once it was pickled.
                    assert found.to_dict() == atom.failure.to_dict()


@pytest.fixture
def machine(url):
    """Give a machine whose two processes serve one flow after the other."""
    backend = RedisBackend.from_url(url)
    with contextlib.ExitStack() as stack:
        pairs = {}

        def new_flow():
            detail = models.FlowDetail("f", str(uuid.uuid4()))
            Storage(detail, backend).get_flow_state()
            for pair in pairs.values():
                pair.close()
            pairs.clear()
            pair = pairs[detail.uuid] = contextlib.ExitStack()
            stack.callback(pair.close)
            pair.both = [
                pair.enter_context(LockProcess(url, detail.uuid, lease_s=15, flow=True))
                for _ in range(2)
            ]
            return detail.uuid

        def ask(process, flow, method, *args, **kwargs):
            return pairs[flow].both[process].call(method, *args, **kwargs)

        class Machine(Flow):
            pass

        Machine.new_flow, Machine.ask = staticmethod(new_flow), staticmethod(ask)
        yield Machine
    backend.close()


@pytest.mark.parametrize("examples", [4, pytest.param(40, marks=pytest.mark.slow)])
def test_two_processes_are_one_flow(machine, examples):
    """Whatever is called, and where: the answers are those of the model."""
    stateful.run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=30,
            # Failing examples are short enough to be read, and slow to be made shorter.
            phases=[p for p in hypothesis.Phase if p is not hypothesis.Phase.shrink],
        ),
    )
