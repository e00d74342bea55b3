"""The compiler, held against TaskFlow's own on flows made up at random."""

from __future__ import annotations

import itertools

import networkx
import pytest
from taskflow import deciders, exceptions
from taskflow.engines.action_engine import compiler, runtime, scopes, traversal
from taskflow.engines.action_engine import deciders as engine_deciders
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

from redisflow.engine.compilation import as_taskflow
from redisflow.engine.compiling import compile_graph
from redisflow.engine.structure import compile_flow
from redisflow.errors import Duplicate
from tests.support.patterns import Again, Given, Work, random_flow

OPTIONS = {"defer_reverts": False, "never_resolve": False}
KINDS = {
    compiler.TASK: "t",
    compiler.RETRY: "r",
    compiler.FLOW: "f",
    compiler.FLOW_END: "e",
}


class Theirs:
    """A flow as TaskFlow compiles it, in our terms."""

    def __init__(self, item):
        self.compilation = compiler.PatternCompiler(item).compile()
        self.graph = self.compilation.execution_graph
        self.nodes = list(self.graph.nodes)
        self.atoms = [n for n in self.nodes if self.kind(n) in "tr"]
        insertion = {node: number for number, node in enumerate(self.nodes)}
        self.ordered = list(
            networkx.lexicographical_topological_sort(self.graph, key=insertion.get)
        )
        self.numbers = {node: number for number, node in enumerate(self.ordered)}

    def kind(self, node):
        """Give our letter for the kind of a node."""
        return KINDS[self.graph.nodes[node]["kind"]]

    def deciders_of(self, atom):
        """List what is asked before an atom."""
        walk = runtime.Runtime._walk_edge_deciders
        return [
            (
                link.from_node.name if link.kind in compiler.ATOMS else None,
                link.decider,
                link.depth,
            )
            for link in walk(None, self.graph, atom)
        ]

    def left_out(self, atom, depth):
        """Name what is left out together with an atom, in order."""

        class Recorder:
            compilation = self.compilation

            @staticmethod
            def reset_atoms(atoms, **_states):
                """Keep the names."""
                names.extend(atom.name for atom in atoms)

        names = []
        engine_deciders.IgnoreDecider._depth_strategies[depth](atom, Recorder)
        return names[1:]

    def levels(self, atom):
        """Give the scopes that the walker finds, without empty ones."""
        walker = scopes.ScopeWalker(self.compilation, atom, names_only=True)
        return [level for level in walker if level]


def key_of(node):
    """Make nodes of two compilations comparable."""
    if isinstance(node, compiler.Terminator):
        return ("end", node.flow)
    return node


def rows_of(graph):
    """List nodes and links of one of TaskFlow's graphs, in all its orders."""
    return [
        (
            key_of(node),
            data,
            [(key_of(other), said) for other, said in graph.adj[node].items()],
            [key_of(other) for other in graph.predecessors(node)],
        )
        for node, data in graph.nodes(data=True)
    ]


def tree_of(node):
    """List a hierarchy from the top."""
    return [
        (found.item, found.metadata, found.frozen, found.parent and found.parent.item)
        for found in node.dfs_iter(include_self=True)
    ]


def assert_same_graph(graph, theirs):
    """Assert that nodes, links and controllers are TaskFlow's, in TaskFlow's order."""
    assert graph.items == [
        node.flow if theirs.kind(node) == "e" else node for node in theirs.nodes
    ]
    assert graph.kinds == [theirs.kind(node) for node in theirs.nodes]
    found = theirs.graph
    at = {node: position for position, node in enumerate(theirs.nodes)}
    for node, after, before, controller in zip(
        theirs.nodes, graph.after, graph.before, graph.controllers, strict=True
    ):
        said = [(at[other], data) for other, data in found.adj[node].items()]
        assert list(after.items()) == said
        assert before == [at[other] for other in found.predecessors(node)]
        assert controller is found.nodes[node].get(compiler.RETRY)


def assert_same_compilation(graph, theirs):
    """Assert that TaskFlow's own form comes out of ours."""
    made = as_taskflow(graph)
    assert rows_of(made.execution_graph) == rows_of(theirs.graph)
    assert made.execution_graph.name == theirs.graph.name
    assert type(made.execution_graph) is type(theirs.graph)
    assert networkx.is_frozen(made.execution_graph)
    assert made.execution_graph.frozen == theirs.graph.frozen
    assert tree_of(made.hierarchy) == tree_of(theirs.compilation.hierarchy)


