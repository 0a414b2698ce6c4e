"""Asks a running consumer for its own counts, and when it is ready."""

import time
import urllib.request
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.programs import BenchmarkError, Program
from velox.metrics.consumer import ConsumerMetrics
from velox.tools.up.scraping import Scraper

_TIMEOUT_S: Final = 5.0
_READY_S: Final = 120.0
_POLL_S: Final = 0.05


class Meter:
    """Reads the metrics of one consumer of this machine."""

    def __init__(self, port: int) -> None:
        """Ask on METRICS_PORT."""
        self._port = port

    def predicted(self) -> float:
        """Count the records that are predicted and stored."""
        return self._sums()[ConsumerMetrics.records.name]

    def mean_batch(self) -> float:
        """Answer how many records were predicted together, on average."""
        sums = self._sums()
        return sums[f"{ConsumerMetrics.batch_size.name}_sum"] / max(
            1.0, sums[f"{ConsumerMetrics.batch_size.name}_count"]
        )

    def _sums(self) -> dict[str, float]:
        """Add up each metric over its labels."""
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            text = response.read().decode()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums


def await_ready(program: Program, port: int) -> None:
    """Wait until a consumer has its model, its sinks and its partitions.

    Raises:
        BenchmarkError: it ended, or is not ready for too long.
    """
    probe = Scraper(port)
    until = time.monotonic() + _READY_S
    while (cause := probe.unready_because()) is not None:
        program.check()
        if time.monotonic() > until:
            raise BenchmarkError(f"{program.log.stem} is not ready after {_READY_S:g} s: {cause}; see {program.log}")
        time.sleep(_POLL_S)
