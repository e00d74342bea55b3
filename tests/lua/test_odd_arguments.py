"""Arguments that Python never sends: whatever a script says, it is all or nothing.

Each script is called in the flow of its recipe, once with each of its arguments
replaced by each odd value, then with several. An error leaves every key as it was; so
no error can come after a first write.
"""

from __future__ import annotations

import random

import pytest
import redis

from redisflow.scripts import catalogue
from tests.lua.test_every_script import RECIPES, script_of

pytestmark = [pytest.mark.one_server, pytest.mark.timeout(120)]

ODD = (
    *(
        b"",
        b"-1",
        b"0",
        b"1",
        b"2.5",
        b" 3",
        b"0x10",
        b"nan",
        b"inf",
        b"-inf",
        b"1e400",
    ),
    *(b"9007199254740993", b"9223372036854775808", b"-9223372036854775809"),
    *(b"99999999999999999999", b"1e15", b"word", b"two words", b"a:b:c", b"00000001:"),
    *(b"\0", b"\xff\xfe", b"{", b"%s", b"x" * 20_000),
)
ROUNDS = 40


class Caught(Exception):
    """What a call would have sent."""


def words_of(call, client, monkeypatch):
    """Return keys and arguments that a call sends, without sending them."""

    def catch(sha, source, keys, args, **_):
        raise Caught(list(keys), [_bytes(each) for each in args])

    with monkeypatch.context() as patched:
        patched.setattr(type(client), "run_script", lambda _, *a, **k: catch(*a, **k))
        with pytest.raises(Caught) as caught:
            call()
    return caught.value.args


def _bytes(word):
    return word if isinstance(word, bytes) else str(word).encode()


class Subject:
    """One script in the flow of its recipe."""

    def __init__(self, flow, raw, name, monkeypatch):
        self._flow, self._raw = flow, raw
        call = RECIPES[name](flow)
        self.script = catalogue()[script_of(name)]
        self.keys, self.args = words_of(call, flow.client, monkeypatch)
        self._intact = flow.dump()
        self._contents = flow.contents()

    def call(self, args):
        """Call it; the flow is afterwards as it was before."""
        try:
            reply = self._raw.eval(
                self.script.source, len(self.keys), *self.keys, *args
            )
        except redis.ResponseError as error:
            assert self._flow.contents() == self._contents, f"{error} after a write"
            return
        assert reply[0].decode() in self.script.statuses
        if self._flow.contents() != self._contents:
            self._flow.restore(self._intact)


@pytest.fixture
def raw(server):
    """Open a client that sends what it is told to send."""
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_one_odd_argument(flow, raw, name, monkeypatch):
    """Each argument in turn is each of the odd values."""
    subject = Subject(flow, raw, name, monkeypatch)
    for place in range(len(subject.args)):
        for odd in ODD:
            subject.call([*subject.args[:place], odd, *subject.args[place + 1 :]])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_several_odd_arguments(flow, raw, name, monkeypatch, seed):
    """Some are odd, some are left out at the end, some come too many."""
    subject = Subject(flow, raw, name, monkeypatch)
    dice = random.Random(seed)
    for _ in range(ROUNDS):
        args = [
            dice.choice(ODD) if dice.random() < 0.3 else each for each in subject.args
        ]
        fixed = len(subject.script.args)
        if subject.script.rest is not None and dice.random() < 0.5:
            end = dice.randrange(fixed, len(args) + 3)
            args = (args + [dice.choice(ODD) for _ in range(3)])[:end]
        subject.call(args)