def assert_same_structure(structure, theirs):
    """Assert that what goes to the server is what TaskFlow would do."""
    for number, (node, ours) in enumerate(
        zip(theirs.ordered, structure.nodes, strict=True)
    ):
        is_atom = theirs.kind(node) in "tr"
        assert ours.kind == theirs.kind(node)
        assert ours.name == (node.name if is_atom else "")
        assert ours.priority == (node.priority if ours.kind == "t" else 0)
        after = sorted(theirs.numbers[n] for n in theirs.graph.successors(node))
        before = sorted(theirs.numbers[n] for n in theirs.graph.predecessors(node))
        assert (list(ours.after), list(ours.before)) == (after, before)
        assert max(before, default=-1) < number < min(after, default=number + 1)
    in_order = [node for node in theirs.ordered if theirs.kind(node) in "tr"]
    assert list(structure.atoms.values()) == in_order
    assert list(structure.atoms) == [atom.name for atom in in_order]
    asks = {node.name for node in structure.nodes if node.asks}
    for atom in in_order:
        asked = structure.deciders.get(atom.name, ())
        assert [
            (link.source if link.of_atom else None, link.ask, link.depth)
            for link in asked
        ] == theirs.deciders_of(atom)
        assert (atom.name in asks) == bool(asked)
        assert structure.controller_of(atom) is theirs.graph.nodes[atom].get("retry")


def assert_same_reach(structure, theirs):
    """Assert that a nay reaches whom it reaches in TaskFlow, told in its order."""
    for atom in theirs.atoms:
        for depth in deciders.Depth:
            expected = theirs.left_out(atom, depth)
            assert structure.reached_from(atom, depth) == expected
        again = traversal.depth_first_iterate(
            theirs.graph, atom, traversal.Direction.FORWARD
        )
        names = [other.name for other in again]
        assert structure.reached_from(atom, deciders.Depth.ALL) == names


def assert_same_scopes(structure, theirs):
    """Assert that each atom sees whom it sees in TaskFlow, nearest first."""
    for atom in theirs.atoms:
        seen = [list(level) for level in structure.scopes(atom.name)]
        assert seen == theirs.levels(atom)


def assert_like_taskflow(item):
    """Assert that a flow compiles to what TaskFlow makes of it."""
    theirs, structure = Theirs(item), compile_flow(item, OPTIONS)
    assert_same_graph(structure.graph, theirs)
    assert_same_compilation(structure.graph, theirs)
    assert_same_structure(structure, theirs)
    assert_same_reach(structure, theirs)
    assert_same_scopes(structure, theirs)


@pytest.mark.parametrize("batch", range(8))
def test_random_flows_compile_as_in_taskflow(batch):
    """Graph, hierarchy, order, deciders, controllers and scopes are TaskFlow's."""
    for seed in range(50 * batch, 50 * (batch + 1)):
        assert_like_taskflow(random_flow(seed, most=60 if seed % 4 == 0 else 20))


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(12))
def test_many_random_flows_compile_as_in_taskflow(batch):
    """The same holds for thousands of flows."""
    for seed in range(1000 + 250 * batch, 1000 + 250 * (batch + 1)):
        assert_like_taskflow(random_flow(seed))


def in_line(*items, **options):
    """Make a flow of items in line."""
    return linear_flow.Flow("line", **options).add(*items)


def in_a_circle():
    """Make a flow whose links go in a circle."""
    flow = Given("circle").add(*(Work(name) for name in "abc"))
    for source, target in itertools.pairwise([*flow, next(iter(flow))]):
        flow.links.append((source, target, {}))
    return flow


def twice(item):
    """Make a flow that has something twice, at different depths."""
    return in_line(item, in_line(Work("between"), item))


def sharing_a_retry():
    """Make a flow of two flows with one retry controller."""
    again = Again("again")
    return in_line(in_line(Work("a"), retry=again), in_line(Work("b"), retry=again))


def linking_a_stranger(*, backwards):
    """Make a flow with a link from, or to, what is not its child."""
    flow, stranger = Given("f").add(Work("a")), Work("b")
    pair = [next(iter(flow)), stranger]
    flow.links.append((*(reversed(pair) if backwards else pair), {}))
    return in_line(stranger, flow)


