"""Where a bucket is: what differs between a folder, memory and S3."""

from typing import Protocol, TypeAlias

from obstore.store import LocalStore, MemoryStore, S3Store

from velox.errors import VeloxError

Client: TypeAlias = LocalStore | MemoryStore | S3Store


class Place(Protocol):
    """Connects to one bucket, and knows what its errors mean."""

    is_silent: bool
    """Whether a bucket that is gone looks like an empty one, and is made anew by who writes to it."""

    def connect(self) -> Client:
        """Make the client; that the bucket is there need not be proved.

        Raises:
            BucketUnavailableError: not now. Errors of the library mean the same.
        """

    def problem(self, client: Client) -> str | None:
        """Say why the bucket as a whole cannot be read now, None when it can."""

    def judge(self, key: str, error: Exception, *, writing: bool) -> VeloxError:
        """Say what an error of the library means: is it the object, or the bucket as a whole?

        Returns:
            ``BadRecordError`` if waiting will not help, else ``BucketUnavailableError``.
        """

    def link(self, client: Client, key: str, *, for_s: float) -> str:
        """Answer a URL under which an object can be read for so long."""
