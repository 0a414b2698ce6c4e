"""Stores detections' images as files."""

import errno
import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Literal, TypeVar

from velox.core.deadline import Deadline
from velox.errors import SinkUnavailableError
from velox.folders import prove_writable
from velox.records import Result
from velox.settings.sinks import DiskSettings
from velox.sinks.sink import Proof, Stored

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

PREFIX: Final = "hit_"
SUFFIX: Final = ".jpg"
_TEMPORARY_PREFIX: Final = ".velox-"
_MAX_NAME_BYTES: Final = 255
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_TOGETHER: Final = 64
"""Files open at a time, far below the usual limit of 1024; more of them together cost no less each."""
_ALONE_S: Final = 0.01
"""One thread writes, and then flushes, for so long: that costs the least, as most are on the disk with the first."""
_THREADS: Final = 8
"""Where each file waits for the disk or a server again, eight waits at once take half the time or less."""
_REMEDIES: Final = {
    errno.ENOSPC: "free space, or limit the images with MAX_STORED_FILES",
    errno.EDQUOT: "raise the quota, or limit the images with MAX_STORED_FILES",
    errno.EROFS: "mount it writable, or point STORAGE_PATH elsewhere",
    errno.EACCES: "let this user write there, or point STORAGE_PATH elsewhere",
    errno.EPERM: "let this user write there, or point STORAGE_PATH elsewhere",
}


class DiskSink:
    """Writes the original bytes of each detection to ``hit_<id>.jpg``, whole or not at all.

    A written batch survives a power failure: every file is flushed to the disk before it gets its name, and the
    folder once a batch. Consumers that share a folder each keep MAX_STORED_FILES of the files they know: those there
    at the start and those they wrote. A file system that hangs (a hard NFS mount) holds ``write`` for as long.
    """

    def __init__(self, settings: DiskSettings) -> None:
        """Keep the folder and the limit."""
        self.name = "disk"
        self.takes: Literal["detections", "all"] = "detections"
        self._folder = settings.storage_path
        self._max_files = settings.max_stored_files
        self._leftover_age_s = settings.sink_timeout_s
        self._known: dict[str, None] = {}
        """Names of stored files, oldest first; kept only when their number is limited."""
        self._is_open = False
        # Process ids are no help here: those of two containers that share a folder are alike.
        writer = secrets.token_hex(4)
        self._temporary_names = (f"{_TEMPORARY_PREFIX}{writer}-{number}" for number in count())

    def open(self) -> None:
        """Create the folder, prove that it can be written, and bring it down to the limit if there is one."""
        self.close()
        with self._translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_leftovers()
            probe = self._folder / next(self._temporary_names)
            try:
                _write_flushed([(str(probe), b"velox")])
            finally:
                probe.unlink(missing_ok=True)
            if self._max_files:
                self._known = dict.fromkeys(self._stored_files())
                self._delete_oldest()
        self._is_open = True

    def write(self, batch: Sequence[Result]) -> None:
        """Store the payloads that are not there yet, then delete the oldest files beyond the limit."""
        if not batch:
            return
        if not self._is_open:
            self.open()
        payloads = {file_name(result.record.id): result.record.payload for result in batch}
        with self._translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            # Names are looked up in the open folder: as strings in calls of `os`, they cost a third of paths.
            with _opened(self._folder) as folder:
                missing = {n: payload for n, payload in payloads.items() if not _has_size(folder, n, len(payload))}
                self._store(folder, missing)
                # Also when nothing was missing: an earlier try of this batch may have failed right here.
                os.fsync(folder)
            if self._max_files:
                self._known.update(dict.fromkeys(payloads))
                self._delete_oldest()

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the whole files whose id begins with ``prefix``."""
        with self._translated():
            for path in self._folder.iterdir():  # unlike glob, it says when there is no such folder
                if path.name.startswith(f"{PREFIX}{prefix}") and path.suffix == SUFFIX:
                    yield Stored(path.name.removeprefix(PREFIX).removesuffix(SUFFIX))

    def image(self, record_id: str) -> bytes:
        """Answer what is stored of a record.

        Raises:
            SinkUnavailableError: nothing is, or it cannot be read now.
        """
        with self._translated():
            return (self._folder / file_name(record_id)).read_bytes()

    def remove(self, prefix: str) -> None:
        """Delete the files whose id begins with ``prefix``; the folder too when that is empty and nothing is left."""
        with self._translated():
            for path in self._folder.glob(f"{PREFIX}{prefix}*{SUFFIX}"):
                path.unlink(missing_ok=True)
            if prefix:
                return
            for path in self._folder.glob(f"{_TEMPORARY_PREFIX}*"):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # somebody keeps something else there
                self._folder.rmdir()

    def probe(self) -> Proof:
        """Write and remove a file, in the folder or, where there is none yet, in the nearest above it."""
        with self._translated():
            where = prove_writable(self._folder)
        if where == self._folder.absolute():
            return Proof(f"{self._folder} is writable")
        return Proof(f"{self._folder} is not there yet, and can be made in {where}")

    def close(self) -> None:
        """Forget what the folder holds."""
        self._is_open = False
        self._known = {}

    def _store(self, folder: int, payloads: dict[str, bytes]) -> None:
        """Write and flush under temporary names, then give each file its own: a file with its name is whole."""
        names = deque((next(self._temporary_names), name) for name in payloads)
        files = [(temporary, payloads[name]) for temporary, name in names]
        try:
            for first in range(0, len(files), _TOGETHER):
                _write_flushed(files[first : first + _TOGETHER], folder)
            while names:
                temporary, name = names[0]
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                names.popleft()
        finally:
            for temporary, _ in names:
                with suppress(OSError):  # the error that led here says more
                    os.unlink(temporary, dir_fd=folder)

    def _remove_leftovers(self) -> None:
        """Remove what a killed process left half written, but nothing another consumer is writing just now."""
        newest = time.time() - self._leftover_age_s
        for path in self._folder.glob(f"{_TEMPORARY_PREFIX}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < newest:
                    path.unlink()

    def _stored_files(self) -> list[str]:
        aged: list[tuple[int, str]] = []
        for path in self._folder.glob(f"{PREFIX}*{SUFFIX}"):
            with suppress(FileNotFoundError):
                aged.append((path.stat().st_mtime_ns, path.name))
        return [name for _, name in sorted(aged)]

    def _delete_oldest(self) -> None:
        while len(self._known) > self._max_files:
            oldest = next(iter(self._known))
            (self._folder / oldest).unlink(missing_ok=True)
            del self._known[oldest]

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "check STORAGE_PATH")
            msg = f"disk: cannot store images in {self._folder}: {error.strerror or error}; {remedy}"
            raise SinkUnavailableError(msg) from error


def file_name(record_id: str) -> str:
    """Name the file of a record's image; an id too long for that is replaced by its SHA-256."""
    name = f"{PREFIX}{record_id}{SUFFIX}"
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"{PREFIX}{hashlib.sha256(record_id.encode()).hexdigest()}{SUFFIX}"
    return name


