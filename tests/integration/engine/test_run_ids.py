"""Flows by run id: whoever loads one gets the same flow, its values, its outcome."""

from __future__ import annotations

import threading

import pytest
from taskflow import exceptions
from taskflow.patterns import linear_flow

from redisflow.engine.loading import find_run, store_run
from redisflow.engine.structure import compile_flow
from redisflow.errors import ConfigError, InvalidState
from tests.support.noting import Call, Fail, Note, contents, line, running


def test_load_gets_or_creates(open_run, notes, backend):
    """All who load a run id have one flow, in one logbook."""
    flow = line(Note("a", notes))
    one, two = open_run(flow), open_run(flow)
    assert one.storage.flow_uuid == two.storage.flow_uuid
    assert one.storage.flow_meta["run_id"] == "nightly"
    assert open_run(flow, run_id="other").storage.flow_uuid != one.storage.flow_uuid
    assert open_run(flow, run_id=None).storage.flow_meta["run_id"]
    assert len(list(backend.get_connection().get_logbooks())) == 3


def test_an_option_that_no_engine_has_is_refused(open_run, notes, admin):
    """It is named, and nothing is written."""
    with pytest.raises(ConfigError, match="lease is no option"):
        open_run(line(Note("a", notes)), lease=3)

    assert contents(admin) == {}


def test_all_who_find_nothing_make_the_same_logbook(backend):
    """Two come at the same time: there is one logbook, and it can be removed."""
    for detail in [find_run(backend, "r1", flow_name="f")[0] for _ in range(2)]:
        store_run(backend, "r1", detail)

    (book,) = backend.get_connection().get_logbooks()
    assert [flow.uuid for flow in book] == [detail.uuid]


def test_a_new_flow_is_compiled_once(open_run, notes):
    """What loading has compiled, to see whether it is sound, is what is run."""
    asked = []

    class Watched(linear_flow.Flow):
        def iter_links(self):
            asked.append(self.name)
            return super().iter_links()

    flow = Watched("w").add(Note("a", notes), Note("b", notes))
    compile_flow(flow, {"defer_reverts": False, "never_resolve": False})
    once = asked.copy()
    open_run(flow).run()
    assert asked == 2 * once


@pytest.mark.parametrize("run_id", ["", "x" * 201, "a\nb"])
def test_run_ids_that_cannot_be_used(open_run, notes, run_id):
    """They are refused before anything is asked of the server."""
    with pytest.raises(ConfigError):
        open_run(line(Note("a", notes)), run_id=run_id)


def test_an_ended_run_is_not_started_again(open_run, notes, admin):
    """Loading it writes nothing and gives its outcome, unless it is to be rerun."""
    flow = line(Note("a", notes), Fail("b", notes))
    with pytest.raises(OSError, match="b"):
        open_run(flow).run()
    notes.clear()
    before = contents(admin)
    engine = open_run(flow, store={"x": 1})
    with pytest.raises(exceptions.WrappedFailure):
        engine.run()
    assert (notes, contents(admin)) == ([], before)
    with pytest.raises(OSError, match="b"):
        open_run(flow, rerun=True).run()
    assert notes == ["a", "b", "-b", "-a"]


def test_a_late_engine_gets_the_outcome_of_its_run(open_run, notes):
    """An engine that was loaded before the end does not start the saga again."""
    flow = line(Note("a", notes), Fail("b", notes))
    early, late = open_run(flow), open_run(flow)
    with pytest.raises(OSError, match="b"):
        early.run()
    notes.clear()
    with pytest.raises(exceptions.WrappedFailure):
        late.run()
    assert notes == []


def test_store_on_joining(open_run, notes):
    """The same values are welcome; others are refused while workers live."""
    begun, go = threading.Event(), threading.Event()
    flow = line(Call("a", lambda: begun.set() or go.wait(20)))
    engine = open_run(flow, store={"x": 1})
    with running(engine) as outcome:
        assert begun.wait(20)
        open_run(flow, store={"x": 1})
        open_run(flow, store={"y": 2})
        with pytest.raises(InvalidState, match="another value for 'x'"):
            open_run(flow, store={"x": 2, "z": 3})
        assert engine.storage.fetch_all() == {"x": 1, "y": 2}
        go.set()
        outcome.result(20)


def test_store_of_an_idle_flow_is_replaced(open_run, notes):
    """While nobody runs it, values can be changed."""
    flow = line(Note("a", notes, requires="x"))
    open_run(flow, store={"x": 1})
    engine = open_run(flow, store={"x": 2})
    engine.run()
    assert engine.storage.get("a") == ("a", {"x": 2})
