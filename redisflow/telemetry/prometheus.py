"""Metrics for Prometheus, and the endpoint that exports them.

All are of this process; what belongs to a flow, `redisflow_ready` and
`redisflow_workers`, is asked of the server when it is scraped, for the runs that this
process takes part in then, so that a run that is over leaves nothing behind. Each
worker tells the same of a run: take the largest, not the sum.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from time import monotonic
from wsgiref.simple_server import WSGIServer

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from redisflow import observing
from redisflow.errors import ConfigError
from redisflow.observing import Work
from redisflow.telemetry.parts import Parts

#: From a no-op task to a day.
_ATOM_S = (0.001, 0.01, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 21600, 86400)

#: From a script on this host to one that waited for a failover.
_SCRIPT_S = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class PrometheusObserver(Parts):
    """Counts what happens in this process.

    Args:
        registry: where the metrics go; a registry of their own without it.

    Attributes:
        registry: where they are.
    """

    def __init__(
        self, registry: prometheus_client.CollectorRegistry | None = None
    ) -> None:
        super().__init__()
        self.registry = registry or prometheus_client.CollectorRegistry()
        self._begun: dict[Work, float] = {}
        self._atoms = self._counter(
            "atoms", "Executions and reverts that were recorded.", "kind", "state"
        )
        self._retries = self._counter("retries", "Times that a retry tried again.")
        self._stale = self._counter("stale_results", "Results that came too late.")
        self._takeovers = self._counter(
            "takeovers", "Items taken back from dead workers."
        )
        self._losses = self._counter("lease_losses", "Leases lost by this process.")
        self._waits = self._counter("lock_waits", "Waits for a lock of others.")
        self._wait_s = self._counter("lock_wait_seconds", "Time spent in these waits.")
        self._durations = self._histogram(
            "atom_duration_seconds",
            "From the beginning of an atom to its record.",
            _ATOM_S,
            "kind",
        )
        self._trips = self._histogram(
            "script_duration_seconds", "Round trips of scripts.", _SCRIPT_S, "script"
        )
        running = prometheus_client.Gauge(
            "redisflow_running", "Atoms that run here.", registry=self.registry
        )
        running.set_function(lambda: self.running)
        self.registry.register(_Counts(self))

    def began(self, work: Work) -> None:
        """Note when it began."""
        super().began(work)
        self._begun[work] = monotonic()

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        """Count it."""
        super().ended(work, state, error)
        self._atoms.labels(work.kind, state).inc()
        began = self._begun.pop(work, None)
        if began is not None:
            self._durations.labels(work.kind).observe(monotonic() - began)
        if work.kind == "retry":
            self._retries.inc()

    def refused(self, work: Work) -> None:
        """Count it."""
        super().refused(work)
        self._begun.pop(work, None)
        self._stale.inc()

    def abandoned(self, work: Work) -> None:
        """Forget it."""
        super().abandoned(work)
        self._begun.pop(work, None)

    def took_back(self, flow: str, worker: str, items: int) -> None:
        """Count the items."""
        del flow, worker
        self._takeovers.inc(items)

    def lost_lease(self, flow: str, worker: str) -> None:
        """Count it."""
        del flow, worker
        self._losses.inc()

    def waited(self, seconds: float) -> None:
        """Count it."""
        self._waits.inc()
        self._wait_s.inc(seconds)

    def ran(self, script: str, seconds: float) -> None:
        """Note how long it took."""
        self._trips.labels(script).observe(seconds)

    def _counter(
        self, name: str, about: str, *labels: str
    ) -> prometheus_client.Counter:
        return prometheus_client.Counter(
            f"redisflow_{name}", about, labels, registry=self.registry
        )

    def _histogram(
        self, name: str, about: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            f"redisflow_{name}",
            about,
            labels,
            buckets=buckets,
            registry=self.registry,
        )


class _Counts(Collector):
    """Asks the server when it is scraped."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return _gauges()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        ready, workers = gauges = _gauges()
        for run, _here, waiting, there in self._parts.counts():
            ready.add_metric([run], waiting)
            workers.add_metric([run], there)
        return gauges


def _gauges() -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("redisflow_ready", "Items to be taken.", labels=["run"]),
        GaugeMetricFamily("redisflow_workers", "Workers of a run.", labels=["run"]),
    )


class Endpoint:
    """Exports an observer's metrics over HTTP; constructing it listens.

    Args:
        observer: whose.
        port: where to listen; 0 takes a free one.
        host: the address to listen on.

    Attributes:
        port: where it listens.

    Raises:
        ConfigError: it cannot listen there.
    """

    def __init__(
        self, observer: PrometheusObserver, *, port: int, host: str = "127.0.0.1"
    ) -> None:
        try:
            started: tuple[WSGIServer, threading.Thread] = (
                prometheus_client.start_http_server(
                    port, addr=host, registry=observer.registry
                )
            )
        except (OSError, OverflowError) as error:
            raise ConfigError(f"metrics on {host}:{port}: {error}") from error
        self._server, self._thread = started
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def exported(*, port: int, host: str = "127.0.0.1") -> Iterator[Endpoint]:
    """Count, and export it, meanwhile.

    Raises:
        ConfigError: it cannot listen there.
    """
    observer = PrometheusObserver()
    endpoint = Endpoint(observer, port=port, host=host)
    observing.add(observer)
    try:
        yield endpoint
    finally:
        observing.remove(observer)
        endpoint.close()
