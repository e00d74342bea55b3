"""Spans, counters and logs of real runs; and that they cost nothing unasked."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow

import redisflow
from redisflow import observing
from redisflow.engine.submitting import submit
from redisflow.persistence.sweeping import sweep
from redisflow.telemetry import otel
from redisflow.telemetry.logs import Fields, JsonFormatter, TextFormatter
from redisflow.telemetry.prometheus import PrometheusObserver
from tests.support.eventually import eventually


class Good(task.Task):
    """Says that it works."""

    def execute(self):
        """Log a line."""
        logging.getLogger("user").warning("working")
        return 1


class Bad(task.Task):
    """Fails."""

    def execute(self):
        """Raise."""
        raise OSError("the disk is full")


class BadOnce(task.Task):
    """Fails the first time."""

    times = 0

    def execute(self):
        """Raise, once."""
        type(self).times += 1
        if type(self).times == 1:
            raise OSError("once")


def failing():
    """Make a flow whose second task fails, so that the first is reverted."""
    return linear_flow.Flow("f").add(Good("good"), Bad("bad"))


class Otel:
    """An observer with exporters in memory."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.observer = otel.observe(self.tracers, self.meters)

    def close(self):
        """Observe no more."""
        observing.remove(self.observer)
        self.meters.shutdown()
        self.tracers.shutdown()

    @property
    def spans(self):
        """The spans that have ended, by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self):
        """The data points of each metric."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def traced():
    """Observe with OpenTelemetry."""
    traced = Otel()
    yield traced
    traced.close()


@pytest.fixture
def counted():
    """Observe for Prometheus; gives what tells a sample."""
    observer = PrometheusObserver()
    observing.add(observer)
    yield lambda name, **labels: observer.registry.get_sample_value(name, labels)
    observing.remove(observer)


def test_each_execution_and_revert_is_a_span(url, traced):
    """With all that tells it from others, and with what was raised."""
    engine = redisflow.load(failing(), run_id="r", url=url)
    with pytest.raises(OSError, match="the disk is full"):
        engine.run()

    spans = traced.spans
    assert set(spans) == {"execute good", "execute bad", "revert bad", "revert good"}
    about = spans["execute bad"].attributes
    storage = engine.storage
    assert about["redisflow.run"] == "r"
    assert about["redisflow.flow"] == storage.flow_uuid
    assert about["redisflow.atom"] == "bad"
    assert about["redisflow.atom.uuid"] == storage.get_atom_uuid("bad")
    assert about["redisflow.run.number"] == 1
    assert about["redisflow.round"] == 1
    assert about["redisflow.attempt"] == 0
    assert about["redisflow.state"] == "FAILURE"
    assert about["redisflow.worker"]
    (raised,) = spans["execute bad"].events
    assert raised.attributes["exception.type"] == "OSError"
    assert not spans["execute bad"].status.is_ok
    assert spans["revert good"].attributes["redisflow.state"] == "REVERTED"
    assert spans["execute good"].status.is_unset


