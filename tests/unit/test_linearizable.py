"""The checker of histories: it knows good ones from bad ones."""

from __future__ import annotations

import random

import pytest

from tests.support.linearizable import Call, order_of


def register(state, what):
    """Be a register: read it, or compare and set it."""
    if what == "read":
        return state, state
    expected, new = what
    return (True, new) if state == expected else (False, state)


def calls(*rows):
    """Make a history of rows: what, answer, begin, end."""
    return [Call(*row) for row in rows]


GOOD = {
    "nothing": calls(),
    "one after the other": calls(((0, 1), True, 0, 1), ("read", 1, 2, 3)),
    "a read during a write sees it or not": calls(
        ((0, 1), True, 0, 9), ("read", 1, 1, 2), ("read", 1, 3, 4)
    ),
    "the later one of two that overlap was first": calls(
        ((1, 2), True, 0, 9), ((0, 1), True, 1, 8), ("read", 2, 10, 11)
    ),
    "one of two wins": calls(((0, 1), False, 0, 5), ((0, 1), True, 1, 6)),
}
BAD = {
    "a stale read": calls(((0, 1), True, 0, 1), ("read", 0, 2, 3)),
    "both win": calls(((0, 1), True, 0, 5), ((0, 1), True, 1, 6)),
    "none wins": calls(((0, 1), False, 0, 5), ((0, 1), False, 1, 6)),
    "seen, and then not": calls(
        ((0, 1), True, 0, 9), ("read", 1, 1, 2), ("read", 0, 3, 4)
    ),
    "a read of what nobody wrote": calls(((0, 1), True, 0, 1), ("read", 2, 0, 1)),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_has_an_order(history):
    """All calls are in it, and the model agrees with each of them."""
    found = order_of(history, 0, register)
    assert found is not None
    assert sorted(map(repr, found)) == sorted(map(repr, history))
    state = 0
    for call in found:
        answer, state = register(state, call.what)
        assert answer == call.answer


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_a_bad_history_has_none(history):
    """There is no order in which one process gets these answers."""
    assert order_of(history, 0, register) is None


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_long_history_is_judged_soon(seed):
    """A thousand calls of eight at a time, and one answer of them spoilt."""
    draw, state, history = random.Random(seed), 0, []
    for number in range(1000):
        what = draw.choice(["read", (draw.randrange(3), draw.randrange(3))])
        answer, state = register(state, what)
        begun, ended = number - 8 * draw.random(), number + 8 * draw.random()
        history.append(Call(what, answer, begun, ended))
    assert order_of(history, 0, register) is not None
    spoilt = Call("read", "nonsense", 500.0, 501.0)
    assert order_of([*history, spoilt], 0, register) is None
