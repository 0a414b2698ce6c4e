"""The way that the records of a run take into Kafka: published by the run itself, or as requests to a gateway."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from velox.heartbeat import Deliveries
from velox.kafka.lag import Observer
from velox.records import Partition
from velox.sources import open_source
from velox.tools.verify.load import Load
from velox.tools.verify.numbered import Records
from velox.tools.verify.places import Places
from velox.tools.verify.premises import Premises
from velox.tools.verify.services import Service
from velox.tools.verify.watch import Offsets


class Sending(Deliveries, Protocol):
    """What is on its way."""

    def poll(self, timeout_s: float) -> None:
        """Wait for answers, and hear them."""


class Loading(Protocol):
    """One run's records, sent in order of their numbers. Used by one thread."""

    published: int
    acknowledged: Places
    ends: dict[Partition, int]

    @property
    def records(self) -> Records:
        """Answer what builds them."""

    @property
    def publisher(self) -> Sending:
        """Answer what sends them."""

    def publish(self, until: int) -> None:
        """Send what is due, for a short time, up to and without the number ``until``."""


class Way(AbstractContextManager["Way"], Protocol):
    """One of the two; entered for the time of the run."""

    @property
    def records(self) -> Records:
        """Answer what builds the records."""

    @property
    def services(self) -> Sequence[Service]:
        """Answer what records pass on the way, to be started before them."""

    @property
    def outstanding(self) -> int:
        """Count what has to arrive somewhere else once all is stored."""

    def load(self, committed: Callable[[], Offsets], observer: Observer) -> Loading:
        """Begin to send; ``committed`` says how far the group is."""

    def problems(self, load: Loading) -> list[str]:
        """Say what breaks a promise, of what only this way makes."""

    def facts(self) -> Mapping[str, Any]:
        """Say what else people may want to know of the run."""


class Straight:
    """Into Kafka, without any other process."""

    def __init__(self, premises: Premises, run: str) -> None:
        """Open the source, if there is to be one.

        Raises:
            VeloxError: it cannot be opened.
        """
        settings, plan = premises.settings, premises.plan
        source = None if premises.is_built_in else open_source(settings, settings.source)
        self._premises = premises
        self.records = Records(
            run, settings.codec, plan.poison, source, reads_images=settings.is_model_ours, form=settings.json_form
        )
        self.services: Sequence[Service] = ()
        self.outstanding = 0

    def load(self, committed: Callable[[], Offsets], _observer: Observer) -> Load:
        """Publish to the topics of the run."""
        return Load(self._premises.settings, self._premises.plan, self.records, committed, self._premises.topics)

    def problems(self, _load: Loading) -> list[str]:
        """Add nothing."""
        return []

    def facts(self) -> Mapping[str, Any]:
        """Add nothing."""
        return {}

    def __enter__(self) -> Self:
        """Answer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""