def test_all_spans_of_a_run_share_a_trace(url, traced):
    """Whichever engine they come from, and without a span around the load."""
    names = [f"t{i}" for i in range(8)]
    meet = threading.Barrier(2)

    def part():
        flow = linear_flow.Flow("f").add(*(Good(name) for name in names))
        engine = redisflow.load(flow, run_id="r", url=url)
        meet.wait(20)
        engine.run()

    threads = [threading.Thread(target=part) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(traced.spans) == {f"execute {name}" for name in names}
    assert len({span.context.trace_id for span in traced.spans.values()}) == 1
    assert len({span.parent.span_id for span in traced.spans.values()}) == 1


def test_the_span_of_the_submitter_is_the_parent(url, backend, traced):
    """It is kept with the flow, so that any process finds it."""
    tracer = traced.tracers.get_tracer("web")
    with tracer.start_as_current_span("request") as request:
        submit("tests.integration.test_telemetry:failing", run_id="r", url=url)
    engine = redisflow.load(failing(), run_id="r", url=url)
    with pytest.raises(OSError, match="the disk is full"):
        engine.run()

    asked = request.get_span_context()
    found = traced.spans["execute good"]
    assert found.context.trace_id == asked.trace_id
    assert found.parent.span_id == asked.span_id
    stored = engine.storage.flow_meta[otel.META_TRACE]
    assert f"{asked.trace_id:032x}" in stored


def run_in_vain(url):
    """Run the flow that fails, once more too; its atoms are reverted."""
    with pytest.raises(OSError, match="the disk is full"):
        redisflow.load(failing(), run_id="r", url=url, rerun=True).run()


def test_run_that_is_repeated_is_another_trace(url, traced):
    """It is linked to who had the flow run first, and is not a part of that."""
    with traced.tracers.get_tracer("web").start_as_current_span("request") as request:
        run_in_vain(url)
    first = traced.spans["execute good"]
    run_in_vain(url)

    again, asked = traced.spans["execute good"], request.get_span_context()
    assert again.attributes["redisflow.run.number"] == 2
    assert first.context.trace_id == asked.trace_id != again.context.trace_id
    assert [link.context.span_id for link in again.links] == [asked.span_id]
    assert not first.links


@pytest.mark.parametrize("submits", [True, False])
def test_who_has_a_run_repeated_is_its_parent(url, traced, submits):
    """The span of who submits or loads it once more; of this run alone."""
    run_in_vain(url)
    with traced.tracers.get_tracer("web").start_as_current_span("again") as again:
        if submits:
            factory = "tests.integration.test_telemetry:failing"
            submit(factory, run_id="r", url=url, rerun=True)
        else:
            engine = redisflow.load(failing(), run_id="r", url=url, rerun=True)
            engine.storage.backend.close()
    run_in_vain(url)
    found = traced.spans["execute good"]
    assert found.attributes["redisflow.run.number"] == 2
    assert found.parent.span_id == again.get_span_context().span_id

    run_in_vain(url)
    found = traced.spans["execute good"]
    assert found.attributes["redisflow.run.number"] == 3
    assert found.context.trace_id != again.get_span_context().trace_id


def test_engine_that_runs_once_more_is_traced_from_there(url, traced):
    """The span around a later run of one engine is the parent of that run."""
    engine = redisflow.load(failing(), run_id="r", url=url)
    tracer = traced.tracers.get_tracer("web")
    parents = []
    with contextlib.closing(engine.storage.backend):
        for name in ("first", "second"):
            with (
                tracer.start_as_current_span(name) as span,
                pytest.raises(OSError, match="the disk is full"),
            ):
                engine.run()
            parents.append(span.get_span_context().span_id)

    found = traced.spans["execute good"]
    assert found.attributes["redisflow.run.number"] == 2
    assert found.parent.span_id == parents[1]


def test_spans_of_the_users_code_are_children(url, traced):
    """The atom's span is the current one while the code runs."""

    class Inner(task.Task):
        def execute(self):
            with traced.tracers.get_tracer("user").start_as_current_span("inner"):
                pass

    flow = linear_flow.Flow("f").add(Inner("outer"))
    redisflow.load(flow, run_id="r", url=url, executor="threads").run()

    spans = traced.spans
    assert spans["inner"].parent.span_id == spans["execute outer"].context.span_id


def test_a_span_ends_when_the_result_is_recorded(url, traced):
    """Not before: what a listener hears at the end is stored already."""
    ended = []

    class Looking(observing.Observer):
        def ended(self, work, state, error):
            detail = engine.storage.backend.get_connection().get_atom_details(
                work.atom_uuid
            )
            ended.append((work.atom, detail.state, state))

    looking = Looking()
    observing.add(looking)
    try:
        engine = redisflow.load(
            linear_flow.Flow("f").add(Good("good")), run_id="r", url=url
        )
        engine.run()
    finally:
        observing.remove(looking)

    assert ended == [("good", "SUCCESS", "SUCCESS")]


def test_opentelemetry_counts(url, traced):
    """Atoms by state, durations, round trips and retries."""
    BadOnce.times = 0
    flow = linear_flow.Flow("f", retry.Times(2, "times")).add(BadOnce("bad"))
    redisflow.load(flow, run_id="r", url=url).run()

    points = traced.points()
    atoms = {
        (p.attributes["redisflow.kind"], p.attributes["redisflow.state"]): p.value
        for p in points["redisflow.atoms"]
    }
    assert atoms["execute", "FAILURE"] == 1
    assert atoms["retry", "SUCCESS"] == 1
    assert sum(p.value for p in points["redisflow.retries"]) == 1
    assert sum(p.count for p in points["redisflow.atom.duration"]) == sum(
        atoms.values()
    )
    trips = {
        p.attributes["redisflow.script"] for p in points["redisflow.script.duration"]
    }
    assert {"work_take", "work_complete", "flow_start"} <= trips
    assert [p.value for p in points["redisflow.running"]] == [0]


def test_gauges_tell_of_the_runs_at_hand(url, counted):
    """What is ready, what runs and who is there, while it is so and not after."""
    seen = []

    class Look(task.Task):
        def execute(self):
            seen.append(
                (
                    counted("redisflow_running"),
                    counted("redisflow_ready", run="r"),
                    counted("redisflow_workers", run="r"),
                )
            )

    flow = redisflow_unordered(Look("a"), Look("b"), Look("c"))
    redisflow.load(flow, run_id="r", url=url).run()

    assert seen == [(1, 2, 1), (1, 1, 1), (1, 0, 1)]
    assert counted("redisflow_ready", run="r") is None
    assert counted("redisflow_running") == 0


def test_gauges_of_opentelemetry_name_no_run(url, traced):
    """A worker meets runs without end; what it tells of them stays one point each."""
    seen = []

    class Look(task.Task):
        def execute(self):
            points = traced.points()
            for name in ("redisflow.ready", "redisflow.workers"):
                seen.extend((p.value, dict(p.attributes)) for p in points[name])

    for run in ("one", "two"):
        flow = redisflow_unordered(Look("a"), Look("b"))
        redisflow.load(flow, run_id=run, url=url).run()

    assert seen == 2 * [(1, {}), (1, {}), (0, {}), (1, {})]
    points = traced.points()
    assert [p.value for p in points["redisflow.ready"]] == [0]
    assert [p.value for p in points["redisflow.workers"]] == [0]


def test_shares_of_what_is_ready_add_up(url, traced):
    """Of two workers of one run each tells its share."""
    meet = threading.Barrier(2)
    seen = []

    class Meet(task.Task):
        def execute(self):
            meet.wait(20)
            if self.name == "a":
                seen.append([p.value for p in traced.points()["redisflow.ready"]])
            meet.wait(20)

    def part():
        tasks = [Meet("a"), Meet("b"), Good("c"), Good("d"), Good("e")]
        flow = redisflow_unordered(*tasks)
        redisflow.load(flow, run_id="r", url=url).run()

    threads = [threading.Thread(target=part) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [[3]]


def redisflow_unordered(*tasks):
    """Make a flow without order."""
    from taskflow.patterns import unordered_flow  # noqa: PLC0415

    return unordered_flow.Flow("u").add(*tasks)


def test_lost_leases_takeovers_and_late_results_are_counted(url, counted):
    """A worker whose lease is taken from it finds its result refused."""
    begun, go = threading.Event(), threading.Event()

    class Slow(task.Task):
        def execute(self):
            begun.set()
            if redisflow.current().attempt == 0:
                assert go.wait(20)

    def load():
        flow = linear_flow.Flow("f").add(Slow("slow"))
        return redisflow.load(flow, run_id="r", url=url, lease_s=1.0)

    late, other = load(), load()
    thread = threading.Thread(target=late.run)
    thread.start()
    try:
        assert begun.wait(20)
        storage, silent = late.storage, late._course._membership.id
        sweep(storage.backend.scripts_of(storage.flow_uuid), silent)
        other.run()
        eventually(lambda: counted("redisflow_lease_losses_total") == 1)
    finally:
        go.set()
        thread.join(20)

    assert counted("redisflow_takeovers_total") == 1
    assert counted("redisflow_stale_results_total") == 1
    assert counted("redisflow_running") == 0


def test_waits_for_a_lock_are_counted(url, backend, counted):
    """With the time that they took; a lock that is free is no wait."""
    first = redisflow.ReaderWriterLock(backend, "l")
    other = redisflow.ReaderWriterLock(backend, "l")
    got = threading.Event()

    def wait():
        with other.write_lock():
            got.set()

    with first.write_lock():
        assert not counted("redisflow_lock_waits_total")
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: first.has_pending_writers)
    assert got.wait(20)
    thread.join()

    assert counted("redisflow_lock_waits_total") == 1
    assert counted("redisflow_lock_wait_seconds_total") > 0


def test_what_waits_for_a_thread_has_not_begun(url):
    """With more claims than threads: the thread that begins a task tells of it."""
    told = []

    class Listening(observing.Observer):
        def began(self, work):
            told.append((work.atom, threading.current_thread().name))

    class Look(task.Task):
        def execute(self):
            told.append((self.name, threading.current_thread().name))

    listening = Listening()
    observing.add(listening)
    options = {"executor": "threads", "max_workers": 1, "claim_all": True}
    try:
        flow = redisflow_unordered(Look("a"), Look("b"), Look("c"))
        redisflow.load(flow, run_id="r", url=url, **options).run()
    finally:
        observing.remove(listening)

    assert [name for name, _ in told] == ["a", "a", "b", "b", "c", "c"]
    assert len({thread for _, thread in told}) == 1


def test_an_observer_that_raises_changes_nothing(url, caplog):
    """It only looks on: what it raises is logged."""

    class Clumsy(observing.Observer):
        def began(self, work):
            raise KeyError("began")

        def doing(self, work):
            raise KeyError("doing")

        def metadata(self):
            raise KeyError("metadata")

    clumsy = Clumsy()
    observing.add(clumsy)
    try:
        engine = redisflow.load(
            linear_flow.Flow("f").add(Good("good")), run_id="r", url=url
        )
        engine.run()
    finally:
        observing.remove(clumsy)

    assert engine.storage.get("good") == 1
    assert "an observer failed at 'began'" in caplog.text


@pytest.mark.one_server
def test_neither_library_is_imported_unasked(url):
    """A whole run imports nothing of either that redis-py does not import itself."""
    program = f"""
import sys
import redis
known = set(sys.modules)
import redisflow
import redisflow.cli.run
import redisflow.cli.worker
from tests.integration.test_telemetry_logs import one_task
redisflow.load(one_task(), run_id="r", url={url!r}).run()
libraries = ("opentelemetry", "prometheus_client")
print([n for n in sys.modules.keys() - known if n.partition(".")[0] in libraries])
print("redisflow.telemetry.otel" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\nFalse\n"


def test_records_of_an_atom_say_what_they_are_about(url):
    """Also those that the user's own code writes."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(
                (JsonFormatter().format(record), TextFormatter().format(record))
            )

    keep = Keep()
    keep.addFilter(Fields())
    logger = logging.getLogger("user")
    logger.addHandler(keep)
    # A report with half a character in its captured log cannot travel to pytest-xdist.
    logger.propagate = False
    try:
        engine = redisflow.load(
            linear_flow.Flow("f").add(Good("good")), run_id="r", url=url
        )
        engine.run()
        logger.warning("outside \udce9")
    finally:
        logger.removeHandler(keep)
        logger.propagate = True

    (inside, text), (outside, _) = lines
    entry = json.loads(inside)
    assert entry.pop("time")
    assert entry.pop("worker")
    assert entry == {
        "level": "warning",
        "logger": "user",
        "message": "working",
        "run": "r",
        "flow": engine.storage.flow_uuid,
        "atom": "good",
        "attempt": 0,
    }
    assert "working [run=r flow=" in text
    assert json.loads(outside)["message"] == "outside \\udce9"


