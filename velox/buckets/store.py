"""A bucket by obstore, wherever it is: a folder, memory, or S3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256

from obstore.exceptions import BaseError

from velox.buckets.folder import Folder
from velox.buckets.place import Client, Place
from velox.buckets.s3 import S3
from velox.core.pointers import check, check_key
from velox.core.text import readable
from velox.errors import BadRecordError, BucketUnavailableError, Reason
from velox.records import Pointer
from velox.settings.buckets import BucketSettings


class Store:
    """One bucket by obstore, which releases the interpreter's lock while it reads."""

    def __init__(self, settings: BucketSettings) -> None:
        """Keep what is needed; touch nothing yet."""
        self.name = settings.bucket_name
        self._place: Place = S3(settings) if settings.is_s3 else Folder(settings.bucket_folder, self.name)
        self._allowed = settings.places_allowed
        self._client: Client | None = None

    def open(self) -> None:
        """Prove that the bucket is there; connect anew where it does not answer: credentials may have changed."""
        problem: str | None = "it was not asked yet"
        if self._client is not None:
            problem = self._place.problem(self._client)
        if problem:
            try:
                client = self._place.connect()
            except (BaseError, OSError) as error:
                raise BucketUnavailableError(readable(str(error).partition("\n")[0])) from error
            if problem := self._place.problem(client):
                raise BucketUnavailableError(problem)
            self._client = client

    def get(self, pointer: Pointer, *, most_bytes: int) -> bytes:
        """Read an object whole, and compare it with what its pointer says."""
        check(pointer, bucket=self.name, allowed=self._allowed)
        try:
            return self._read(pointer, most_bytes)
        except BadRecordError as error:
            if error.reason is not Reason.OBJECT_MISSING or not self._place.is_silent:
                raise
        # The folder may have been gone, and have come back before it was looked at.
        return self._read(pointer, most_bytes)

    def put(self, key: str, payload: bytes) -> Pointer:
        """Write an object; nobody reads half of it."""
        check_key(key)
        self._prove()
        with self._translated(key, writing=True):
            self._opened.put(key, payload)
        return Pointer(key=key, bucket=self.name, size_bytes=len(payload), sha256=sha256(payload).hexdigest())

    def list(self, prefix: str = "") -> Iterator[Pointer]:
        """Yield the objects under a prefix."""
        self._prove()
        with self._translated(prefix):
            for some in self._opened.list(prefix or None):
                for meta in some:
                    yield Pointer(key=meta["path"], bucket=self.name, size_bytes=meta["size"])

    def link(self, key: str, *, for_s: float) -> str:
        """Answer a URL of the object."""
        check_key(key)
        return self._place.link(self._opened, key, for_s=for_s)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, one after the other."""
        for key in keys:
            check_key(key)
            with self._translated(key, writing=True), suppress(FileNotFoundError):
                self._opened.delete(key)

    def close(self) -> None:
        """Let go; what memory held is gone."""
        self._client = None

    def _read(self, pointer: Pointer, most_bytes: int) -> bytes:
        key = pointer.key
        with self._translated(key):
            found = self._opened.get(key)
            size = found.meta["size"]
            if size > most_bytes:
                detail = f"{readable(key)} has {size} bytes, more than MAX_OBJECT_BYTES={most_bytes}"
                raise BadRecordError(Reason.TOO_LARGE, detail)
            payload = bytes(found.bytes())
        if problem := _difference(payload, size, pointer):
            raise BadRecordError(Reason.CHECKSUM_MISMATCH, f"{readable(key)}: {problem}")
        return payload

    @property
    def _opened(self) -> Client:
        if self._client is None:
            raise BucketUnavailableError(f"bucket {self.name} is not open")
        return self._client

    def _prove(self) -> None:
        """See that it is there, where nothing else would tell."""
        if self._place.is_silent and (problem := self._place.problem(self._opened)):
            raise BucketUnavailableError(problem)

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Tell what is wrong with a key from what is wrong with the bucket."""
        try:
            yield
        except ValueError as error:  # no path in the library's eyes
            why = readable(str(error).partition("\n")[0])
            raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {why}") from error
        except (BaseError, OSError) as error:
            raise self._place.judge(key, error, writing=writing) from error


def _difference(payload: bytes, size: int, pointer: Pointer) -> str | None:
    """Say how an object differs from what was promised of it, None when it does not."""
    expected = size if pointer.size_bytes is None else pointer.size_bytes
    if len(payload) != expected:
        return f"{len(payload)} bytes came, and {expected} were promised"
    if pointer.sha256 and (actual := sha256(payload).hexdigest()) != pointer.sha256:
        return f"its SHA-256 is {actual}, and {pointer.sha256} was promised"
    return None
