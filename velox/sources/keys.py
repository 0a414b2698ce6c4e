"""Keys of objects, from the table ``image_info``."""

import hashlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from velox.core.deadline import Deadline
from velox.core.pointers import SHA256_HEADER, SIZE_HEADER
from velox.core.retries import backoff_s
from velox.errors import SettingsError, SourceError, StoreUnavailableError
from velox.keys import key_table
from velox.keys.table import START, Place, Row
from velox.settings import SourceSettings
from velox.sources.source import NOTHING, Item

log = logging.getLogger(__name__)

_TOGETHER: Final = 1000
"""Rows that are read at once."""
_WAIT_S: Final = 0.5
_ID_CHARACTERS: Final = 32


class KeysSource:
    """Yields the keys of the table's rows, in order, from where it was when it last ended.

    A row comes again only if the producer died before it had marked it as delivered; its id is the same then. With
    KEYS_FOLLOW it never ends, and yields ``NOTHING`` while there is nothing new or the database does not answer. With
    SOURCE_LOOP it begins again at its end, and the next time as well.
    """

    interval_s: float | None = 0.0
    """As fast as Kafka takes them."""

    def __init__(self, settings: SourceSettings, path: str) -> None:
        """Connect to the table.

        Raises:
            SettingsError: something follows the name, or records are not to be keys.
            SourceError: the table cannot be read.
        """
        if path or not settings.is_apart:
            msg = f"SOURCE=keys{path and ':' + path}: write SOURCE=keys, with CODEC=key and the database in KEYS_URL"
            raise SettingsError(msg)
        self._table = key_table(settings)
        self._prefix = settings.keys_where
        self._follows = settings.keys_follow
        self._loops = settings.source_loop
        self._at = self._marked = START
        """How far it has got, and how far it would begin the next time."""
        try:
            self._table.open()
            self._at = self._marked = START if self._loops else self._table.place()
        except StoreUnavailableError as error:
            raise SourceError(f"SOURCE=keys: {error}") from error
        begins = "its beginning" if self._at == START else f"behind row {self._at.id}"
        log.info("Keys from image_info in %s, from %s", self._table.address, begins)

    def __iter__(self) -> Iterator[Item]:
        """Yield one item a row.

        Raises:
            SourceError: the database does not answer, and it is not to be waited for.
        """
        waits = backoff_s()
        read_to = self._marked
        while True:
            try:
                rows = self._table.read(read_to, prefix=self._prefix, most=_TOGETHER)
                if not rows and self._follows:
                    yield NOTHING
                    self._table.wait(_WAIT_S)
            except StoreUnavailableError as error:
                yield from self._bears(error, next(waits))
                continue
            waits = backoff_s()
            for row in rows:
                yield _item(row)
                self._at = read_to = row.place
            if not rows and self._loops:
                is_beginning, read_to = read_to == START, START
                if is_beginning:
                    yield NOTHING  # there are none at all: no reason to ask again at once
                    self._table.wait(_WAIT_S)
            elif not rows and not self._follows:
                return

    def mark(self) -> None:
        """Remember that all that was yielded is delivered. Where that fails, some of it comes again after a crash."""
        if self._loops or self._at == self._marked:
            return
        try:
            self._table.mark(self._at)
        except StoreUnavailableError as error:
            log.warning("%s; how far it is will be noted later", error)
        else:
            self._marked = self._at

    def _bears(self, error: StoreUnavailableError, wait_s: float) -> Iterator[Item]:
        """Wait, in steps, for a database that does not answer; who does not follow it is told at once."""
        if not self._follows:
            raise SourceError(f"SOURCE=keys: {error}") from error
        log.warning("%s; trying again in %.1f s", error, wait_s)
        until = Deadline(wait_s)
        while not until.has_passed():
            yield NOTHING
            time.sleep(min(_WAIT_S, until.left_s()))


def _item(row: Row) -> Item:
    known = {} if row.size_bytes is None else {SIZE_HEADER: f"{row.size_bytes}"}
    if row.sha256:
        known[SHA256_HEADER] = row.sha256
    return Item(
        key=None,
        metadata={},
        payload=row.key.encode(errors="replace"),
        dtype="text",
        id=_identity(row.key, row.place),
        headers=tuple((name, value.encode()) for name, value in known.items()),
    )


def _identity(key: str, place: Place) -> str:
    """Answer the same id for the same row, so that what is published twice is stored once."""
    return hashlib.sha256(f"{key}\0{place.name}".encode(errors="replace")).hexdigest()[:_ID_CHARACTERS]
