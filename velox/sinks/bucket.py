"""Stores detections' images in a bucket of S3."""

import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Final, Literal

from velox.buckets import bucket_at
from velox.errors import BadRecordError, BucketUnavailableError, RefusedResultsError, SinkUnavailableError
from velox.records import Pointer, Result
from velox.settings.readers import ImageBucketSettings
from velox.sinks.disk import PREFIX, SUFFIX, file_name
from velox.sinks.sink import Proof, Stored

_THREADS: Final = 8
"""Images that are sent at a time."""
_PROBE: Final = ".velox-"


class BucketSink:
    """Puts the original bytes of each detection under ``hit_<id>.jpg``, below the prefix of STORAGE_PATH.

    S3 compares the SHA-256 of what arrives; what it has acknowledged is stored. The same image twice is written twice,
    and is one object. Nothing is deleted: how long images stay is for a rule of the bucket to say.
    """

    def __init__(self, settings: ImageBucketSettings) -> None:
        """Keep the bucket, not opened yet."""
        self.name = "disk"
        self.takes: Literal["detections", "all"] = "detections"
        self._url = settings.storage_url
        self._prefix = self._url.removeprefix("s3://").partition("/")[2]
        self._most_bytes = settings.max_object_bytes
        bounded = settings.model_copy(update={"object_timeout_s": settings.sink_timeout_s})
        self._bucket = bucket_at(self._url, bounded)
        self._is_open = False

    def open(self) -> None:
        """Connect, and prove that an image could be written."""
        with self._translated():
            self._bucket.open()
            self._prove()
        self._is_open = True

    def write(self, batch: Sequence[Result]) -> None:
        """Store the payloads, several at a time; when one cannot be written now, those that wait are not tried."""
        if not batch:
            return
        if not self._is_open:
            self.open()
        payloads = {result.record.id: result.record.payload for result in batch}
        refused: dict[str, str] = {}
        with self._translated(), ThreadPoolExecutor(_THREADS, thread_name_prefix="bucket-sink") as threads:
            puts = {threads.submit(self._bucket.put, self._key(i), payload): i for i, payload in payloads.items()}
            wait(puts, return_when=FIRST_EXCEPTION)
            try:
                for put, identity in puts.items():
                    if isinstance(error := put.exception(), BadRecordError):
                        refused[identity] = error.detail
                    elif error:
                        raise error
            finally:
                threads.shutdown(cancel_futures=True)
        if refused:
            raise RefusedResultsError({r.id: refused[r.record.id] for r in batch if r.record.id in refused})

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the images whose id begins with ``prefix``."""
        with self._translated():
            for key in self._keys(prefix):
                yield Stored(key.rpartition("/")[2].removeprefix(PREFIX).removesuffix(SUFFIX))

    def image(self, record_id: str) -> bytes:
        """Answer what is stored of a record.

        Raises:
            SinkUnavailableError: nothing is, or it cannot be read now.
        """
        with self._translated():
            self._bucket.open()
            try:
                return self._bucket.get(Pointer(key=self._key(record_id)), most_bytes=self._most_bytes)
            except BadRecordError as error:
                raise BucketUnavailableError(str(error)) from error

    def remove(self, prefix: str) -> None:
        """Delete the images whose id begins with ``prefix``."""
        with self._translated():
            self._bucket.delete(list(self._keys(prefix)))

    def probe(self) -> Proof:
        """Write and remove an object."""
        with self._translated():
            self._bucket.open()
            if self._prove():
                return Proof(f"{self._url} can be written")
        value, problem = f"{self._url} can be written", "what was written to see that could not be removed"
        return Proof(value, problem, "nothing, or allow s3:DeleteObject; a consumer does not need it")

    def close(self) -> None:
        """Let go of the bucket."""
        self._is_open = False
        self._bucket.close()

    def _prove(self) -> bool:
        """Write a small object; say whether it could be removed again, which a consumer may not be allowed to."""
        key = self._below(f"{_PROBE}{secrets.token_hex(4)}")
        self._bucket.put(key, b"velox")
        with suppress(BucketUnavailableError):
            self._bucket.delete([key])
            return True
        return False

    def _keys(self, prefix: str) -> Iterator[str]:
        self._bucket.open()
        begins = self._below(f"{PREFIX}{prefix}")
        for pointer in self._bucket.list(self._prefix):
            if (
                pointer.key.startswith(begins)
                and pointer.key.endswith(SUFFIX)
                and "/" not in pointer.key[len(begins) :]
            ):
                yield pointer.key

    def _key(self, record_id: str) -> str:
        return self._below(file_name(record_id))

    def _below(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BucketUnavailableError as error:
            self._is_open = False  # credentials may be others when it is opened again
            raise SinkUnavailableError(f"disk: cannot store images in {self._url}: {error}") from error
