"""Where records get payloads that are kept in a bucket: many at a time, and none waits for a slow one."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Final

from velox.buckets.bucket import Bucket
from velox.consumer.bucket_health import BucketHealth
from velox.consumer.flight import Flight
from velox.consumer.reads import Reads
from velox.consumer.wanted import Wanted, WantedQueue
from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import BadRecordError, BucketUnavailableError, ObjectDeniedError, Reason
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Answered, Record
from velox.settings.readers import DownloadSettings

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
"""A thread that waits for room looks so often whether it should end instead; and so often is looked for what hangs."""
_DENIALS: Final = 3
"""An object that is denied so often, while others come, is one that we may not read."""
_END_S: Final = 2.0
"""A thread that is not reading ends within this time."""


class Downloads:
    """Threads that read objects, ahead of the inference processes. Records that have their payload pass straight on.

    Order is not kept. A record stays in flight until it is done, so what is here at the end, or when its partition
    goes, is not lost: it is read again. One whose partition went meanwhile is still passed on; that it is done counts
    for nothing then, by its epoch.

    A bad pointer or object costs its own record. One that cannot be read now is tried again, with back-off, until it
    can. One that hangs keeps its thread, and the log names it. While the bucket is down, ``blocked_by`` keeps more from
    being fetched; see BucketHealth for what that means.

    ``submit`` may be called by any thread once this is started.
    """

    def __init__(self, settings: DownloadSettings, bucket: Bucket, flight: Flight, metrics: ConsumerMetrics) -> None:
        self._onward: Callable[[Sequence[Record]], None]
        self._failed: Callable[[list[Answered]], None]
        self.failure: Exception | None = None
        """Why no more can be read, once that is so: a defect, not an outage."""
        self._settings = settings
        self._is_newest_only = settings.is_newest_only
        self._bucket = bucket
        self._health = BucketHealth(bucket, metrics, most=settings.downloads, late_after_s=settings.object_timeout_s)
        self._flight = flight
        self._metrics = metrics
        self._queue = WantedQueue()
        self._reads = Reads(most=settings.downloads, late_after_s=settings.object_timeout_s)
        self._is_open = False
        self._came_at = -inf
        """When an object came the last time, in monotonic seconds."""
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(target,), name=name, daemon=True)
            for name, target in (
                ("bucket", self._watch),
                *((f"download-{number}", self._read) for number in range(settings.downloads)),
            )
        ]

    @property
    def in_hand(self) -> int:
        """Count the records whose payload is not here yet."""
        return self._queue.in_hand

    @property
    def blocked_by(self) -> str | None:
        """Name the bucket while it is not open, is down, or gives nothing to any thread; None while all is well."""
        is_well = self._is_open and not self._health.is_down and not self._reads.all_hang
        return None if is_well else self._health.name

    def start(self, *, onward: Callable[[Sequence[Record]], None], failed: Callable[[list[Answered]], None]) -> None:
        """Open the bucket and begin to read.

        Args:
            onward: takes records that have their payload; called by any of the threads here, and by ``submit``.
            failed: takes records that cannot get one, and why; called by any of the threads here.
        """
        self._onward, self._failed = onward, failed
        self._metrics.bucket_up.set(0)
        for thread in self._threads:
            thread.start()

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks. How many may be in flight, the fetcher decides."""
        if whole := [record for record in records if record.pointer is None]:
            self._onward(whole)
        self._queue.add([record for record in records if record.pointer is not None])

    def close(self, deadline: Deadline) -> bool:
        """Read no more; False when a read did not end in time."""
        self._closing.set()
        self._queue.close()
        until = Deadline(max(_END_S, deadline.left_s()))
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(until.left_s())
        if any(thread.is_alive() for thread in self._threads):
            return False
        self._bucket.close()
        return True

    def _run(self, target: Callable[[], None]) -> None:
        try:
            target()
        except Exception as error:
            self.failure = error
            log.exception("The downloads failed")

    def _watch(self) -> None:
        """Open the bucket, then tell of what hangs, until the end."""
        self._open()
        while not self._closing.wait(_LOOK_S):
            for key in self._reads.newly_late():
                self._health.hangs_at(key)
            self._health.hangs(self._reads.all_hang)

    def _open(self) -> None:
        waits = backoff_s()
        while not self._health.opens():
            if self._closing.wait(next(waits)):
                return
        self._metrics.bucket_up.set(1)
        log.info("Bucket %s open, %d downloads at a time", self._bucket.name, self._settings.downloads)
        self._health.answered()
        self._is_open = True
        self._queue.start()

    def _read(self) -> None:
        while (wanted := self._queue.take()) is not None and self._has_room():
            self._step(wanted)

    def _has_room(self) -> bool:
        """Wait until there is memory for one more payload; False at the end."""
        while not self._flight.wait_for_room(_LOOK_S):
            if self._closing.is_set():
                return False
        return True

    def _step(self, wanted: Wanted) -> None:
        with self._reads.of(wanted.pointer.key) as began:
            self._read_one(wanted, began)

    def _read_one(self, wanted: Wanted, began: float) -> None:
        try:
            with self._metrics.objects_in_progress.track_inprogress():
                payload = self._bucket.get(wanted.pointer, most_bytes=self._settings.max_object_bytes)
        except BucketUnavailableError as error:
            if isinstance(error, ObjectDeniedError) and self._is_ours_to_lose(wanted):
                self._metrics.object_errors.labels(Reason.FORBIDDEN_POINTER.value).inc()
                self._lose(wanted.record, BadRecordError(Reason.FORBIDDEN_POINTER, str(error)))
                return
            self._health.failed(wanted.record, wanted.pointer.key, error)
            self._queue.again(wanted)
        except BadRecordError as error:
            self._metrics.object_errors.labels(error.reason.value).inc()
            # A forbidden pointer is refused before the bucket is asked, unless it has been tried before.
            if error.reason is not Reason.FORBIDDEN_POINTER or wanted.waits:
                self._note_answer()
            self._refused(wanted, error)
        else:
            self._metrics.stages["download", ""].observe(monotonic() - began)
            self._metrics.object_bytes.inc(len(payload))
            self._came_at = monotonic()
            self._note_answer()
            self._pass_on(wanted.record, payload)

    def _is_ours_to_lose(self, wanted: Wanted) -> bool:
        """Note a denial; say whether it is about this object: it was denied often, and others have come since."""
        wanted.denials += 1
        if wanted.denials == 1:
            wanted.denied_at = monotonic()
        return wanted.denials >= _DENIALS and self._came_at > wanted.denied_at

    def _note_answer(self) -> None:
        if self._health.answered():
            self._queue.hurry()  # nobody waits longer than the outage lasted

    def _refused(self, wanted: Wanted, error: BadRecordError) -> None:
        """Try again what may be a race with whoever writes the object; give up on all else."""
        left_s = wanted.since + self._settings.object_retry_s - monotonic()
        if error.reason is Reason.OBJECT_MISSING and left_s > 0:
            self._queue.again(wanted, most_s=left_s)
        elif error.reason is Reason.CHECKSUM_MISMATCH and not wanted.was_different:
            wanted.was_different = True
            self._queue.again(wanted, most_s=0)
        else:
            self._lose(wanted.record, error)

    def _pass_on(self, record: Record, payload: bytes) -> None:
        if not payload:
            self._lose(record, BadRecordError(Reason.EMPTY, "the object is empty"))
            return
        whole = replace(record, payload=payload, size_bytes=record.size_bytes + len(payload))
        self._flight.downloaded(whole)
        self._queue.let_go()
        self._onward([whole])

    def _lose(self, record: Record, error: BadRecordError) -> None:
        if error.reason is Reason.OBJECT_MISSING and self._is_newest_only:
            error = BadRecordError(Reason.OBJECT_GONE, error.detail)
        self._queue.let_go()
        self._failed([Answered(record, error)])
