"""Claim checks: payloads too large for a topic go into the bucket, and records say where they are."""

import logging
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import Final

from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import BadRecordError, BucketUnavailableError, Reason
from velox.records import Pointer
from velox.settings import ObjectSettings

log = logging.getLogger(__name__)

_FRESH_S: Final = 3600.0
"""The same payload is not sent again for this long; later it is, so that a rule that removes old objects spares it."""
_REMEMBERED: Final = 1000
"""Payloads of which that is remembered."""


class Claims:
    """Puts payloads over CLAIM_OVER_BYTES into the bucket, DOWNLOADS at a time. One thread uses it.

    The key is made of the payload's SHA-256, so the same payload is one object however often it is sent, also after
    a crash. It is written even if it may be there: the bucket counts its age from then on.
    """

    def __init__(self, settings: ObjectSettings, store: Bucket) -> None:
        """Keep what is needed; the bucket is opened when the first payload comes."""
        self.at_once = settings.downloads
        """Payloads that are under way together; whoever begins more holds more of them in memory."""
        self._over_bytes = settings.claim_over_bytes
        self._most_bytes = settings.max_object_bytes
        self._prefix = settings.claims_prefix
        self._bucket = store
        self._lock = threading.Lock()
        self._is_open = False
        self._is_down = False
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(settings.downloads, thread_name_prefix="claims")
        self._sent: OrderedDict[str, tuple[Future[Pointer | None], Deadline]] = OrderedDict()

    def takes(self, payload: bytes) -> bool:
        """Say whether a payload belongs into the bucket."""
        return len(payload) > self._over_bytes

    def begin(self, payload: bytes) -> Future[Pointer | None]:
        """Begin to put a payload into the bucket; while that fails, it is tried again.

        Returns:
            Where it is, once it is there; None when ``close`` ended the tries.

        Raises:
            BadRecordError: it is larger than MAX_OBJECT_BYTES: no consumer would read it.
        """
        if len(payload) > self._most_bytes:
            detail = f"a payload of {len(payload)} bytes, more than MAX_OBJECT_BYTES={self._most_bytes}"
            raise BadRecordError(Reason.TOO_LARGE, detail)
        digest = sha256(payload).hexdigest()
        known = self._sent.get(digest)
        if known and not known[1].has_passed():
            return known[0]
        begun = self._threads.submit(self._put, f"{self._prefix}/{digest[:2]}/{digest}", payload)
        self._sent[digest] = begun, Deadline(_FRESH_S)
        self._sent.move_to_end(digest)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        return begun

    def close(self) -> None:
        """End the tries, and let go of the bucket. Safe to call twice."""
        self._closing.set()
        self._threads.shutdown(cancel_futures=True)
        self._bucket.close()

    def _put(self, key: str, payload: bytes) -> Pointer | None:
        for wait_s in backoff_s():
            try:
                self._open()
                pointer = self._bucket.put(key, payload)
            except (BucketUnavailableError, BadRecordError) as error:
                self._failed(error)
                if self._closing.wait(wait_s):
                    return None
            else:
                self._worked()
                return pointer
        return None

    def _open(self) -> None:
        with self._lock:
            if not self._is_open:
                self._bucket.open()
                self._is_open = True

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._is_open = False  # credentials may be others when it is opened again
            was_down, self._is_down = self._is_down, True
        if not was_down:
            log.warning("bucket %s: %s; producing waits until it takes payloads", self._bucket.name, error)

    def _worked(self) -> None:
        with self._lock:
            was_down, self._is_down = self._is_down, False
        if was_down:
            log.info("bucket %s is back", self._bucket.name)


def claims(settings: ObjectSettings) -> Claims | None:
    """Make what takes large payloads; None where all travel in their records.

    Raises:
        SettingsError: what writes buckets is not installed.
    """
    made = bucket(settings) if settings.has_claims else None
    return Claims(settings, made) if made else None
