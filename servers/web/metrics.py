"""What the server counts, in a registry of its own.

A request costs two additions here: the numbers are plain integers of the event loop's thread, and prometheus-client
sees them when somebody asks. Labels are bounded: routes, not paths, and status codes that were answered.

Of several processes behind one address a scrape reaches one. Each therefore leaves its numbers in a file for the
others now and then, and every series says of which process it is.
"""

import asyncio
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from store import clock

log = structlog.get_logger()
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""
_LEAVE_EVERY: Final = 5.0
_STALE: Final = 30_000  # ms; who left this ended without a successor
_MAX_FILE: Final = 1024 * 1024


class _Series:
    """The answers of one route with one status."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


@dataclass(slots=True)
class _Snapshot:
    """The numbers of one process at one moment."""

    process: str
    requests: list[tuple[str, str, int, list[int], float]] = field(default_factory=list)
    """Method, route, status, answers per bucket, seconds in all."""
    counters: dict[str, float] = field(default_factory=dict)
    gauges: dict[str, float] = field(default_factory=dict)


_COUNTERS: Final = {
    "certctl_unforeseen_errors": "Answers 500 for a bug",
    "certctl_refused_connections": "Connections over the limit",
}


class Metrics(Collector):
    """Counters of one process, and gauges that are read when asked for."""

    def __init__(self, process: int = 0, shared: Path | None = None) -> None:
        """`shared` is the directory in which the processes of one server leave their numbers; None for a single one."""
        self.registry: Final = CollectorRegistry(auto_describe=False)
        self._process = str(process)
        self._shared = shared
        self._series: dict[tuple[str, str, int], _Series] = {}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.unforeseen = 0
        """Errors that became a 500."""
        self.refused_connections = 0
        if shared is None:
            ProcessCollector(registry=self.registry)
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

    async def run(self, stopping: asyncio.Event) -> None:
        """Leave the numbers for the other processes until `stopping` is set."""
        while not stopping.is_set():
            self._leave()
            try:
                async with asyncio.timeout(_LEAVE_EVERY):
                    await stopping.wait()
            except TimeoutError:
                continue

    def collect(self) -> Iterator[Metric]:
        """prometheus-client's way to ask."""
        found = [self._snapshot(), *self._others()]
        yield _histogram(found)
        for name, words in _COUNTERS.items():
            counter = CounterMetricFamily(name, words, labels=("process",))
            for one in found:
                counter.add_metric((one.process,), one.counters.get(name, 0.0))
            yield counter
        for name, (help_, _) in self._gauges.items():
            gauge = GaugeMetricFamily(name, help_, labels=("process",))
            for one in found:
                gauge.add_metric((one.process,), one.gauges.get(name, 0.0))
            yield gauge

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(
            self._process,
            [(*key, series.buckets, series.seconds) for key, series in self._series.items()],
            {
                "certctl_unforeseen_errors": self.unforeseen,
                "certctl_refused_connections": self.refused_connections,
            },
            {name: read() for name, (_, read) in self._gauges.items()},
        )

    def _leave(self) -> None:
        if self._shared is None:
            return
        mine = self._snapshot()
        document = {"requests": mine.requests, "counters": mine.counters, "gauges": mine.gauges}
        path = self._shared / f"{self._process}.json"
        draft = path.with_suffix(".new")
        try:
            self._shared.mkdir(mode=0o700, exist_ok=True)
            draft.write_text(json.dumps(document))
            draft.replace(path)
        except OSError as error:
            log.warning("metrics.not_left", error=str(error))

    def _others(self) -> Iterator[_Snapshot]:
        if self._shared is None:
            return
        for path in sorted(self._shared.glob("*.json")):
            if path.stem != self._process:
                try:
                    if clock.now() - path.stat().st_mtime * 1000 < _STALE:
                        yield _read(path)
                except (OSError, ValueError, KeyError, TypeError) as error:
                    log.warning("metrics.unreadable", file=str(path), error=str(error))


def _read(path: Path) -> _Snapshot:
    with path.open("rb") as file:
        document: dict[str, Any] = json.loads(file.read(_MAX_FILE))
    return _Snapshot(path.stem, document["requests"], document["counters"], document["gauges"])


def _histogram(found: Iterable[_Snapshot]) -> HistogramMetricFamily:
    histogram = HistogramMetricFamily(
        "certctl_request_seconds",
        "Requests by route and status",
        labels=("process", "method", "route", "status"),
    )
    for one in found:
        for method, route, status, numbers, seconds in one.requests:
            count, buckets = 0, []
            for bound, number in zip((*map(repr, BUCKETS), "+Inf"), numbers, strict=True):
                count += number
                buckets.append((bound, count))
            histogram.add_metric((one.process, method, route, str(status)), buckets, sum_value=seconds)
    return histogram
