"""Reads the consumer's metrics."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from velox import metrics

_TIMEOUT_S: Final = 1.0

Buckets = Mapping[float, float]
"""A histogram: for each upper bound in seconds the number of observations up to it, as Prometheus counts."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a consumer has counted since its start."""

    predicted: int = 0
    dead_lettered: int = 0
    detections: int = 0
    inference_processes: int = 0
    """Ready to predict now."""
    inference_restarts: int = 0
    end_to_end: Buckets = field(default_factory=dict)


class Probe:
    """Asks one consumer on this machine."""

    def __init__(self, port: int) -> None:
        """Ask on METRICS_PORT."""
        self._port = port

    def scrape(self) -> Scrape | None:
        """Read its metrics; None while it does not answer."""
        answer = self._get("/metrics")
        return parse(answer[1]) if answer else None

    def unready_because(self) -> str | None:
        """Say why it is not ready, None when it is."""
        answer = self._get("/readyz")
        if answer is None:
            return "starting"
        status, body = answer
        return None if status == HTTPStatus.OK else str(json.loads(body).get("cause", body))

    def _get(self, path: str) -> tuple[int, str] | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def parse(text: str) -> Scrape:
    """Take the numbers that count here out of a page of metrics."""
    outcomes = {"predicted": 0, "dead_lettered": 0}
    counts = {metrics.DETECTIONS.name: 0, metrics.PROCESSES.name: 0, metrics.RESTARTS.name: 0}
    buckets: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == metrics.RECORDS.name:
                outcomes[sample.labels["outcome"]] = int(sample.value)
            elif sample.name in counts:
                counts[sample.name] += int(sample.value)
            elif sample.name == f"{metrics.END_TO_END.name}_bucket":
                buckets[float(sample.labels["le"])] = sample.value
    return Scrape(
        **outcomes,
        detections=counts[metrics.DETECTIONS.name],
        inference_processes=counts[metrics.PROCESSES.name],
        inference_restarts=counts[metrics.RESTARTS.name],
        end_to_end=buckets,
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
