"""Arguments that Python never sends: whatever a script says, it is all or nothing.

Each script is called in the flow of its recipe with each of its whole numbers replaced
by each value that is none.
"""

from __future__ import annotations

import re

import pytest
import redis

from redisflow.scripts import catalogue
from tests.support.recipes import RECIPES, script_of

pytestmark = [pytest.mark.one_server, pytest.mark.timeout(120)]

ODD = (
    *(
        b"",
        b"2.5",
        b" 3",
        b"0x10",
        b"nan",
        b"inf",
        b"-inf",
        b"1e15",
        b"-",
        b"--1",
        b"1\n",
    ),
    *(b"9223372036854775808", b"99999999999999999999", b"word", b"\0", b"%s"),
    b"9" * 20_000,
)


class CaughtError(Exception):
    """What a call would have sent."""


def words_of(call, client, monkeypatch):
    """Return keys and arguments that a call sends, without sending them."""

    def catch(sha, source, keys, args, **_):
        raise CaughtError(list(keys), [_bytes(each) for each in args])

    with monkeypatch.context() as patched:
        patched.setattr(type(client), "run_script", lambda _, *a, **k: catch(*a, **k))
        with pytest.raises(CaughtError) as caught:
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

    @property
    def numbers(self):
        """Return the places of its whole numbers."""
        found = re.findall(r"string\.find\(ARGV\[(\d+)\]", self.script.source)
        return [int(place) - 1 for place in found]

    def call(self, args):
        """Call it; the flow is afterwards as it was before. Returns the error."""
        said = None
        try:
            self._raw.eval(self.script.source, len(self.keys), *self.keys, *args)
        except redis.ResponseError as error:
            said = str(error)
        if said is not None:
            assert self._flow.contents() == self._contents, f"{said} after a write"
        else:
            self._flow.restore(self._intact)
        return said


@pytest.fixture
def raw(server):
    """Open a client that sends what it is told to send."""
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_is_no_whole_number_is_refused_before_anything_else(
    flow, raw, name, monkeypatch
):
    """The argument is named, and every key is as it was."""
    subject = Subject(flow, raw, name, monkeypatch)
    for place in subject.numbers:
        for odd in ODD:
            said = subject.call(
                [*subject.args[:place], odd, *subject.args[place + 1 :]]
            )
            assert "is no whole number" in said
        assert "is no whole number" in subject.call(subject.args[:place])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_record_that_is_cut_short_changes_nothing(flow, raw, name, monkeypatch):
    """Whatever is left out at the end: an error and no change, or a whole call."""
    subject = Subject(flow, raw, name, monkeypatch)
    for left_out in range(1, len(subject.args) + 1):
        subject.call(subject.args[:-left_out])


@pytest.mark.parametrize("name", ["atom_write", "flow_write"])
def test_length_of_a_list_is_a_number_of_words_that_follow(
    flow, raw, name, monkeypatch
):
    """A length that is none, or too great, is refused at once."""
    subject = Subject(flow, raw, name, monkeypatch)
    first = len(subject.script.args)
    lengths = [
        place
        for place, word in enumerate(subject.args)
        if place >= first and word.isdigit()
    ]
    assert lengths
    for place in lengths:
        for odd in (*ODD, b"1000", b"-1"):
            subject.call([*subject.args[:place], odd, *subject.args[place + 1 :]])
