"""Argument lookup: which value wins, and what is looked at on the way to it."""

from __future__ import annotations

import itertools

import pytest
from taskflow import exceptions, states, task
from taskflow.patterns import graph_flow, linear_flow

from redisflow.arguments import (
    INJECTOR,
    TRANSIENT,
    Lookup,
    Provider,
    Providers,
    Scopes,
    unsupplied,
)

GONE = object()


class Work(task.Task):
    """A task that is never run here."""

    def execute(self, **kwargs):
        """Do nothing."""


def lookup(providers, results=None, *, transients=None, read=None):
    """Search over a dict of results; an exception stands for what reading raises."""
    results = results or {}

    def check(name):
        result = results.get(name, GONE)
        if result is GONE:
            raise exceptions.DisallowedAccess("not yet", state=states.PENDING)
        if isinstance(result, Exception):
            raise result
        return result

    def result_of(name):
        if read is not None:
            read.append(name)
        return check(name)

    return Lookup(providers, transients or {}, result_of, check)


def ignored():
    """Give what reading an ignored atom raises."""
    return exceptions.DisallowedAccess("ignored", state=states.IGNORE)


def declared(*origins):
    """Declare origins that all provide ``x`` as their whole result."""
    providers = Providers()
    for origin in origins:
        injected = origin in (TRANSIENT, INJECTOR)
        providers.declare(origin, {"x": "x" if injected else None})
    return providers


FLOW_VALUES = {INJECTOR: {"x": "persistent"}}
PRECEDENCE = {
    "an atom's transient value beats all": (
        (INJECTOR, "near"), FLOW_VALUES | {"near": 1},
        [{"x": "mine"}, {"x": "kept"}], [["near"]], "mine",
    ),
    "an atom's persistent value beats the flow's": (
        (INJECTOR, "near"), FLOW_VALUES, [{}, {"x": "kept"}], [["near"]], "kept",
    ),
    "the flow's value beats an atom's": (
        ("near", INJECTOR), FLOW_VALUES | {"near": 1}, [], [["near"]], "persistent",
    ),
    "persistent before transient when declared so": (
        (INJECTOR, TRANSIENT), FLOW_VALUES, [], None, "persistent",
    ),
    "transient before persistent when declared so": (
        (TRANSIENT, INJECTOR), FLOW_VALUES, [], None, "transient",
    ),
    "a transient value alone": ((TRANSIENT,), {}, [], None, "transient"),
    "two injected, one unreadable": (
        (TRANSIENT, INJECTOR), {INJECTOR: {}}, [], None, exceptions.NotFound,
    ),
    "the injector not accessible": (
        (INJECTOR,), {}, [], None, exceptions.DisallowedAccess,
    ),
    "the nearest scope wins": (
        ("far", "near"), {"far": 1, "near": 2}, [], [["near"], ["far"]], 2,
    ),
    "in one scope its order wins": (
        ("first", "last"), {"first": 1, "last": 2}, [], [["last", "first"]], 2,
    ),
    "an ignored atom is passed over": (
        ("first", "last"), {"first": 1, "last": ignored()}, [],
        [["last", "first"]], 1,
    ),
    "an ignored scope is passed over": (
        ("far", "near"), {"far": 1, "near": ignored()}, [], [["near"], ["far"]], 1,
    ),
    "all ignored": (
        ("near",), {"near": ignored()}, [], [["near"]], exceptions.NotFound,
    ),
    "one of a scope has no result": (
        ("first", "last"), {"last": 2}, [], [["last", "first"]], exceptions.NotFound,
    ),
    "an outer one has no result": (
        ("far", "near"), {"near": 2}, [], [["near"], ["far"]], 2,
    ),
    "not in scope": (("near",), {"near": 1}, [], [["other"]], exceptions.NotFound),
    "no scopes": (("near",), {"near": 1}, [], None, exceptions.NotFound),
    "no provider": ((), {}, [], [["near"]], exceptions.NotFound),
}  # fmt: skip


@pytest.mark.parametrize("case", PRECEDENCE)
def test_precedence(case):
    """Each source of a value gives way to those before it."""
    origins, results, injected, levels, expected = PRECEDENCE[case]
    search = lookup(declared(*origins), results, transients={"x": "transient"})
    if isinstance(expected, type):
        with pytest.raises(expected):
            search.arguments({"arg": "x"}, injected=injected, scope=levels)
    else:
        found = search.arguments({"arg": "x"}, injected=injected, scope=levels)
        assert found == {"arg": expected}


