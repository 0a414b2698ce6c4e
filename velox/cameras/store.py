"""The frames in the bucket: written, and deleted again by age, and by how much room they take."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from time import time
from typing import Final

from velox.buckets.bucket import Bucket
from velox.core.cameras import path_of, taken_at
from velox.errors import BadRecordError, BucketUnavailableError
from velox.records import Pointer

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
_AT_ONCE: Final = 500
"""Files deleted before the next look whether to end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes; 0 = no limit."""

    max_age_s: float
    max_bytes: int


class FrameStore:
    """Writes frames; a thread deletes the oldest of these cameras, what an earlier process has left too."""

    def __init__(self, bucket: Bucket, limits: Limits, *, clock: Callable[[], float] = time) -> None:
        """Touch nothing yet."""
        self.name = bucket.name
        self._bucket = bucket
        self._limits = limits
        self._clock = clock
        self._frames: deque[tuple[float, str, int]] = deque()
        self._lock = threading.Lock()
        self._bytes = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the frames that are there."""
        return self._bytes

    def open(self) -> None:
        """Prove that the bucket is there. May be called again after it failed.

        Raises:
            BucketUnavailableError: not now.
        """
        self._bucket.open()

    def start(self, is_ours: Callable[[str], bool]) -> None:
        """Begin to delete; ``is_ours`` says of a camera's id whether its frames are for us to delete."""
        self._is_ours = is_ours
        self._thread.start()

    def put(self, camera: str, at: float, jpeg: bytes) -> Pointer:
        """Write a frame that was taken ``at`` Unix seconds; any thread may call this.

        Raises:
            BucketUnavailableError: not now.
            BadRecordError: no object can have this camera's name in its key.
        """
        pointer = self._bucket.put(path_of(camera, at), jpeg)
        with self._lock:
            self._frames.append((at, pointer.key, len(jpeg)))
            self._bytes += len(jpeg)
        return pointer

    def close(self) -> None:
        """End the thread and let go of the bucket; what is not deleted, the next process will."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(_LOOK_S)
        self._bucket.close()

    def step(self) -> int:
        """Delete what is due, oldest first; answer how many frames that were.

        Raises:
            BucketUnavailableError: not now; nothing is forgotten.
        """
        due = self._due()
        if due:
            self._bucket.delete([key for _, key, _ in due])
            with self._lock:
                for _, _, size in due:
                    self._frames.popleft()
                    self._bytes -= size
        return len(due)

    def _due(self) -> list[tuple[float, str, int]]:
        limits, now = self._limits, self._clock()
        due: list[tuple[float, str, int]] = []
        with self._lock:
            left = self._bytes
            for frame in islice(self._frames, _AT_ONCE):
                at, _, size = frame
                is_old = limits.max_age_s > 0 and now - at > limits.max_age_s
                if not is_old and not (limits.max_bytes and left > limits.max_bytes):
                    break
                due.append(frame)
                left -= size
        return due

    def _run(self) -> None:
        found = False
        while not self._ending.wait(_LOOK_S):
            try:
                if not found:
                    self._find()
                    found = True
                while self.step() == _AT_ONCE and not self._ending.is_set():
                    pass
            except (BucketUnavailableError, BadRecordError) as error:
                log.debug("Frames are not deleted now: %s", error)

    def _find(self) -> None:
        """Take over what is in the bucket from before."""
        there = []
        known = {key for _, key, _ in tuple(self._frames)}
        for pointer in self._bucket.list("frames"):
            at, parts = taken_at(pointer.key), pointer.key.split("/")
            if at is not None and len(parts) == 3 and self._is_ours(parts[1]) and pointer.key not in known:  # noqa: PLR2004 - frames, camera, frame
                there.append((at, pointer.key, pointer.size_bytes or 0))
        with self._lock:
            self._frames.extendleft(sorted(there, reverse=True))
            self._bytes += sum(size for _, _, size in there)
        if there:
            log.info("%d frames from before in the bucket: they are deleted as they become old", len(there))
