"""A folder, or memory, as a bucket. The only module that knows obstore."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore

from velox.core.pointers import check, check_key
from velox.core.text import readable
from velox.errors import BadRecordError, BucketUnavailableError, Reason
from velox.records import Pointer
from velox.settings.buckets import BucketSettings

_ERRNO: Final = re.compile(r"os error (\d+)")
"""Where the library says, in words alone, which error the operating system has answered."""
_NOTHING_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors that a key earns by itself: a stranger wrote it, and no wait will change what it leads to."""


class Store:
    """One bucket by obstore, which releases the interpreter's lock while it reads."""

    def __init__(self, settings: BucketSettings) -> None:
        """Keep what is needed; touch nothing yet."""
        self.name = settings.bucket_name
        self._folder = settings.bucket_folder
        self._allowed = settings.buckets_allowed
        self._store: LocalStore | MemoryStore | None = None

    def open(self) -> None:
        """Prove that the folder is there, and may be listed."""
        if problem := self._problem():
            raise BucketUnavailableError(problem)
        with self._translated(self._folder):
            self._store = self._store or (LocalStore(self._folder) if self._folder else MemoryStore())

    def get(self, pointer: Pointer, *, most_bytes: int) -> bytes:
        """Read an object whole, and compare it with what its pointer says."""
        check(pointer, bucket=self.name, allowed=self._allowed)
        try:
            return self._read(pointer, most_bytes)
        except BadRecordError as error:
            if error.reason is not Reason.OBJECT_MISSING:
                raise
        # The folder may have been gone, and have come back before it was looked at.
        return self._read(pointer, most_bytes)

    def put(self, key: str, payload: bytes) -> Pointer:
        """Write an object under another name first, then give it its own: nobody reads half of it."""
        check_key(key)
        if problem := self._problem():  # or the folder that is gone would be made, perhaps on another disk
            raise BucketUnavailableError(problem)
        with self._translated(key, writing=True):
            self._opened.put(key, payload)
        return Pointer(key=key, bucket=self.name, size_bytes=len(payload), sha256=sha256(payload).hexdigest())

    def list(self, prefix: str = "") -> Iterator[Pointer]:
        """Yield the objects under a prefix."""
        if problem := self._problem():
            raise BucketUnavailableError(problem)
        with self._translated(prefix):
            for some in self._opened.list(prefix or None):
                for meta in some:
                    yield Pointer(key=meta["path"], bucket=self.name, size_bytes=meta["size"])

    def link(self, key: str, *, for_s: float) -> str:
        """Answer its address on this machine."""
        return Path(self._folder, key).as_uri() if self._folder else f"memory:///{quote(key)}"

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, one after the other."""
        for key in keys:
            check_key(key)
            with self._translated(key, writing=True), suppress(FileNotFoundError):
                self._opened.delete(key)

    def close(self) -> None:
        """Let go; what memory held is gone."""
        self._store = None

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
    def _opened(self) -> LocalStore | MemoryStore:
        if self._store is None:
            raise BucketUnavailableError(f"bucket {self.name} is not open")
        return self._store

    def _problem(self) -> str | None:
        """Say why the folder as a whole cannot be read, None when it can."""
        if not self._folder:
            return None
        try:
            with os.scandir(self._folder) as entries:
                next(entries, None)
        except OSError as error:
            return f"{self._folder} cannot be read: {error.strerror}"
        return None

    @contextmanager
    def _translated(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Tell what is wrong with a key from what is wrong with the bucket."""
        try:
            yield
        except ValueError as error:  # no path in the library's eyes
            raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {_first_line(error)}") from error
        except (BaseError, OSError) as error:
            if problem := self._problem():
                raise BucketUnavailableError(problem) from error
            number = _errno(error)
            if number in _NOTHING_THERE and not writing:
                detail = f"{readable(key)}: bucket {self.name} has no such object"
                raise BadRecordError(Reason.OBJECT_MISSING, detail) from error
            # The library keeps such names for itself, a file is in the way of the folder, or a file is not ours.
            if number is None or number in _NOTHING_THERE or (number == errno.EACCES and not writing):
                raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {_first_line(error)}") from error
            raise BucketUnavailableError(_first_line(error)) from error


def _errno(error: Exception) -> int | None:
    if isinstance(error, FileNotFoundError):  # also where no operating system was asked
        return errno.ENOENT
    match = _ERRNO.search(str(error))
    return int(match[1]) if match else None


def _first_line(error: Exception) -> str:
    return readable(str(error).partition("\n")[0])


def _difference(payload: bytes, size: int, pointer: Pointer) -> str | None:
    """Say how an object differs from what was promised of it, None when it does not."""
    expected = size if pointer.size_bytes is None else pointer.size_bytes
    if len(payload) != expected:
        return f"{len(payload)} bytes came, and {expected} were promised"
    if pointer.sha256 and (actual := sha256(payload).hexdigest()) != pointer.sha256:
        return f"its SHA-256 is {actual}, and {pointer.sha256} was promised"
    return None
