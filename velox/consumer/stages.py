"""What a record goes through once it is fetched, as one thing to the fetcher."""

from dataclasses import dataclass

from velox.consumer.downloads import Downloads
from velox.consumer.exactly_once import ExactlyOnce
from velox.consumer.flight import Flight
from velox.consumer.predictor import Predictor
from velox.consumer.writer import Writer
from velox.core.admission import Hold, hold
from velox.errors import VeloxError
from velox.probes import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The parts that take a record from the fetcher to its end, in the order in which it meets them.

    The pipeline connects and starts them; here the fetcher learns what holds them up.
    """

    downloads: Downloads | None = None
    """What reads payloads from a bucket, where there is one."""
    dispatcher: Predictor
    writer: Writer
    exactly_once: ExactlyOnce | None = None
    """What takes the place of the sink ``kafka`` and of the commits, if asked for."""
    flight: Flight
    """What is in one of them."""

    @property
    def downloading(self) -> int:
        """Count the records whose payload is still in the bucket."""
        return self.downloads.in_hand if self.downloads else 0

    @property
    def hold(self) -> Hold | None:
        """Say what forbids to fetch more: too many bad records, or a system that is down."""
        sink = self.writer.blocked_by or (self.exactly_once.blocked_by if self.exactly_once else None)
        return hold(circuit=self.flight.circuit.cause, sink=sink, bucket=self._bucket)

    @property
    def is_blocked(self) -> bool:
        """Say whether what is in flight waits for a system that is down."""
        return self.writer.blocked_by is not None or self._bucket is not None

    @property
    def _bucket(self) -> str | None:
        return self.downloads.blocked_by if self.downloads else None

    @property
    def reports(self) -> dict[str, Report]:
        """What is told over HTTP beside the metrics, by path."""
        return self.dispatcher.reports

    @property
    def finds_objects(self) -> bool:
        """Say whether a record may have a pointer in the place of its payload."""
        return self.downloads is not None or self.dispatcher.reads_objects

    def check(self) -> None:
        """Notice a part that cannot go on.

        Raises:
            VeloxError: it failed for good.
        """
        if self.downloads and self.downloads.failure is not None:
            msg = f"the downloads failed: {self.downloads.failure!r}"
            raise VeloxError(msg) from self.downloads.failure
        if self.dispatcher.failure is not None:
            raise self.dispatcher.failure
        if self.writer.failure is not None:
            msg = f"the writer failed: {self.writer.failure!r}"
            raise VeloxError(msg) from self.writer.failure