def _has_size(folder: int, name: str, size_bytes: int) -> bool:
    try:
        return os.stat(name, dir_fd=folder).st_size == size_bytes
    except FileNotFoundError:
        return False


def _write_flushed(files: Iterable[tuple[str, bytes]], folder: int | None = None) -> None:
    """Write files and have them on the disk; a journaling file system's first flush does most of the others' work."""
    with ExitStack() as opened:

        def write(file: tuple[str, bytes]) -> int:
            name, payload = file
            descriptor = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
            opened.callback(os.close, descriptor)
            left = memoryview(payload)
            while left:  # a nearly full disk may take only some of it at a time
                left = left[os.write(descriptor, left) :]
            return descriptor

        descriptors = _each(write, files)
        if hasattr(os, "posix_fadvise"):  # not on macOS
            for descriptor in descriptors:  # the kernel begins to write: nobody waits yet, and the flushes cost less
                with suppress(OSError):  # it is only a hint
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        _each(os.fsync, descriptors)


def _each(step: Callable[[Item], Outcome], items: Iterable[Item]) -> list[Outcome]:
    """Take a step for each item; when that is slow, as many threads as help share what is left."""
    left = deque(items)
    outcomes = []
    alone = Deadline(_ALONE_S)
    while left and not alone.has_passed():
        outcomes.append(step(left.popleft()))
    if left:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="disk-sink") as threads:
            outcomes += threads.map(step, left)  # when one failed, only after all have ended
    return outcomes


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
