"""Whether a bucket is well: told from objects that are not."""

import logging
import threading
from typing import Final

from velox.buckets.bucket import Bucket
from velox.core.seldom import Seldom
from velox.core.text import readable
from velox.errors import BucketUnavailableError
from velox.metrics.consumer import ConsumerMetrics
from velox.records import Record

log = logging.getLogger(__name__)

_FAILURES_EVERY_S: Final = 5.0
"""One object that cannot be read is logged in this time."""


class BucketHealth:
    """Is told how reads end. Any thread may tell it.

    The bucket is down while it does not open, or when more than ``most`` objects have failed and none has come since.
    """

    def __init__(self, bucket: Bucket, metrics: ConsumerMetrics, *, most: int) -> None:
        """Take it for well until told otherwise."""
        self.is_down = False
        self.name: Final = f"bucket {bucket.name}"
        self._bucket = bucket
        self._metrics = metrics
        self._most = most
        self._lock = threading.Lock()
        self._failing: set[object] = set()
        """Where the records lie whose objects have failed since one has come."""
        self._seldom = Seldom(_FAILURES_EVERY_S)

    def opens(self) -> bool:
        """Open the bucket, and say whether that worked; a failure is an outage."""
        try:
            self._bucket.open()
        except BucketUnavailableError as problem:
            self._went_down(problem)
            return False
        return True

    def failed(self, record: Record, key: str, error: BucketUnavailableError) -> None:
        """Note that an object could not be read now, and find out whether that is the bucket or this object."""
        self._metrics.object_errors.labels("unavailable").inc()
        with self._lock:
            self._failing.add(record.position)
            are_many = len(self._failing) > self._most
        if are_many:
            self._went_down(error)
        elif self.opens() and (count := self._seldom.count("object")):
            more = f" ({count - 1} more such since the last line)" if count > 1 else ""
            log.warning("%s: object %s: %s; trying again%s", self.name, readable(key), error, more)

    def answered(self) -> bool:
        """Note that the bucket has answered; return whether that ends an outage."""
        with self._lock:
            was_down, self.is_down = self.is_down, False
            self._failing.clear()
        if was_down:
            self._metrics.bucket_up.set(1)
            log.info("%s is back", self.name)
        return was_down

    def _went_down(self, error: BucketUnavailableError) -> None:
        with self._lock:
            is_news, self.is_down = not self.is_down, True
        if is_news:
            self._metrics.bucket_up.set(0)
            log.warning("%s: %s; trying again", self.name, error)
