"""Where records get payloads that are kept in a bucket: many at a time, and none waits for a slow one."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush
from math import inf
from time import monotonic
from typing import Final

from velox.buckets.bucket import Bucket
from velox.consumer.flight import Flight
from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import BadRecordError, BucketUnavailableError, Reason
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Pointer, Record
from velox.settings.buckets import BucketSettings

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
"""A thread that waits for room looks so often whether it should end instead."""
_END_S: Final = 2.0
"""A thread that is not reading ends within this time."""


@dataclass(order=True, slots=True)
class _Wanted:
    """A record whose payload is wanted, not before a time."""

    due: float
    record: Record = field(compare=False)
    pointer: Pointer = field(compare=False)
    since: float = field(compare=False)
    waits: Iterator[float] | None = field(compare=False, default=None)
    """Begun with the first failure: most records have none."""
    was_different: bool = field(compare=False, default=False)
    """Whether it has been read already, and was not what its pointer says."""


class Downloads:
    """Threads that read objects, ahead of the inference processes. Records that have their payload pass straight on.

    Order is not kept. A record stays in flight until it is done, so what is here at the end, or when its partition
    goes, is lost to nobody: it is read again. One whose partition went meanwhile is still passed on; that it is done
    counts for nothing then, by its epoch.

    A bad pointer or object costs its own record. A bucket that fails is tried again for each record, with back-off,
    until it gives the object; meanwhile ``blocked_by`` keeps more from being fetched.

    ``submit`` may be called by any thread; ``onward`` and ``failed`` are called by any of the threads here.
    """

    def __init__(
        self,
        settings: BucketSettings,
        bucket: Bucket,
        flight: Flight,
        metrics: ConsumerMetrics,
        *,
        onward: Callable[[Sequence[Record]], None],
        failed: Callable[[list[Answered]], None],
    ) -> None:
        self.failure: Exception | None = None
        """Why no more can be read, once that is so: a defect, not an outage."""
        self._settings = settings
        self._bucket = bucket
        self._name = f"bucket {bucket.name}"
        self._flight = flight
        self._metrics = metrics
        self._onward = onward
        self._failed = failed
        self._changed = threading.Condition()
        self._waiting: deque[_Wanted] = deque()
        self._later: list[_Wanted] = []
        """A heap: what is to be tried again, the first one due first."""
        self._in_hand = 0
        self._reading: dict[int, float] = {}
        """By thread, since when."""
        self._is_open = False
        self._is_down = False
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
            for name, target in (
                ("bucket", self._open),
                *((f"download-{number}", self._read) for number in range(settings.downloads)),
            )
        ]

    @property
    def in_hand(self) -> int:
        """Count the records whose payload is not here yet."""
        return self._in_hand

    @property
    def blocked_by(self) -> str | None:
        """Name the bucket while it fails, or nothing comes from it; None while all is well."""
        if not self._is_open or self._is_down:
            return self._name
        begun = list(self._reading.values())
        hangs = len(begun) == self._settings.downloads and max(begun) < monotonic() - self._settings.object_timeout_s
        return self._name if hangs else None

    def start(self) -> None:
        """Open the bucket and begin to read."""
        self._metrics.bucket_up.set(0)
        for thread in self._threads:
            thread.start()

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks. How many may be in flight, the fetcher decides."""
        now = monotonic()
        if whole := [record for record in records if record.pointer is None]:
            self._onward(whole)
        wanted = [_Wanted(now, record, record.pointer, now) for record in records if record.pointer is not None]
        with self._changed:
            self._in_hand += len(wanted)
            self._waiting.extend(wanted)
            self._changed.notify(len(wanted))

    def close(self, deadline: Deadline) -> bool:
        """Read no more; False when a read did not end in time."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        until = Deadline(max(_END_S, deadline.left_s()))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(until.left_s())
        if any(thread.is_alive() for thread in self._threads):
            return False
        self._bucket.close()
        return True

    def _open(self) -> None:
        for wait_s in backoff_s():
            try:
                self._bucket.open()
            except BucketUnavailableError as error:
                self._went_down(error)
                if self._closing.wait(wait_s):
                    return
            else:
                break
        with self._changed:
            self._is_open = True
            self._changed.notify_all()
        log.info("Bucket %s open, %d downloads at a time", self._bucket.name, self._settings.downloads)
        self._metrics.bucket_up.set(1)
        self._is_back()

    def _read(self) -> None:
        while (wanted := self._next()) is not None and self._has_room():
            self._step(wanted)

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:
            self.failure = error
            log.exception("The downloads failed")

    def _next(self) -> _Wanted | None:
        """Wait for a record that is due: those that were tried before come first. None at the end."""
        with self._changed:
            while not self._closing.is_set():
                left_s = self._later[0].due - monotonic() if self._is_open and self._later else None
                if left_s is not None and left_s <= 0:
                    return heappop(self._later)
                if self._is_open and self._waiting:
                    return self._waiting.popleft()
                self._changed.wait(left_s)
        return None

    def _has_room(self) -> bool:
        """Wait until there is memory for one more payload; False at the end."""
        while not self._flight.wait_for_room(_LOOK_S):
            if self._closing.is_set():
                return False
        return True

    def _step(self, wanted: _Wanted) -> None:
        began = monotonic()
        self._reading[threading.get_ident()] = began
        try:
            with self._metrics.objects_in_progress.track_inprogress():
                payload = self._bucket.get(wanted.pointer, most_bytes=self._settings.max_object_bytes)
        except BucketUnavailableError as error:
            self._metrics.object_errors.labels("unavailable").inc()
            self._went_down(error)
            self._try_again(wanted)
        except BadRecordError as error:
            self._metrics.object_errors.labels(error.reason.value).inc()
            if error.reason is not Reason.FORBIDDEN_POINTER:  # for which the bucket may not have been asked
                self._is_back()
            self._refused(wanted, error)
        else:
            self._metrics.stage.labels("download").observe(monotonic() - began)
            self._metrics.object_bytes.inc(len(payload))
            self._is_back()
            self._pass_on(wanted.record, payload)
        finally:
            del self._reading[threading.get_ident()]

    def _refused(self, wanted: _Wanted, error: BadRecordError) -> None:
        """Try again what may be a race with whoever writes the object; give up on all else."""
        left_s = wanted.since + self._settings.object_retry_s - monotonic()
        if error.reason is Reason.OBJECT_MISSING and left_s > 0:
            self._try_again(wanted, most_s=left_s)
        elif error.reason is Reason.CHECKSUM_MISMATCH and not wanted.was_different:
            wanted.was_different = True
            self._try_again(wanted, most_s=0)
        else:
            self._lose(wanted.record, error)

    def _try_again(self, wanted: _Wanted, *, most_s: float = inf) -> None:
        wanted.waits = wanted.waits or backoff_s()
        wanted.due = monotonic() + min(most_s, next(wanted.waits))
        with self._changed:
            heappush(self._later, wanted)
            self._changed.notify()

    def _pass_on(self, record: Record, payload: bytes) -> None:
        if not payload:
            self._lose(record, BadRecordError(Reason.EMPTY, "the object is empty"))
            return
        whole = replace(record, payload=payload, size_bytes=record.size_bytes + len(payload))
        self._flight.downloaded(whole)
        with self._changed:
            self._in_hand -= 1
        self._onward([whole])

    def _lose(self, record: Record, error: BadRecordError) -> None:
        with self._changed:
            self._in_hand -= 1
        self._failed([Answered(record, error)])

    def _went_down(self, error: BucketUnavailableError) -> None:
        with self._changed:
            is_news, self._is_down = not self._is_down, True
        if is_news:
            self._metrics.bucket_up.set(0)
            log.warning("%s: %s; trying again", self._name, error)

    def _is_back(self) -> None:
        with self._changed:
            was_down, self._is_down = self._is_down, False
            if was_down:  # nobody waits longer than the outage lasted
                now = monotonic()
                for wanted in self._later:
                    wanted.due = min(wanted.due, now)
                heapify(self._later)
                self._changed.notify_all()
        if was_down:
            self._metrics.bucket_up.set(1)
            log.info("%s is back", self._name)
