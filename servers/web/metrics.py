"""What the server counts, in a registry of its own.

A request costs two additions here: the numbers are plain integers of the event loop's thread, and prometheus-client
sees them when somebody asks. Labels are bounded: routes, not paths, and status codes that were answered.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


class _Series:
    """The answers of one route with one status."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Metrics(Collector):
    """Counters of one process, and gauges that are read when asked for."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry(auto_describe=False)
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.unforeseen = 0
        """Errors that became a 500."""
        self.refused_connections = 0
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(self)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. `method` and `route` are the route's, never the client's."""
        key = method, route, status
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Show what `read` returns, each time somebody asks."""
        self._gauges[name] = (help_, read)

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """prometheus-client's way to ask."""
        histogram = HistogramMetricFamily(
            "certctl_request_seconds", "Requests by route and status", labels=("method", "route", "status")
        )
        for (method, route, status), series in self._series.items():
            count, buckets = 0, []
            for bound, number in zip((*BUCKETS, float("inf")), series.buckets, strict=True):
                count += number
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), count))
            histogram.add_metric((method, route, str(status)), buckets, sum_value=series.seconds)
        yield histogram
        yield CounterMetricFamily("certctl_unforeseen_errors", "Answers 500 for a bug", value=self.unforeseen)
        yield CounterMetricFamily(
            "certctl_refused_connections", "Connections over the limit", value=self.refused_connections
        )
        gauges: Mapping[str, tuple[str, Callable[[], float]]] = self._gauges
        for name, (help_, read) in gauges.items():
            yield GaugeMetricFamily(name, help_, value=read())
