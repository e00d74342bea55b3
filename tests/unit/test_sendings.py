"""Numbers for what a process sends: they grow, and a child has others."""

from __future__ import annotations

import os

import pytest

from redisflow.errors import Locked, Unavailable
from redisflow.scripts.sendings import Sendings


def sent(key="lock"):
    """Number a request; gives its process, its number and its mark."""
    sendings = Sendings(key, ["before", ""], 1)
    return sendings, sendings.words[1].split()


def test_numbers_grow_whatever_they_are_about():
    """One count for all: the order in which a process sends."""
    _, (process, first, mark) = sent("one")
    _, (same, second, _) = sent("another")
    assert (process, mark) == (same, "0")
    assert int(second) > int(first)


def test_what_is_sent_again_is_marked_if_an_answer_was_lost():
    """An answer that says no leaves no doubt."""
    sendings, (_, first, _) = sent()
    assert sendings.again("not applied")[1].endswith(" 0")
    word = sendings.again("unknown")[1]
    assert word.endswith(" 2")
    assert int(word.split()[1]) > int(first)
    assert sendings.again("not applied")[1].endswith(" 2")


def test_doubt_lasts_until_something_sent_after_it_is_answered():
    """What was sent before is no answer to it; and each key has its own."""
    earlier, _ = sent("doubted")
    earlier.again("unknown")
    sendings, _ = sent("doubted")
    sendings.failed(Unavailable("away", outcome="unknown"))
    earlier.answered()
    later, (_, _, mark) = sent("doubted")
    assert mark == "1"
    assert sent("other")[1][2] == "0"
    later.answered()
    assert sent("doubted")[1][2] == "0"


def test_error_after_a_lost_answer_is_unknown():
    """Whatever it says of the last sending."""
    sendings, _ = sent("in doubt")
    sendings.again("unknown")
    error = Locked("others hold it", lock="in doubt")
    sendings.failed(error)
    assert error.outcome == "unknown"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_child_is_another_process():
    """It sends at the same time as its parent, and neither ends what is the other's."""
    _, (process, _, _) = sent()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, sent()[1][0].encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read() not in ("", process)