def test_an_atom_that_is_halted_before_it_begins_is_counted(url, counted):
    """What is raised around it ends the run; that is no reason to keep quiet."""
    gated = graph_flow.Flow("f")
    first, then = Good("first"), Good("then")
    gated.add(first, then)

    def refuse(history):
        raise LookupError("no answer")

    gated.link(first, then, decider=refuse)
    with pytest.raises(LookupError):
        redisflow.load(gated, run_id="r", url=url).run()
    assert counted("redisflow_atoms_total", kind="decide", state="HALTED") == 1
    assert counted("redisflow_running") == 0


def test_an_observer_that_comes_amid_work_counts_from_there(url):
    """It has not heard of the beginning: its gauge does not go below nothing."""
    observer = PrometheusObserver()
    flow = linear_flow.Flow("f").add(
        task.FunctorTask(lambda: observing.add(observer), name="adds"), Good("good")
    )
    try:
        redisflow.load(flow, run_id="r", url=url).run()
        assert observer.registry.get_sample_value("redisflow_running") == 0
    finally:
        observing.remove(observer)


def test_a_span_ends_though_its_exception_cannot_be_written(url, traced):
    """Whoever looks for what went wrong finds the span at least."""

    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    class Fails(task.Task):
        def execute(self):
            raise Mute

    with contextlib.suppress(Exception):
        redisflow.load(Fails("fails"), run_id="r", url=url).run()
    assert "execute fails" in traced.spans


def test_durations_are_told_apart(url, traced):
    """Buckets are of seconds, and not all observations in the first."""
    redisflow.load(linear_flow.Flow("f").add(Good("good")), run_id="r", url=url).run()
    (point, *_) = traced.points()["redisflow.atom.duration"]
    assert min(point.explicit_bounds) < 0.01
