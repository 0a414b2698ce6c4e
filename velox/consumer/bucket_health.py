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
"""One object that cannot be read, and one that hangs, is logged in this time."""


class BucketHealth:
    """Is told how reads end, and which do not. Any thread may tell it.

    The bucket is down while it does not open, when more than ``most`` objects have failed and none has come since, and
    while ``most`` reads have each been under way for longer than ``late_after_s``.
    """

    def __init__(self, bucket: Bucket, metrics: ConsumerMetrics, *, most: int, late_after_s: float) -> None:
        """Take it for well until told otherwise."""
        self._fails = self._hangs = False
        self.name: Final = f"bucket {bucket.name}"
        self._bucket = bucket
        self._metrics = metrics
        self._most = most
        self._late_after_s = late_after_s
        self._lock = threading.Lock()
        self._failing: set[object] = set()
        """Where the records lie whose objects have failed since one has come."""
        self._seldom = Seldom(_FAILURES_EVERY_S)

    @property
    def is_down(self) -> bool:
        """Say whether nothing can be expected of it now."""
        return self._fails or self._hangs

    def opens(self) -> bool:
        """Open the bucket, and say whether that worked; a failure is an outage."""
        try:
            self._bucket.open()
        except BucketUnavailableError as problem:
            self._change(fails=True, why=f"{problem}; trying again")
            return False
        return True

    def failed(self, record: Record, key: str, error: BucketUnavailableError) -> None:
        """Note that an object could not be read now, and find out whether that is the bucket or this object."""
        self._metrics.object_errors.labels("unavailable").inc()
        with self._lock:
            self._failing.add(record.position)
            are_many = len(self._failing) > self._most
        if are_many:
            self._change(fails=True, why=f"{error}; trying again")
        elif self.opens() and (count := self._seldom.count("object")):
            log.warning("%s: object %s: %s; trying again%s", self.name, readable(key), error, _more(count))

    def hangs_at(self, key: str) -> None:
        """Note that an object has been read for longer than it may take; it goes on being read."""
        if count := self._seldom.count("late"):
            what = f"has not come within OBJECT_TIMEOUT_S={self._late_after_s:g}; still waiting for it"
            log.warning("%s: object %s %s%s", self.name, readable(key), what, _more(count))

    def hangs(self, all_hang: bool) -> None:
        """Note whether all reads that may be under way hang."""
        self._change(
            hangs=all_hang,
            why=f"no object has come for {self._late_after_s:g} s, every read hangs (DOWNLOADS={self._most}); waiting",
        )

    def answered(self) -> bool:
        """Note that the bucket has answered; return whether that ends an outage."""
        with self._lock:
            self._failing.clear()
        return self._change(fails=False, hangs=False)

    def _change(self, *, fails: bool | None = None, hangs: bool | None = None, why: str = "") -> bool:
        """Take in what is known now, and tell if that begins an outage or ends one; return whether it ends one."""
        with self._lock:
            was_down = self.is_down
            self._fails = self._fails if fails is None else fails
            self._hangs = self._hangs if hangs is None else hangs
            is_down = self.is_down
            if is_down != was_down:
                self._metrics.bucket_up.set(int(not is_down))
        if is_down and not was_down:
            log.warning("%s: %s", self.name, why)
        elif was_down and not is_down:
            log.info("%s is back", self.name)
        return was_down and not is_down


def _more(count: int) -> str:
    return f" ({count - 1} more such since the last line)" if count > 1 else ""
