"""Claim checks: payloads too large for a topic go into the bucket, and records say where they are."""

import logging
from collections import OrderedDict
from collections.abc import Callable
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
    """Puts payloads over CLAIM_OVER_BYTES into the bucket. Not thread-safe.

    The key is made of the payload's SHA-256, so the same payload is one object however often it is sent, also after
    a crash. It is written even if it may be there: the bucket counts its age from then on.
    """

    def __init__(self, settings: ObjectSettings, store: Bucket) -> None:
        """Keep what is needed; the bucket is opened when the first payload comes."""
        self._over_bytes = settings.claim_over_bytes
        self._most_bytes = settings.max_object_bytes
        self._prefix = settings.claims_prefix
        self._bucket = store
        self._is_open = False
        self._sent: OrderedDict[str, tuple[Pointer, Deadline]] = OrderedDict()

    def takes(self, payload: bytes) -> bool:
        """Say whether a payload belongs into the bucket."""
        return len(payload) > self._over_bytes

    def deposit(self, payload: bytes, *, wait: Callable[[float], bool]) -> Pointer | None:
        """Put a payload into the bucket; while that fails, wait and try again.

        Args:
            payload: what the record would have carried.
            wait: lets so many seconds pass; false when it is time to stop.

        Returns:
            Where it is; None when ``wait`` ended the tries.

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
        pointer = self._put(f"{self._prefix}/{digest[:2]}/{digest}", payload, wait)
        if pointer:
            self._sent[digest] = pointer, Deadline(_FRESH_S)
            if len(self._sent) > _REMEMBERED:
                self._sent.popitem(last=False)
        return pointer

    def close(self) -> None:
        """Let go of the bucket. Safe to call twice."""
        self._is_open = False
        self._bucket.close()

    def _put(self, key: str, payload: bytes, wait: Callable[[float], bool]) -> Pointer | None:
        waits = backoff_s()
        is_failing = False
        while True:
            try:
                if not self._is_open:
                    self._bucket.open()
                    self._is_open = True
                pointer = self._bucket.put(key, payload)
            except (BucketUnavailableError, BadRecordError) as error:
                self._is_open = False
                if not is_failing:
                    log.warning("bucket %s: %s; nothing is produced until it takes payloads", self._bucket.name, error)
                is_failing = True
                if not wait(next(waits)):
                    return None
            else:
                if is_failing:
                    log.info("bucket %s is back", self._bucket.name)
                return pointer


def claims(settings: ObjectSettings) -> Claims | None:
    """Make what takes large payloads; None where all travel in their records.

    Raises:
        SettingsError: what writes buckets is not installed.
    """
    made = bucket(settings) if settings.has_claims else None
    return Claims(settings, made) if made else None
