"""A folder, or memory, as a bucket."""

import errno
import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from obstore.store import LocalStore, MemoryStore

from velox.buckets.place import Client
from velox.core.text import readable
from velox.errors import BadRecordError, BucketUnavailableError, Reason, VeloxError

_ERRNO: Final = re.compile(r"os error (\d+)")
"""Where the library says, in words alone, which error the operating system has answered."""
_NOTHING_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
"""Errors that a key earns by itself: a stranger wrote it, and no wait will change what it leads to."""


class Folder:
    """A folder of this machine; without a path, memory of this process."""

    def __init__(self, path: str, name: str) -> None:
        """Keep the path, and the bucket's name."""
        self.is_silent = True
        self._path = path
        self._name = name

    def connect(self) -> Client:
        """Make the client; the library wants the folder to be there."""
        if problem := self.problem():
            raise BucketUnavailableError(problem)
        return LocalStore(self._path) if self._path else MemoryStore()

    def problem(self, _client: Client | None = None) -> str | None:
        """Look into the folder. Writing would make it anew where it is gone, perhaps on another disk."""
        if not self._path:
            return None
        try:
            with os.scandir(self._path) as entries:
                next(entries, None)
        except OSError as error:
            return f"{self._path} cannot be read: {error.strerror}"
        return None

    def judge(self, key: str, error: Exception, *, writing: bool) -> VeloxError:
        """Look whether the folder is there; if so, tell by the operating system's error what is wrong with a key."""
        if problem := self.problem():
            return BucketUnavailableError(problem)
        number, why = _errno(error), readable(str(error).partition("\n")[0])
        if number in _NOTHING_THERE and not writing:
            return BadRecordError(Reason.OBJECT_MISSING, f"{readable(key)}: bucket {self._name} has no such object")
        # The library keeps such names for itself, a file is in the way of the folder, or a file is not ours.
        if number is None or number in _NOTHING_THERE or (number == errno.EACCES and not writing):
            return BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {why}")
        return BucketUnavailableError(why)

    def link(self, _client: Client, key: str, *, for_s: float) -> str:
        """Answer its address on this machine."""
        return Path(self._path, key).as_uri() if self._path else f"memory:///{quote(key)}"


def _errno(error: Exception) -> int | None:
    if isinstance(error, FileNotFoundError):  # also where no operating system was asked
        return errno.ENOENT
    match = _ERRNO.search(str(error))
    return int(match[1]) if match else None
