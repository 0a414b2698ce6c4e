"""Uploading: many files at a time, what is there already left alone, each key recorded once its object is there."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from velox import logs
from velox.buckets import bucket
from velox.buckets.bucket import Bucket
from velox.core.envelope import Codec
from velox.core.retries import backoff_s
from velox.errors import BadRecordError, SettingsError, SystemUnavailableError, VeloxError
from velox.keys import key_table
from velox.keys.table import KeyTable, Row
from velox.progress import Progress
from velox.records import Pointer
from velox.settings.readers import UploadSettings
from velox.signals import StopRequest
from velox.tools.upload.files import File, find

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_TRIES: Final = 6
"""About 10 s: a moment's trouble is waited out, an outage is told."""
_TOGETHER: Final = 500
"""Files that are looked up, and keys that are recorded, in one statement."""
_NAMED: Final = 5
"""Files that are named one by one when they cannot be uploaded."""


class _Count:
    """What became of the files."""

    def __init__(self) -> None:
        self.delivered = self.there = self.failed = self.bytes = 0
        self.waiting = 0

    @property
    def done(self) -> int:
        return self.delivered + self.there + self.failed


def run(
    settings: UploadSettings, folder: Path, *, prefix: str | None = None, any_kind: bool = False, record: bool = True
) -> int:
    """Upload what lies below a folder.

    Args:
        settings: which bucket, which table, how many at a time.
        folder: what lies below it is uploaded; hidden files are not.
        prefix: how keys begin; None = as BUCKET_URL says.
        any_kind: files that are no images by their names, too.
        record: add a row to the table of keys for each.

    Returns:
        0 when all files are in the bucket and recorded, else 1.

    Raises:
        VeloxError: no bucket is named, or bucket or table do not answer.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    if not settings.bucket_url:
        msg = "upload: where to? Set BUCKET_URL, as in s3://imagenet-files or file:///data/photos"
        raise SettingsError(msg)
    begins = (settings.bucket_prefix if prefix is None else prefix).strip("/")
    found = find(
        folder,
        prefix=begins,
        any_kind=any_kind,
        most_bytes=settings.max_object_bytes,
    )
    for reason in found.refused[:_NAMED]:
        log.error("Not uploaded: %s", reason)
    with ExitStack() as stack:
        store = bucket(settings.model_copy(update={"codec": Codec.KEY}))
        if store is None:
            raise SettingsError("upload: no bucket")
        _make_folder(settings.bucket_folder)
        store.open()
        stack.callback(store.close)
        table = key_table(settings) if record else None
        if table is not None:
            table.open()
            stack.callback(table.close)
        stop = stack.enter_context(StopRequest())
        progress = stack.enter_context(Progress(len(found.files), what="uploaded"))
        count = _Upload(store, table, settings.downloads, stop, progress).send(found.files, begins)
    count.failed += len(found.refused)
    log.info(
        "Uploaded %d objects (%.1f MB) to %s, %d were there already, %d failed; %d files are no images",
        count.delivered, count.bytes / 1e6, settings.bucket_url, count.there, count.failed, found.others,
    )  # fmt: skip
    if stop.is_made():
        log.warning("Stopped; run it again, and it goes on with what is missing")
    return 1 if count.failed or stop.is_made() else 0


def _make_folder(path: str) -> None:
    """Make the folder that is to be the bucket, if the one that it is to lie in is there."""
    if path and Path(path).parent.is_dir() and not Path(path).exists():
        Path(path).mkdir()
        log.info("Made the folder %s", path)


class _NotBegunError(VeloxError):
    """The upload ends before this file's turn."""


