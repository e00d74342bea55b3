"""Argument lookup on random flows, with TaskFlow's own storage as the oracle."""

from __future__ import annotations

import contextlib
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskflow import exceptions, retry, states, task
from taskflow.engines.action_engine import compiler, scopes
from taskflow.patterns import graph_flow, linear_flow, unordered_flow
from taskflow.persistence import models
from taskflow.storage import Storage
from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR, TRANSIENT, Lookup, Providers, Scopes

NAMES = ("a", "b", "c", "d")


class Work(task.Task):
    """A task that is never run here."""

    def execute(self, **kwargs):
        """Do nothing."""


class Again(retry.Retry):
    """A retry that is never run here."""

    def execute(self, history, **kwargs):
        """Do nothing."""

    def on_failure(self, history, **kwargs):
        """Give up."""
        return retry.REVERT


PROVIDES = st.one_of(
    st.none(),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(NAMES), unique=True, max_size=3).map(tuple),
    st.sets(st.sampled_from(NAMES), max_size=2),
)
REQUIRES = st.lists(st.sampled_from(NAMES), unique=True, max_size=3)
PATTERNS = (
    linear_flow.Flow,
    unordered_flow.Flow,
    graph_flow.Flow,
    graph_flow.TargetedFlow,
)


@st.composite
def flows(draw, size=4, max_depth=3):
    """Draw a flow of nested patterns, with retries and shadowed names."""
    numbers = itertools.count()

    def atom(kind):
        name = f"{kind.__name__}{next(numbers)}"
        return kind(name, provides=draw(PROVIDES), requires=draw(REQUIRES))

    def child(depth):
        nested = depth < max_depth and draw(st.booleans())
        return flow(depth + 1) if nested else atom(Work)

    def flow(depth):
        children = [child(depth) for _ in range(draw(st.integers(0, size)))]
        controller = atom(Again) if draw(st.booleans()) else None
        cls = draw(st.sampled_from(PATTERNS))
        result = cls(f"flow{next(numbers)}", controller)
        if not issubclass(cls, graph_flow.Flow):
            return result.add(*children)
        return drawn_graph(draw, result, children)

    return flow(0)


def drawn_graph(draw, flow, children):
    """Fill a graph flow with children, links between them and maybe a target."""
    shuffled = draw(st.permutations(children))
    flow.add(*shuffled, resolve_requires=False, resolve_existing=False)
    for start, end in itertools.combinations(children, 2):
        if draw(st.integers(0, 2)) == 0:
            flow.link(start, end)
    targeted = isinstance(flow, graph_flow.TargetedFlow)
    if targeted and children and draw(st.booleans()):
        flow.set_target(draw(st.sampled_from(children)))
    return flow


def compiled(flow):
    """Compile a flow; give the compilation and its atoms in order."""
    compilation = compiler.PatternCompiler(flow).compile()
    nodes = compilation.execution_graph.nodes(data=True)
    return compilation, [n for n, data in nodes if data["kind"] in compiler.ATOMS]


def walked(compilation, atom, names):
    """Give TaskFlow's levels, narrowed to some names, without empty ones."""
    walker = scopes.ScopeWalker(compilation, atom, names_only=True)
    levels = ([name for name in level if name in names] for level in walker)
    return [level for level in levels if level]


fuzz = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)


@fuzz
@given(flow=flows(), data=st.data())
def test_scopes_equal_the_walker(flow, data):
    """Levels and their order are those of TaskFlow's walker, for any candidates."""
    compilation, atoms = compiled(flow)
    everybody = [atom.name for atom in atoms]
    ours = Scopes(flow)
    assert set(ours.names()) == set(everybody)
    few = set(data.draw(st.lists(st.sampled_from(everybody)))) if everybody else set()
    for atom in atoms:
        expected = walked(compilation, atom, everybody)
        assert ours.order(atom.name, everybody) == expected
        assert [list(level) for level in ours(atom.name)] == expected
        assert ours.order(atom.name, few) == walked(compilation, atom, few)


@fuzz
@given(links=st.sets(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=40))
def test_scopes_of_one_dense_graph(links):
    """One flow of many forks and joins, asked pair by pair, equals the walker."""
    flow = graph_flow.Flow("f")
    tasks = [Work(f"t{number}") for number in range(14)]
    flow.add(*tasks)
    for start, end in links:
        if start < end:
            flow.link(tasks[start], tasks[end])
    compilation, atoms = compiled(flow)
    ours = Scopes(flow)
    for atom in atoms:
        everybody = {other.name for other in atoms}
        expected = set(itertools.chain(*walked(compilation, atom, everybody)))
        assert expected == {n for n in everybody if ours.order(atom.name, [n])}


