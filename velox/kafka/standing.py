"""Partitions that stand still: why, and how to get past what cannot be read."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic
from typing import Final

from confluent_kafka import IsolationLevel
from confluent_kafka.admin import AdminClient

from velox.core.seldom import Seldom
from velox.core.standstill import Standstill
from velox.errors import VeloxError
from velox.kafka.damage import first_readable, is_readable
from velox.kafka.ends import EndOffsets
from velox.records import Partition
from velox.settings import MemberSettings

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 30.0
"""Reading goes through all partitions in turn, mostly within seconds."""
_EXAMINE_EVERY_S: Final = 30.0
_TELL_EVERY_S: Final = 60.0


class Standing:
    """Keeps track of the partitions that stand still. One thread, the one that polls Kafka, owns it.

    Two things stop a partition while the broker is well. A producer keeps a transaction open: its records, and all
    behind it, may not be read yet. Or a batch is damaged: what is in it can never be read again, and the driver tries
    the same one for ever; DAMAGED_BATCHES says whether to wait for somebody, or to lose it and go on.

    That nothing comes of a partition proves nothing: its turn may not have come. A reader of its own then tries, one
    partition after the other; only what it, too, cannot read is damaged, or what the driver says that it cannot read.
    """

    def __init__(self, settings: MemberSettings, admin: AdminClient, *, clock: Callable[[], float] = monotonic) -> None:
        self._settings = settings
        self._skips = settings.damaged_batches == "skip"
        self._clock = clock
        self._standstill = Standstill(_PATIENCE_S, clock=clock)
        is_pattern = settings.subscription.pattern is not None
        self._stable = EndOffsets(admin, IsolationLevel.READ_COMMITTED, may_go=is_pattern)
        self._damaged: dict[Partition, int] = {}
        """The offset at which each cannot be read on."""
        self._examining = False
        self._examined_at: dict[Partition, float] = {}
        self._examined: deque[tuple[Partition, int, int | None]] = deque()
        """What a reader found: the first offset from this one on that can be read; None: another, not looked for."""
        self._extents: dict[Partition, tuple[int, int]] = {}
        self._seldom = Seldom(_TELL_EVERY_S, clock=clock)

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
            self.forget([partition])
        self._note_examined(positions)
        standing = self._standstill.look(positions, lag, is_reading=is_reading)
        stable = self._stable.known(standing - self._damaged.keys())
        readable = {p: positions[p] for p in stable.keys() & standing if stable[p] > positions[p]}
        unmeasured = {p: at for p, at in self._damaged.items() if self._skips and p not in self._extents}
        self._examine(readable | unmeasured)
        self._tell_of_transactions(
            {p: positions[p] for p in stable.keys() & standing if stable[p] <= positions[p] and lag[p] > 0}
        )

    def take_found(self) -> dict[Partition, tuple[int, int]]:
        """Return what is to be skipped now: from which offset to which, per partition."""
        found, self._extents = self._extents, {}
        # A partition may have gone meanwhile, and come back somewhere else.
        valid = {p: extent for p, extent in found.items() if self._skips and self._damaged.get(p) == extent[0]}
        self.forget(valid)
        return valid

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop what is known of partitions that are no longer owned, or go on."""
        for partition in partitions:
            self._damaged.pop(partition, None)
            self._extents.pop(partition, None)

    def _note_damage(self, partition: Partition, offset: int, why: str) -> None:
        self._damaged[partition] = offset
        if self._seldom.is_due((partition, offset)):
            remedy = (
                "skipping it" if self._skips else "restore it from a replica, or set DAMAGED_BATCHES=skip to lose it"
            )
            log.error("%s-%d stands still at offset %d, a damaged batch: %s; %s", *partition, offset, why, remedy)

    def _note_examined(self, positions: Mapping[Partition, int]) -> None:
        while self._examined:
            partition, start, end = self._examined.popleft()
            if start == end:
                log.debug("%s-%d stands still at offset %d and can be read: its turn has not come", *partition, start)
                continue
            if start not in {self._damaged.get(partition), positions.get(partition)}:
                continue  # reading has gone on, or the partition has
            if end is not None:
                self._extents[partition] = (start, end)
                continue
            if partition not in self._damaged:
                self._note_damage(partition, start, "nothing can be read there")
            del self._examined_at[partition]  # how far it reaches can be asked at once

    def _tell_of_transactions(self, waiting: Mapping[Partition, int]) -> None:
        if waiting and self._seldom.is_due("transactions"):
            log.warning(
                "Records wait behind an open transaction of a producer in %s: they are read when it ends, at the "
                "latest with its time-out (transaction.timeout.ms)",
                ", ".join(f"{p.topic}-{p.number} from offset {waiting[p]} on" for p in sorted(waiting)),
            )

    def _examine(self, candidates: Mapping[Partition, int]) -> None:
        """Have a reader try one of them: the one that has not been examined for the longest time."""
        now = self._clock()
        longest = min(candidates, key=lambda p: self._examined_at.get(p, -inf), default=None)
        if longest is None or self._examining or now - self._examined_at.get(longest, -inf) < _EXAMINE_EVERY_S:
            return
        self._examining = True
        self._examined_at[longest] = now
        target = self._measure if longest in self._damaged else self._try
        threading.Thread(
            target=self._ask, args=(target, longest, candidates[longest]), name="damage", daemon=True
        ).start()

    def _try(self, partition: Partition, offset: int) -> int | None:
        return offset if is_readable(self._settings, partition, offset) else None

    def _measure(self, partition: Partition, offset: int) -> int:
        return first_readable(self._settings, partition, offset)

    def _ask(self, reader: Callable[[Partition, int], int | None], partition: Partition, offset: int) -> None:
        try:
            self._examined.append((partition, offset, reader(partition, offset)))
        except VeloxError as error:
            log.warning("Whether %s-%d can be read is not known: %s; asking again", *partition, error)
        finally:
            self._examining = False