class _Upload:
    """One run. The main thread looks up and records; others read, sum up and send."""

    def __init__(
        self, store: Bucket, table: KeyTable | None, at_a_time: int, stop: StopRequest, progress: Progress
    ) -> None:
        self._store = store
        self._table = table
        self._at_a_time = at_a_time
        self._stop = stop
        self._progress = progress
        self._prefix = ""
        self._sizes: dict[str, int | None] | None = None
        """Of the objects that are there; None = not looked at yet."""
        self._count = _Count()
        self._outage: SystemUnavailableError | None = None
        """Why going on makes no sense, once that is so."""

    def send(self, files: Sequence[File], prefix: str) -> _Count:
        """Send them, a portion after the other; all keys begin with the prefix.

        Raises:
            SystemUnavailableError: an outage lasts; what was sent until then is recorded.
        """
        self._prefix = prefix
        remaining = iter(files)
        with ThreadPoolExecutor(self._at_a_time, thread_name_prefix="upload") as threads:
            while (portion := list(islice(remaining, _TOGETHER))) and not self._stop.is_made():
                known = self._look_up(portion)
                sent = self._send_portion(threads, portion, known)
                if self._table is not None and sent:
                    _insistently(partial(self._table.add, sent))
                if self._outage:
                    raise self._outage
        return self._count

    def _look_up(self, portion: Sequence[File]) -> dict[str, Row]:
        """Answer what is recorded of files whose objects are in the bucket with the size that is recorded."""
        if self._table is None:
            return {}
        table = self._table
        known = _insistently(lambda: table.known([file.key for file in portion]))
        if not known:
            return {}
        if self._sizes is None:
            self._sizes = _insistently(self._list)
        sizes = self._sizes
        return {key: row for key, row in known.items() if row.sha256 and sizes.get(key) == row.size_bytes}

    def _list(self) -> dict[str, int | None]:
        return {there.key: there.size_bytes for there in self._store.list(self._prefix)}

    def _send_portion(
        self, threads: ThreadPoolExecutor, portion: Sequence[File], known: dict[str, Row]
    ) -> list[Pointer]:
        sent: list[Pointer] = []
        for done in _as_they_end(threads, portion, lambda file: self._send(file, known.get(file.key)), self._at_a_time):
            file, outcome = done
            if isinstance(outcome, SystemUnavailableError):
                self._outage = self._outage or outcome
            elif isinstance(outcome, _NotBegunError):
                continue
            elif isinstance(outcome, Exception):
                self._count.failed += 1
                if self._count.failed <= _NAMED:
                    log.error("Not uploaded: %s: %s", file.path, outcome)
            elif outcome is None:
                self._count.there += 1
            else:
                self._count.delivered += 1
                self._count.bytes += outcome.size_bytes or 0
                sent.append(outcome)
            self._progress.show(self._count.done, self._count)
        return sent

    def _send(self, file: File, known: Row | None) -> Pointer | None:
        """Send a file unless its object is there already; None when it is."""
        if self._stop.is_made() or self._outage:
            raise _NotBegunError
        payload = file.path.read_bytes()
        if known and known.size_bytes == len(payload) and known.sha256 == hashlib.sha256(payload).hexdigest():
            return None
        return _insistently(lambda: self._store.put(file.key, payload))


def _as_they_end(
    threads: ThreadPoolExecutor, files: Sequence[File], send: Callable[[File], Pointer | None], at_a_time: int
) -> Iterator[tuple[File, Pointer | Exception | None]]:
    """Yield each file with what came of it; no more than twice as many as are under way are begun."""
    remaining = iter(files)
    running: dict[Future[Pointer | None], File] = {}
    while True:
        for file in islice(remaining, 2 * at_a_time - len(running)):
            running[threads.submit(send, file)] = file
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            file, error = running.pop(future), future.exception()
            if error is None:
                yield file, future.result()
            elif isinstance(error, VeloxError | OSError | BadRecordError):
                yield file, error
            else:
                raise error


def _insistently(step: Callable[[], Answer]) -> Answer:
    """Do something that an outage may prevent, several times if need be.

    Raises:
        SystemUnavailableError: the outage lasts.
    """
    waits = backoff_s()
    for _ in range(_TRIES):
        try:
            return step()
        except SystemUnavailableError as error:
            wait_s = next(waits)
            log.warning("%s; trying again in %.1f s", error, wait_s)
            time.sleep(wait_s)
    return step()