def test_index_missing_goes_on_in_the_same_scope():
    """A result that lacks its index gives way within its scope, not beyond it."""
    providers = Providers()
    providers.declare("far", {"x": None})
    providers.declare("first", {"x": "x"})
    providers.declare("last", {"x": 3})
    search = lookup(providers, {"far": 1, "first": {"x": 2}, "last": (0, 1)})
    found = search.find("x", [["last", "first"], ["far"]])
    assert found == (Provider("first", "x"), 2)
    with pytest.raises(exceptions.NotFound):
        search.find("x", [["last"], ["far"]])


def test_optional_is_left_out_only_without_any_provider():
    """An optional argument with a provider that is out of scope is an error."""
    search = lookup(declared("near"), {"near": 1})
    assert search.arguments({"arg": "y"}, optional=["arg"]) == {}
    with pytest.raises(exceptions.NotFound):
        search.arguments({"arg": "x"}, optional=["arg"])


def test_unsatisfied_counts_what_may_come():
    """Visible atoms satisfy an argument before they have run; hidden ones do not."""
    search = lookup(declared("near"))
    wants = {"seen": "x", "unknown": "y", "mine": "z", "spare": "w"}
    options = {"injected": [None, {"z": 1}], "optional": ["spare"]}
    assert search.unsatisfied(wants, scope=[["near"]], **options) == {"unknown"}
    assert search.unsatisfied(wants, **options) == {"seen", "unknown"}


def test_unsatisfied_wants_injected_values_to_be_there():
    """An injected name whose value is gone does not satisfy."""
    search = lookup(declared(TRANSIENT, INJECTOR))
    assert search.unsatisfied({"arg": "x"}) == {"arg"}


def test_fetch_takes_the_first_of_all_providers():
    """Without scopes injected values come first, then atoms as declared."""
    search = lookup(
        declared("one", "two", INJECTOR), FLOW_VALUES | {"one": 1, "two": 2}
    )
    assert search.fetch("x") == "persistent"
    assert search.fetch("x", many_handler=list) == ["persistent", 1, 2]
    assert search.fetch_all() == {"x": ["persistent", 1, 2]}
    assert search.fetch_all(many_handler=len) == {"x": 3}


def test_fetch_all_leaves_out_what_has_no_value():
    """Names without a value are missing, and a single value is not in a list."""
    providers = declared("one")
    providers.declare("later", {"y": None})
    assert lookup(providers, {"one": 1}).fetch_all() == {"x": 1}


def test_wanted_is_what_arguments_read():
    """The names given in advance are the ones that a lookup then reads."""
    providers = declared("far", "first", "last")
    providers.declare("other", {"y": None, "z": None})
    providers.declare(INJECTOR, {"w": "w"})
    read = []
    results = {"far": 1, "first": 2, "last": ignored(), "other": 3}
    search = lookup(providers, results | {INJECTOR: {"w": 4}}, read=read)
    levels = [["last"], ["first", "other"], ["far"]]
    mapping = {name: name for name in "xyzw"}
    wanted = search.wanted(mapping, scope=levels)
    assert read == []
    assert wanted == ["first", "other", INJECTOR]
    search.arguments(mapping, scope=levels)
    assert set(read) == set(wanted)


def test_wanted_may_name_every_candidate():
    """All candidates of the nearest scope are named on request, no outer ones."""
    search = lookup(declared("a", "b", "c"), {"a": 1, "b": 2, "c": 3})
    levels = [["c", "b"], ["a"]]
    assert search.wanted({"arg": "x"}, scope=levels) == ["c"]
    assert search.wanted({"arg": "x"}, scope=levels, every=True) == ["c", "b"]


def test_wanted_raises_nothing():
    """What cannot be found, or is injected into the atom, is not wanted."""
    search = lookup(declared("a"))
    assert search.wanted({"x": "x", "y": "y"}, scope=[["a"]]) == []
    assert search.wanted({"x": "x"}, injected=[{"x": 1}], scope=[["a"]]) == []


def test_reset_between_check_and_read_is_not_found():
    """A result that vanishes after its check ends the search with NotFound."""
    providers = declared("near")
    search = Lookup(providers, {}, lookup(providers).result_of, lambda _: None)
    with pytest.raises(exceptions.NotFound) as caught:
        search.find("x", [["near"]])
    assert isinstance(caught.value.__cause__, exceptions.DisallowedAccess)


def test_settled_looks_no_further_than_the_value():
    """Where all before an atom have ended, those behind the nearest are not checked."""
    providers = declared("first", "last")
    search = lookup(providers, {"last": 2})
    levels = [["last", "first"]]
    assert search.arguments({"arg": "x"}, scope=levels, settled=True) == {"arg": 2}
    assert search.wanted({"arg": "x"}, scope=levels, settled=True) == ["last"]
    assert search.wanted({"arg": "x"}, scope=levels) == []


