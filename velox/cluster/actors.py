"""Actors: processes that Ray starts, on any of its machines, and starts again when they die."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import ray

from velox.consumer import main as consumer
from velox.settings import Settings
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_FOREVER: Final = -1
NAMESPACE: Final = "velox"


class ConsumerActor:
    """A consumer with PREDICTOR=serve: the one of ``velox consume``, at least once, with dead letters and metrics.

    Two calls at a time: one consumes, another asks it to stop.
    """

    def __init__(self, settings: Settings) -> None:
        """Keep the settings; nothing is read yet."""
        self._settings = settings
        self._stop = StopRequest()

    def run(self) -> int:
        """Consume until told to stop.

        Returns:
            As ``velox consume``: 0 when all that was fetched is finished and committed.
        """
        return consumer.consume(self._settings, self._stop)

    def stop(self) -> None:
        """Have it finish what is in flight and end; the second time at once."""
        self._stop.count += 1


def start_consumers(settings: Settings, count: int) -> Sequence[Any]:
    """Start so many consumers of one group, with a port for metrics each: those after METRICS_PORT.

    They end with the program that starts them. What one had in flight when it died is read again.
    """
    made = []
    for number in range(count):
        port = settings.metrics_port + 1 + number if settings.metrics_port else 0
        own = settings.model_copy(update={"metrics_port": port, "predictor": "serve"})
        kind = ray.remote(ConsumerActor).options(
            name=f"consumer-{number + 1}",
            namespace=NAMESPACE,
            num_cpus=0,
            max_restarts=_FOREVER,
            max_task_retries=_FOREVER,
            max_concurrency=2,
        )
        made.append(kind.remote(own))
    return made
