"""Partitions that stand still: why, and how to get past what cannot be read."""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient

from velox.core.seldom import Seldom
from velox.core.standstill import Standstill
from velox.errors import SystemUnavailableError
from velox.kafka.damage import first_readable
from velox.kafka.ends import EndOffsets
from velox.records import Partition
from velox.settings import Settings

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 30.0
"""Reading goes through all partitions in turn, within seconds."""
_TELL_EVERY_S: Final = 60.0


class Standing:
    """Knows which partitions stand still. One thread, the one that polls Kafka, owns it.

    Two things stop a partition while the broker is well. A producer keeps a transaction open: its records, and all
    behind it, may not be read yet. Or a batch is damaged: what is in it can never be read again, and the driver tries
    the same one for ever; DAMAGED_BATCHES says whether to wait for somebody, or to lose it and go on.
    """

    def __init__(self, settings: Settings, admin: AdminClient) -> None:
        self._settings = settings
        self._skips = settings.damaged_batches == "skip"
        self._standstill = Standstill(_PATIENCE_S)
        self._stable = EndOffsets(admin, IsolationLevel.READ_COMMITTED)
        self._damaged: dict[Partition, int] = {}
        """The offset at which each cannot be read on."""
        self._searching: set[Partition] = set()
        self._found: dict[Partition, tuple[int, int]] = {}
        """From which offset to which nothing can be read."""
        self._seldom = Seldom(_TELL_EVERY_S)

    @property
    def damaged(self) -> Mapping[Partition, int]:
        """The partitions that cannot be read on, and from which offset on."""
        return self._damaged

    def refused(self, partition: Partition, offset: int, why: str) -> None:
        """Note that the driver cannot read what lies at an offset."""
        self._note_damage(partition, offset, why)

    def look(self, positions: Mapping[Partition, int], lag: Mapping[Partition, int], *, is_reading: bool) -> None:
        """Find out which partitions stand still, and why; call it about once a second."""
        for partition in [p for p, offset in self._damaged.items() if positions.get(p, offset) > offset]:
            log.info("%s-%d goes on", *partition)
            del self._damaged[partition]
        standing = self._standstill.look(positions, lag, is_reading=is_reading)
        for partition in standing & self._damaged.keys():
            self._look_for_its_end(partition)
        standing -= self._damaged.keys()
        stable = self._stable.known(standing)
        for partition in standing & stable.keys():
            position, end = positions[partition], positions[partition] + lag[partition]
            if stable[partition] > position:
                self._note_damage(partition, position, f"nothing comes of it, and Kafka holds records up to {end}")
            elif stable[partition] < end and self._seldom.is_due(("transaction", partition)):
                log.warning(
                    "Records of %s-%d from offset %d on wait behind an open transaction of a producer: they are read "
                    "when it ends, at the latest with its time-out (transaction.timeout.ms)",
                    *partition,
                    position,
                )

    def take_found(self) -> dict[Partition, tuple[int, int]]:
        """Answer what is to be skipped now: from which offset to which, per partition."""
        found, self._found = self._found, {}
        # A partition may have gone meanwhile, and come back somewhere else.
        valid = {p: extent for p, extent in found.items() if self._damaged.get(p) == extent[0]}
        self.forget(valid)
        return valid

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop what is known of partitions that are no longer owned."""
        for partition in partitions:
            self._damaged.pop(partition, None)

    def _note_damage(self, partition: Partition, offset: int, why: str) -> None:
        self._damaged[partition] = offset
        self._look_for_its_end(partition)
        if self._seldom.is_due((partition, offset)):
            remedy = (
                "skipping it" if self._skips else "restore it from a replica, or set DAMAGED_BATCHES=skip to lose it"
            )
            log.error("%s-%d stands still at offset %d, a damaged batch: %s; %s", *partition, offset, why, remedy)

    def _look_for_its_end(self, partition: Partition) -> None:
        if self._skips and partition not in self._searching:
            self._searching.add(partition)
            args = (partition, self._damaged[partition])
            threading.Thread(target=self._search, args=args, name="damage", daemon=True).start()

    def _search(self, partition: Partition, offset: int) -> None:
        try:
            end = first_readable(self._settings, partition, offset)
        except SystemUnavailableError as error:
            log.warning("%s-%d: %s; trying again", *partition, error)
        else:
            self._found[partition] = (offset, end)
        finally:
            self._searching.discard(partition)
