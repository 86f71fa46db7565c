"""Metrics: of one process, of several, and of those that are gone."""

import asyncio
import os
import time
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from servers.web.metrics import BUCKETS, Metrics

SERIES = ("GET", "/x", 200)


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Name and process to value; a process of its own (RSS and so on) has none."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            key = sample.name, sample.labels.get("process", "")
            found[key] = found.get(key, 0.0) + sample.value
    return found


def test_answers_fall_into_their_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.0, BUCKETS[0], BUCKETS[0] + 1e-9, 100.0):
        metrics.answered(*SERIES, seconds)
    buckets = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == "certctl_request_seconds_bucket":
                buckets[sample.labels["le"]] = sample.value
    assert (buckets["0.001"], buckets["0.0025"], buckets["10.0"], buckets["+Inf"]) == (2, 3, 3, 4)
    assert samples(metrics)["certctl_request_seconds_count", "0"] == 4
    assert ("process_resident_memory_bytes", "") in samples(metrics)


async def test_each_process_shows_the_others(tmp_path: Path) -> None:
    one, two = (Metrics(index, tmp_path / "metrics") for index in (0, 1))
    for metrics, count in ((one, 2), (two, 5)):
        metrics.gauge("certctl_connections_https", "Open connections", partial(float, count))
        for _ in range(count):
            metrics.answered(*SERIES, 0.01)
    one.unforeseen = 3
    ended = asyncio.Event()
    tasks = [asyncio.ensure_future(metrics.run(ended)) for metrics in (one, two)]
    await asyncio.sleep(0)
    found = samples(two)
    assert found["certctl_request_seconds_count", "0"] == 2
    assert found["certctl_request_seconds_count", "1"] == 5
    assert found["certctl_unforeseen_errors_total", "0"] == 3
    assert found["certctl_connections_https", "0"] == 2
    assert found == samples(one)
    ended.set()
    await asyncio.gather(*tasks)

    for path in (tmp_path / "metrics").glob("0.json"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    assert ("certctl_request_seconds_count", "0") not in samples(two), (
        "who is gone without a successor is left out"
    )
    (tmp_path / "metrics" / "0.json").write_text("{damaged")
    assert samples(two)["certctl_request_seconds_count", "1"] == 5
