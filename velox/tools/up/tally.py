"""The counts of one run, and whether they add up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from velox.kafka.lag import Extent
from velox.records import Partition
from velox.tools.up.scraping import Scrape


@dataclass(slots=True)
class Lives:
    """Adds up what the consumer counted over all its lives: a process that is started again counts from zero.

    What a killed consumer counted after its last scrape is missing, and what it predicted but had not committed is
    counted twice. The stored results are exact; this is for showing what goes on.
    """

    _ended: Scrape = field(default_factory=Scrape)
    _now: Scrape = field(default_factory=Scrape)

    def saw(self, scrape: Scrape) -> None:
        """Take the newest scrape in."""
        self._now = scrape

    def ended(self) -> None:
        """Note that the consumer's process is gone: keep what it counted."""
        self._ended = self.total
        self._now = Scrape()

    @property
    def total(self) -> Scrape:
        """The sums; the histogram's too."""
        a, b = self._ended, self._now
        bounds = a.end_to_end.keys() | b.end_to_end.keys()
        return Scrape(
            predicted=a.predicted + b.predicted,
            dead_lettered=a.dead_lettered + b.dead_lettered,
            dropped=a.dropped + b.dropped,
            detections=a.detections + b.detections,
            end_to_end={bound: a.end_to_end.get(bound, 0) + b.end_to_end.get(bound, 0) for bound in bounds},
        )


def unread(extents: Mapping[Partition, Extent], committed: Mapping[Partition, int]) -> int:
    """Count the records that are not done yet."""
    return sum(max(0, extent.high - committed.get(p, 0)) for p, extent in extents.items())


def lost(extents: Mapping[Partition, Extent], committed: Mapping[Partition, int]) -> int:
    """Count the records that the broker dropped before they were done. Anything but 0 is a defect."""
    return sum(max(0, extent.low - committed.get(p, 0)) for p, extent in extents.items())


@dataclass(frozen=True, slots=True)
class Balance:
    """The final account. Every number comes from where the thing itself is: broker, database, disk."""

    produced: int
    """Records the broker acknowledged."""
    predicted: int
    """Results stored, each record once."""
    dead_letters: int
    """Records on the dead-letter topic, each once."""
    dropped: int
    """Records that need no prediction, as the consumer counted them."""
    unread: int
    """Records that the consumer has not committed."""
    lost: int
    """Records that the broker dropped unread."""
    detections: int
    images: int | None
    """Detections whose image is on disk; None when that is not to be expected."""

    @property
    def parts(self) -> str:
        """Say what became of the records."""
        dropped = f" + dropped {self.dropped}" if self.dropped else ""
        return f"predicted {self.predicted} + dead letters {self.dead_letters}{dropped}"

    def problems(self) -> list[str]:
        """Name everything that does not add up."""
        found = []
        if self.lost:
            found.append(f"{self.lost} records LOST: the embedded broker dropped them before they were read")
        if self.unread:
            found.append(f"{self.unread} records not read to the end")
        if self.produced != self.predicted + self.dead_letters + self.dropped:
            found.append(f"produced {self.produced} is not {self.parts}")
        if self.images is not None and self.images != self.detections:
            found.append(f"{self.detections} detections, but {self.images} of their images on disk")
        return found
