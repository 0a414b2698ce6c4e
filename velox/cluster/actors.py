"""Actors: processes that Ray starts, on any of its machines, and starts again when they die."""

from collections.abc import Sequence
from typing import Any, Final

import ray

from velox import logs
from velox.cameras import main as cameras
from velox.cameras.main import Shard
from velox.consumer import main as consumer
from velox.settings import Settings
from velox.settings.readers import ReadingSettings
from velox.signals import StopRequest

_FOREVER: Final = -1
NAMESPACE: Final = "velox"


class ConsumerActor:
    """A consumer with PREDICTOR=serve: the one of ``velox consume``, at least once, with dead letters and metrics."""

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


class ProducerActor:
    """Reads some of the cameras of cameras.yaml: as a process of ``velox cameras run`` does."""

    def __init__(self, settings: ReadingSettings, shard: Shard) -> None:
        """Keep what it will read; nothing is opened yet."""
        self._settings = settings
        self._shard = shard
        self._stop = StopRequest()

    def run(self) -> int:
        """Read until told to stop.

        Returns:
            0 when the broker acknowledged every record that it was given, else 1.
        """
        logs.configure(level=self._settings.log_level, form=self._settings.log_format)
        return cameras.read(self._settings, self._shard, is_stopping=self._stop.is_made)

    def stop(self) -> None:
        """Have it hand over what it has read, and end."""
        self._stop.count += 1


def start_consumers(settings: Settings, count: int) -> Sequence[Any]:
    """Start so many consumers of one group, with a port for metrics each: those after METRICS_PORT.

    They end with the program that starts them. What one had in flight when it died is read again.
    """
    made = []
    for number in range(count):
        port = settings.metrics_port + 1 + number if settings.metrics_port else 0
        own = settings.model_copy(update={"metrics_port": port, "predictor": "serve"})
        made.append(_actor(ConsumerActor, f"consumer-{number + 1}").remote(own))
    return made


def start_producers(settings: Settings, count: int) -> Sequence[Any]:
    """Start so many readers of cameras; each has its share, which it reads on a thread a camera.

    The cameras of one that dies are dark until Ray has started it again.
    """
    told = settings.part(ReadingSettings)
    return [
        _actor(ProducerActor, f"producer-{number + 1}").remote(told, Shard(number, count)) for number in range(count)
    ]


def _actor(kind: type, name: str) -> Any:  # noqa: ANN401 - of a library without types
    return ray.remote(kind).options(
        name=name,
        namespace=NAMESPACE,
        num_cpus=0,
        max_restarts=_FOREVER,
        max_task_retries=_FOREVER,
        max_concurrency=2,  # it runs, and hears that it should stop
    )