def test_settled_lookup_of_a_long_line_asks_one_atom():
    """In a line where each task shadows the one before, one atom is looked at."""
    flow = linear_flow.Flow("f").add(*(Work(f"t{n}", provides="x") for n in range(50)))
    providers, read = declared(*(atom.name for atom in flow)), []
    search = Lookup(providers, {}, read.append, read.append)
    search.arguments({"x": "x"}, scope=Scopes(flow)("t40"), settled=True)
    assert read == ["t39", "t39"]


def test_scope_follows_new_providers():
    """An atom declared after a first lookup is found by the next."""
    scopes = Scopes(linear_flow.Flow("f").add(Work("a"), Work("b"), Work("c")))
    providers = declared("a")
    search = lookup(providers, {"a": 1, "b": 2})
    assert search.find("x", scopes("c")) == (Provider("a", None), 1)
    providers.declare("b", {"x": None})
    assert search.find("x", scopes("c")) == (Provider("b", None), 2)


def test_declare_twice_changes_nothing():
    """The same declaration again neither adds nor reorders providers."""
    providers = declared("one", "two")
    providers.declare("one", {"x": None})
    assert providers.of("x") == (Provider("one", None), Provider("two", None))
    assert list(providers.names()) == ["x"]
    assert providers.of("y") == ()
    assert providers.mapping_of("nobody") == {}


def test_declare_again_with_another_index():
    """A changed index is used from then on, and the old one is not used again."""
    providers = Providers()
    for index in (0, 1, 0):
        providers.declare("one", {"x": index})
    assert providers.of("x") == (Provider("one", 0), Provider("one", 1))
    search = lookup(providers, {"one": "ab"})
    assert search.find("x", [["one"]]) == (Provider("one", 1), "b")
    assert search.fetch("x", many_handler=list) == ["b", "b"]
    assert providers.mapping_of("one") == {"x": 0}


def test_unsupplied_names():
    """Names whose index a result lacks are named; a whole result never lacks."""
    mapping = {"a": 0, "b": 1, "c": None}
    assert unsupplied(mapping, (1,)) == {"b": 1}
    assert unsupplied(mapping, None) == {"a": 0, "b": 1}


def test_scopes_of_one_task():
    """An atom without a flow sees nothing."""
    assert Scopes(Work("alone")).order("alone", ["alone", "other"]) == []


def test_names_unknown_to_the_flow():
    """A name that is no atom of the flow neither sees nor is seen."""
    both = Scopes(linear_flow.Flow("f").add(Work("a"), Work("b")))
    assert both.order("b", ["a", "z"]) == [["a"]]
    assert both.order("z", ["a"]) == []
    assert both("z") is None


def test_scopes_of_a_diamond_are_searched():
    """A join sees both sides of its fork, and the sides do not see each other."""
    flow = graph_flow.Flow("f")
    fork, left, right, join, after = atoms = [Work(n) for n in "flrja"]
    flow.add(*atoms)
    for start, end in ((fork, left), (fork, right), (left, join), (right, join)):
        flow.link(start, end)
    flow.link(join, after)
    seen = Scopes(flow)
    assert [sorted(level) for level in seen.order("a", "flrj")] == [list("fjlr")]
    assert seen.order("a", "flrj") == seen.order("a", "jrlf")
    assert seen.order("l", "rf") == [["f"]]
    assert seen.order("r", "lf") == [["f"]]


def test_scopes_of_layers_are_searched_to_the_end():
    """Through layers that are all linked, every atom of an earlier one is seen."""
    layers = [[Work(f"{layer}{n}") for n in "abc"] for layer in range(6)]
    flow = graph_flow.Flow("f").add(*itertools.chain(*layers))
    for layer, following in itertools.pairwise(layers):
        for start, end in itertools.product(layer, following):
            flow.link(start, end)
    seen = Scopes(flow)
    for names in itertools.product("abc", repeat=2):
        first, last = f"0{names[0]}", f"5{names[1]}"
        assert seen.order(last, [first]) == [[first]]
        assert seen.order(first, [last]) == []


def test_an_attribute_named_flow_is_no_end_of_a_flow():
    """A task may carry any attribute without being taken for the end of a flow."""
    first, last = Work("first"), Work("last")
    flow = linear_flow.Flow("f").add(first, last)
    first.flow = flow
    assert Scopes(flow).order("last", ["first"]) == [["first"]]
