"""Reads the metrics of other processes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from velox.metrics.consumer import ConsumerMetrics
from velox.probing import HERE, ask, unready_because

Buckets = Mapping[float, float]
"""A histogram: for each upper bound in seconds the number of observations up to it, as Prometheus counts."""
Labels = frozenset[tuple[str, str]]
"""The labels of a sample, by name and value."""
Page = Mapping[str, Mapping[Labels, float]]
"""Samples by name, and by their labels."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a consumer has counted since its start."""

    predicted: int = 0
    dead_lettered: int = 0
    dropped: int = 0
    detections: int = 0
    inference_processes: int = 0
    """Ready to predict now."""
    inference_restarts: int = 0
    end_to_end: Buckets = field(default_factory=dict)


class Scraper:
    """Asks one process."""

    def __init__(self, port: int, host: str = HERE) -> None:
        """Ask on METRICS_PORT."""
        self._port = port
        self._host = host

    def scrape(self) -> Scrape | None:
        """Read its metrics; None while it does not answer."""
        text = self._metrics()
        return None if text is None else parse(text)

    def page(self) -> Page | None:
        """Read all its metrics; None while it does not answer, or what answers is no consumer."""
        text = self._metrics()
        try:
            page = read(text) if text is not None else {}
        except ValueError:
            return None
        return page if ConsumerMetrics.started.name in page else None

    def samples(self) -> Page | None:
        """Read all metrics of whatever process answers; None while none does."""
        text = self._metrics()
        return None if text is None else read(text)

    def unready_because(self) -> str | None:
        """Say why it is not ready, None when it is."""
        return unready_because(self._port, host=self._host)

    def _metrics(self) -> str | None:
        try:
            return ask(self._port, "/metrics", host=self._host).body
        except OSError:
            return None


def read(text: str) -> Page:
    """Take all samples out of a page of metrics."""
    page: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page[sample.name][frozenset(sample.labels.items())] = sample.value
    return page


def by(label: str, samples: Mapping[Labels, float]) -> dict[str, float]:
    """Add samples up by the value of one label, whatever others they have."""
    sums: defaultdict[str, float] = defaultdict(float)
    for labels, value in samples.items():
        sums[dict(labels).get(label, "")] += value
    return sums


def parse(text: str) -> Scrape:
    """Take the numbers that count here out of a page of metrics."""
    page = read(text)
    outcomes = by("outcome", page.get(ConsumerMetrics.records.name, {}))
    buckets = by("le", page.get(f"{ConsumerMetrics.end_to_end.name}_bucket", {}))
    detections, processes, restarts = (
        int(sum(page.get(spec.name, {}).values()))
        for spec in (ConsumerMetrics.detections, ConsumerMetrics.processes, ConsumerMetrics.restarts)
    )
    return Scrape(
        predicted=int(outcomes.get("predicted", 0)),
        dead_lettered=int(outcomes.get("dead_lettered", 0)),
        dropped=int(outcomes.get("dropped", 0)),
        detections=detections,
        inference_processes=processes,
        inference_restarts=restarts,
        end_to_end={float(bound): count for bound, count in buckets.items()},
    )


def quantile(q: float, buckets: Buckets) -> float | None:
    """Estimate a quantile in seconds, linearly within its bucket, as Prometheus' ``histogram_quantile`` does.

    None without observations; the highest finite bound when it lies beyond.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    rank, low, below = q * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            return low if bound == float("inf") else low + (bound - low) * (rank - below) / (buckets[bound] - below)
        low, below = bound, buckets[bound]
    return None


def since(new: Buckets, old: Buckets) -> Buckets:
    """Answer the observations made between two scrapes of one consumer; all of them when it was started in between."""
    difference = {bound: count - old.get(bound, 0) for bound, count in new.items()}
    return new if any(count < 0 for count in difference.values()) else difference