WRONG = {
    "a word": lambda: "a flow",
    "None": lambda: None,
    "a retry": lambda: Again("again"),
    "a word in a flow": lambda: in_line(Work("a"), "a task"),
    "a retry in a flow": lambda: in_line(Again("again")),
    "a task twice": lambda: twice(Work("a")),
    "a flow twice": lambda: twice(in_line(Work("a"))),
    "an empty flow twice": lambda: twice(graph_flow.Flow("empty")),
    "a child twice": lambda: Given("f").add(*[Work("a")] * 2),
    "a shared retry": sharing_a_retry,
    "a link to a stranger": lambda: linking_a_stranger(backwards=False),
    "a link from a stranger": lambda: linking_a_stranger(backwards=True),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_what_taskflow_refuses_is_refused(make):
    """What cannot be compiled raises the same kind of exception as in TaskFlow."""
    with pytest.raises(Exception) as theirs:  # noqa: PT011  # it is what is asked
        compiler.PatternCompiler(make()).compile()
    with pytest.raises(theirs.type) as ours:
        compile_flow(make(), OPTIONS)
    assert ours.type is theirs.type


def test_a_flow_in_itself_is_refused():
    """A flow that contains itself has no end, and is refused as in TaskFlow."""
    for compiled in (compile_graph, lambda f: compiler.PatternCompiler(f).compile()):
        flow = linear_flow.Flow("f")
        flow.add(linear_flow.Flow("g").add(flow))
        with pytest.raises(ValueError, match=r"twice|duplicate"):
            compiled(flow)


def test_what_would_never_run_is_refused():
    """Circles, and a retry of a flow and of one inside it, are refused at once."""
    with pytest.raises(exceptions.CompilationFailure, match="circle"):
        compile_flow(in_a_circle(), OPTIONS)
    again = Again("again")
    with pytest.raises(ValueError, match="twice"):
        compile_flow(in_line(in_line(Work("a"), retry=again), retry=again), OPTIONS)


@pytest.mark.parametrize("make", [in_line, unordered_flow.Flow("f").add])
def test_two_atoms_of_one_name_are_refused(make):
    """Names are unique in a flow with all that is in it, retries included."""
    with pytest.raises(Duplicate, match="'a'"):
        compile_flow(make(Work("a"), Work("b"), in_line(Work("a"))), OPTIONS)
    with pytest.raises(Duplicate, match="'line_retry'"):
        compile_flow(in_line(Work("line_retry"), retry=Again()), OPTIONS)


@pytest.mark.parametrize(
    "item",
    [
        Work("alone"),
        linear_flow.Flow("empty"),
        linear_flow.Flow("empty", retry=Again("again")),
        in_line(graph_flow.Flow("a"), unordered_flow.Flow("b"), retry=Again("again")),
    ],
    ids=["a task", "an empty flow", "only a retry", "empty flows"],
)
def test_the_smallest_flows_compile_as_in_taskflow(item):
    """A single task, and flows without any task, are like TaskFlow's."""
    assert_like_taskflow(item)


def test_links_said_twice_are_merged():
    """What is said of a link later is added to what was said of it before."""
    flow = Given("f").add(Work("a"), Work("b"))
    depth = {"decider_depth": deciders.Depth.FLOW}
    for said in (None, {"decider": bool}, {}, depth, None):
        flow.links.append((*flow, said))
    assert_like_taskflow(flow)
    assert_like_taskflow(in_line(flow))


def test_deep_nesting_needs_no_recursion():
    """A thousand flows in one another compile, and TaskFlow's form is made of them."""
    flow = innermost = in_line(Work("innermost", provides="x"))
    for depth in range(1000):
        flow = in_line(Work(f"before-{depth}"), flow, Work(f"after-{depth}"))
    structure = compile_flow(flow, OPTIONS)
    assert len(structure.nodes) == 2 * 1001 + 2001
    assert structure.scopes.order("after-999", ["innermost"]) == [["innermost"]]
    seen = structure.scopes.order("innermost", ["before-0", "before-999", "after-0"])
    assert seen == [["before-0"], ["before-999"]]
    made = structure.compilation()
    assert made.execution_graph.number_of_nodes() == len(structure.nodes)
    assert made.hierarchy.find(innermost).frozen


def test_the_fingerprint_is_that_of_names():
    """Made again, a flow has the same fingerprint; without one task, another."""
    for seed in range(30):
        first, again = (compile_flow(random_flow(seed), OPTIONS) for _ in range(2))
        assert first.fingerprint == again.fingerprint
    names = [f"t{number}" for number in range(20)]
    prints = {
        compile_flow(
            unordered_flow.Flow("f").add(*map(Work, some)), OPTIONS
        ).fingerprint
        for some in (names, names[::-1], names[1:])
    }
    assert len(prints) == 2
