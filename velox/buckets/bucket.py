"""The Bucket contract: objects under keys."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from velox.records import Pointer


class Bucket(Protocol):
    """Objects under keys, in one bucket. Any thread may use it, several at a time; all calls block."""

    name: str
    """As pointers, logs and probes name it."""

    def open(self) -> None:
        """Prove that the bucket is there. May be called again after it failed.

        Raises:
            BucketUnavailableError: not now.
        """

    def get(self, pointer: Pointer, *, most_bytes: int) -> bytes:
        """Read an object whole, and compare it with the size and checksum that its pointer gives.

        An object that is replaced meanwhile comes whole, as it was or as it is. An empty one is empty bytes.

        Raises:
            BadRecordError: ``OBJECT_MISSING``; ``TOO_LARGE``, before or while it is read; ``CHECKSUM_MISMATCH``, also
                of the size; ``FORBIDDEN_POINTER``, if it is in another bucket, not in what may be read, or unreadable
                to us: then nothing was asked for.
            BucketUnavailableError: not now.
        """

    def put(self, key: str, payload: bytes) -> Pointer:
        """Write an object, in the place of one that may be there; answer where it is, with size and checksum.

        Raises:
            BadRecordError: ``FORBIDDEN_POINTER``, if no object can have this key.
            BucketUnavailableError: not now; the object may have been written all the same.
        """

    def list(self, prefix: str = "") -> Iterator[Pointer]:
        """Yield the objects under a prefix of whole path segments, in no order, with their sizes.

        Raises:
            BucketUnavailableError: not now.
        """

    def link(self, key: str, *, for_s: float) -> str:
        """Answer a URL under which the object can be read for so long; a folder's and memory's have no end.

        Whether the object exists is not looked at.
        """

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error.

        Raises:
            BucketUnavailableError: not now; some may have been removed.
        """

    def close(self) -> None:
        """Let go of everything. Safe to call twice, and without ``open``."""