class Both:
    """One flow in TaskFlow's own storage and our lookup over the same states."""

    def __init__(self, flow):
        self.flow_detail = models.FlowDetail("f", "f-uuid")
        self.compilation, self.atoms = compiled(flow)
        self.storage = Storage(self.flow_detail, scope_fetcher=self.walker)
        self.providers = Providers()
        self.transients = {}
        self.mine = {}
        self.scopes = Scopes(flow)

        def read(name):
            return self.storage._get(
                name,
                "last_results",
                "failure",
                (states.SUCCESS, states.FAILURE, states.REVERTING),
                states.EXECUTE,
            )

        self.lookup = Lookup(self.providers, self.transients, read, read)

    def walker(self, atom_name):
        """Fetch TaskFlow's scopes of an atom."""
        atom = next(atom for atom in self.atoms if atom.name == atom_name)
        return scopes.ScopeWalker(self.compilation, atom, names_only=True)

    def ensure(self, atom):
        """Declare an atom on both sides."""
        self.storage.ensure_atom(atom)
        self.providers.declare(atom.name, atom.save_as)

    def inject(self, pairs, *, transient):
        """Inject into the flow on both sides."""
        self.storage.inject(pairs, transient=transient)
        if transient:
            self.transients.update(pairs)
        origin = TRANSIENT if transient else INJECTOR
        self.providers.declare(origin, {name: name for name in pairs})

    def inject_into(self, name, pairs, *, transient):
        """Inject into one atom on both sides."""
        self.storage.inject_atom_args(name, pairs, transient=transient)
        sources = self.mine.setdefault(name, ({}, {}))
        sources[0 if transient else 1].update(pairs)


def outcome(call, *args, **options):
    """Give a result, or the kind of exception in TaskFlow's terms."""
    try:
        return call(*args, **options)
    except exceptions.NotFound:
        return exceptions.NotFound
    except exceptions.DisallowedAccess:
        return exceptions.DisallowedAccess


RESULTS = st.one_of(
    st.none(),
    st.integers(0, 9),
    st.text("abcd", max_size=3),
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9)),
)
PAIRS = st.dictionaries(st.sampled_from(NAMES), st.integers(10, 99), max_size=2)
STATES = st.sampled_from(
    [states.SUCCESS] * 6
    + [states.IGNORE] * 2
    + [states.PENDING, states.FAILURE, states.REVERTED, states.REVERTING]
)


def failure():
    """Make a failure without raising it."""
    return Failure.from_exception(ValueError("on purpose"))


def settle(data, both):
    """Draw what has been injected and how far each atom has come."""
    steps = [(both.ensure, atom) for atom in both.atoms]
    for transient in data.draw(st.lists(st.booleans(), max_size=2)):
        pairs = data.draw(st.dictionaries(st.just("d"), st.integers(10, 99)))
        steps.append(
            (lambda pairs, t=transient: both.inject(pairs, transient=t), pairs)
        )
    for step, argument in data.draw(st.permutations(steps)):
        step(argument)
    for atom in both.atoms:
        state = data.draw(STATES)
        if state == states.FAILURE:
            both.storage.save(atom.name, failure(), state)
        elif state in (states.SUCCESS, states.REVERTING):
            both.storage.save(atom.name, data.draw(RESULTS), states.SUCCESS)
        both.storage.set_atom_state(atom.name, state)
        for transient in data.draw(st.lists(st.booleans(), max_size=1)):
            both.inject_into(atom.name, data.draw(PAIRS), transient=transient)


def declare_again(data, both):
    """Let some atoms come back providing names at other indexes."""
    for atom in both.atoms:
        if data.draw(st.integers(0, 5)) == 0:
            name = data.draw(st.sampled_from(NAMES))
            index = data.draw(st.sampled_from([None, 0, 1, name]))
            both.storage._set_result_mapping(atom.name, {name: index})
            both.providers.declare(atom.name, {name: index})


@fuzz
@given(flow=flows(), data=st.data())
def test_lookup_equals_taskflow(flow, data):
    """Values and exceptions are those of TaskFlow's storage for any states."""
    both = Both(flow)
    settle(data, both)
    declare_again(data, both)
    theirs, ours = both.storage, both.lookup
    for name in (*NAMES, "nobody's"):
        assert outcome(theirs.fetch, name) == outcome(ours.fetch, name)
    for handler in (None, list):
        assert outcome(theirs.fetch_all, handler) == outcome(ours.fetch_all, handler)
    for atom in both.atoms:
        mapping = {f"arg_{name}": name for name in data.draw(REQUIRES)}
        optional = data.draw(st.sampled_from([[], list(mapping)[:1]]))
        seen = {
            "injected": both.mine.get(atom.name, ()),
            "scope": both.scopes(atom.name),
        }
        assert outcome(
            theirs.fetch_mapped_args, mapping, atom.name, optional_args=optional
        ) == outcome(ours.arguments, mapping, optional=optional, **seen)
        assert outcome(
            theirs.fetch_unsatisfied_args, atom.name, mapping, optional_args=optional
        ) == outcome(ours.unsatisfied, mapping, optional=optional, **seen)
        assert outcome(
            theirs.fetch_mapped_args, mapping, optional_args=optional
        ) == outcome(ours.arguments, mapping, optional=optional)
        assert_wanted(both, mapping, seen)
        assert_settled(both, mapping, seen)


def assert_wanted(both, mapping, options):
    """Assert that ``every`` names whatever a successful lookup reads."""
    read = set()

    def result_of(name):
        read.add(name)
        return both.lookup.result_of(name)

    recording = Lookup(both.providers, both.transients, result_of, both.lookup.check)
    with contextlib.suppress(exceptions.NotFound):
        recording.arguments(mapping, **options)
    every = set(recording.wanted(mapping, every=True, **options))
    assert read <= every
    assert set(recording.wanted(mapping, **options)) <= every


def assert_settled(both, mapping, options):
    """Assert that ``settled`` changes no value that TaskFlow finds."""
    strict = outcome(both.lookup.arguments, mapping, **options)
    if strict is not exceptions.NotFound:
        assert (
            outcome(both.lookup.arguments, mapping, settled=True, **options) == strict
        )
