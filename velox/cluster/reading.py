"""How deployments read frames: many at once, from the bucket of BUCKET_URL."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat
from typing import Final, cast

from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.cluster.frames import Frame
from velox.core.envelope import Codec
from velox.errors import BadRecordError, BucketUnavailableError, Reason
from velox.settings import ObjectSettings

DEFAULT_BUCKET: Final = "file:///dev/shm/velox-frames"
"""Where frames are if BUCKET_URL does not say: in memory, shared by all processes of a machine."""
_THREADS: Final = 16


def with_bucket(settings: ObjectSettings) -> ObjectSettings:
    """Complete the settings of a bucket, so that there is one whatever the codec."""
    return settings.model_copy(update={"codec": Codec.KEY, "bucket_url": settings.bucket_url or DEFAULT_BUCKET})


class FrameReader:
    """Reads the payloads of frames that have none; the bucket is opened when the first is asked for."""

    def __init__(self, settings: ObjectSettings, store: Bucket | None = None) -> None:
        """Read from the bucket of the settings, or from another."""
        self._most_bytes = settings.max_object_bytes
        # A folder answers at once; whoever reads over a network waits most of the time, and may do so for many at once.
        self._threads = min(_THREADS, settings.downloads) if settings.is_s3 else 1
        self._bucket = store or cast("Bucket", bucket(with_bucket(settings)))
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="frames")

    def read(self, frames: Sequence[Frame], not_before: float = -math.inf) -> list[bytes | BadRecordError]:
        """Answer each frame's bytes, or why there are none, in the order given; one taken ``not_before`` is stale.

        Raises:
            BucketUnavailableError: the bucket as a whole cannot be read now.
        """
        if self._threads == 1:
            return [self._one(frame, not_before) for frame in frames]
        return list(self._pool.map(self._one, frames, repeat(not_before)))

    def _one(self, frame: Frame, not_before: float) -> bytes | BadRecordError:
        if frame.produced_at < not_before:
            return BadRecordError(Reason.STALE, "it grew too old on Ray (STALE_AFTER_MS)")
        if frame.pointer is None:
            return frame.payload
        try:
            try:
                payload = self._bucket.get(frame.pointer, most_bytes=self._most_bytes)
            except BucketUnavailableError:
                self._bucket.open()
                payload = self._bucket.get(frame.pointer, most_bytes=self._most_bytes)
        except BadRecordError as error:
            return error
        return payload or BadRecordError(Reason.EMPTY, f"{frame.pointer.key} is empty")

    def close(self) -> None:
        """Let go of the bucket."""
        self._pool.shutdown(wait=False)
        with suppress(BucketUnavailableError):
            self._bucket.close()
