"""Spans and metrics of OpenTelemetry.

One span per execution, revert or retry of an atom by a worker, from its beginning until
what came of it is recorded. It is the current span while the user's code runs, so that
spans of that code are its children.

All spans of a run are in one trace, whichever process they come from. Where a flow was
stored for the first time within a span (that of the caller of `submit`, say), or is run
again by somebody within one, that span's context is in the flow's metadata, as
`META_TRACE`, and the parent of all spans of that run. Those of later runs link to the
first one's. Otherwise trace and parent are computed from the flow and the number of the
run: every process comes to the same without asking.

No metric names a run: OpenTelemetry keeps each set of attributes that it has seen, and
no more than 2,000 of them. Each process tells its share, so that sums over all
processes tell what there is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from time import monotonic
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from redisflow import observing
from redisflow.observing import Part, Work
from redisflow.telemetry.parts import Parts

#: The flow's metadata that holds a W3C traceparent.
META_TRACE = "traceparent"

_NAME = "redisflow"
_FAILED = frozenset({"FAILURE", "REVERT_FAILURE", "HALTED", "STALE", "ABANDONED"})

#: In seconds: by default the bounds of histograms are meant for milliseconds.
_BOUNDS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3600)
_propagator = TraceContextTextMapPropagator()


class OtelObserver(Parts):
    """Makes spans, and counts.

    Args:
        tracer_provider: makes the tracer; without it the process' own provider.
        meter_provider: makes the meter; without it the process' own provider.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        super().__init__()
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        self._spans: dict[Work, tuple[trace.Span, float]] = {}
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._atoms = meter.create_counter("redisflow.atoms", "{atom}")
        self._retries = meter.create_counter("redisflow.retries", "{retry}")
        self._stale = meter.create_counter("redisflow.stale_results", "{result}")
        self._takeovers = meter.create_counter("redisflow.takeovers", "{item}")
        self._losses = meter.create_counter("redisflow.lease_losses", "{lease}")
        self._waits, self._durations, self._trips = (
            meter.create_histogram(
                f"redisflow.{name}", "s", explicit_bucket_boundaries_advisory=_BOUNDS_S
            )
            for name in ("lock_wait", "atom.duration", "script.duration")
        )
        meter.create_observable_gauge("redisflow.running", [self._observe_running])
        meter.create_observable_gauge("redisflow.ready", [self._observe_ready])
        meter.create_observable_gauge("redisflow.workers", [self._observe_workers])

    def metadata(self) -> Mapping[str, Any]:
        """Have the current span stored with a flow that is new."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return {META_TRACE: carrier["traceparent"]} if carrier else {}

    def began(self, work: Work) -> None:
        """Start a span."""
        super().began(work)
        span = self._tracer.start_span(
            f"{work.kind} {work.atom}",
            context=_parent_of(work.part),
            links=_links_of(work.part),
            attributes={
                "redisflow.run": work.part.run,
                "redisflow.run.number": work.part.number,
                "redisflow.flow": work.part.flow,
                "redisflow.worker": work.part.worker,
                "redisflow.atom": work.atom,
                "redisflow.atom.uuid": work.atom_uuid,
                "redisflow.kind": work.kind,
                "redisflow.round": work.round,
                "redisflow.attempt": work.attempt,
            },
        )
        self._spans[work] = (span, monotonic())

    def doing(self, work: Work) -> AbstractContextManager[object]:
        """Make the span the current one."""
        span, _began = self._spans[work]
        return trace.use_span(
            span, record_exception=False, set_status_on_exception=False
        )

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        """End the span, and count."""
        super().ended(work, state, error)
        about = {"redisflow.kind": work.kind, "redisflow.state": state}
        self._atoms.add(1, about)
        if work.kind == "retry":
            self._retries.add(1)
        self._end(work, state, error)

    def refused(self, work: Work) -> None:
        """End the span as one whose result was refused, and count."""
        super().refused(work)
        self._stale.add(1)
        self._end(work, "STALE", None)

    def abandoned(self, work: Work) -> None:
        """End the span as one of which nothing is known."""
        super().abandoned(work)
        self._end(work, "ABANDONED", None)

    def took_back(self, flow: str, worker: str, items: int) -> None:
        """Count the items."""
        del flow, worker
        self._takeovers.add(items)

    def lost_lease(self, flow: str, worker: str) -> None:
        """Count it."""
        del flow, worker
        self._losses.add(1)

    def waited(self, seconds: float) -> None:
        """Note how long it took."""
        self._waits.record(seconds)

    def ran(self, script: str, seconds: float) -> None:
        """Note how long it took."""
        self._trips.record(seconds, {"redisflow.script": script})

    def _end(self, work: Work, state: str, error: BaseException | None) -> None:
        if work not in self._spans:  # it began before this observer was there
            return
        span, began = self._spans.pop(work)
        try:
            self._durations.record(monotonic() - began, {"redisflow.kind": work.kind})
            span.set_attribute("redisflow.state", state)
            if state in _FAILED:
                span.set_status(trace.StatusCode.ERROR, state)
            if error is not None:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(
                    trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"
                )
                span.record_exception(error)
        finally:  # an exception may raise when it is to be written
            span.end()

    def _observe_running(self, _: object) -> Iterable[metrics.Observation]:
        return [metrics.Observation(self.running)]

    def _observe_ready(self, _: object) -> Iterable[metrics.Observation]:
        shares = (
            parts * ready / max(parts, workers)
            for _run, parts, ready, workers in self.counts()
        )
        return [metrics.Observation(sum(shares))]

    def _observe_workers(self, _: object) -> Iterable[metrics.Observation]:
        return [metrics.Observation(self.parts)]


def _parent_of(part: Part) -> context.Context:
    """Return the context that all spans of a run are in."""
    stored = _stored_for(part, part.number)
    if stored is not None:
        return trace.set_span_in_context(
            trace.NonRecordingSpan(stored), context.Context()
        )
    digest = hashlib.sha256(f"{part.flow}/{part.number}".encode()).digest()
    parent = trace.SpanContext(
        trace_id=int.from_bytes(digest[:16], "big"),
        span_id=int.from_bytes(digest[16:24], "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), context.Context())


def _links_of(part: Part) -> list[trace.Link]:
    """Return what leads from a flow that is run again to whoever had it run first."""
    first = _stored_for(part, 1) if part.number > 1 else None
    return [] if first is None else [trace.Link(first)]


def _stored_for(part: Part, run: int) -> trace.SpanContext | None:
    stored = observing.stored_for(run, META_TRACE, part.metadata)
    if not isinstance(stored, str):
        return None
    found = _propagator.extract({"traceparent": stored}, context.Context())
    of = trace.get_current_span(found).get_span_context()
    return of if of.is_valid else None


def observe(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> OtelObserver:
    """Make spans and metrics of all that redisflow does in this process.

    Args:
        tracer_provider: without it, the one that OpenTelemetry was set up with.
        meter_provider: likewise.
    """
    observer = OtelObserver(tracer_provider, meter_provider)
    observing.add(observer)
    return observer
