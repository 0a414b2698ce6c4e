"""Texts from a file: one a line."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from velox.errors import SourceError
from velox.settings import SourceSettings
from velox.sources.source import Item

log = logging.getLogger(__name__)

_BLANK: Final = " \t\r\n\f\v"


class LinesSource:
    """Yields the lines of a file, without the spaces around them, once or, with SOURCE_LOOP, again and again.

    The file is UTF-8 and may be of any size: it is read line by line. Empty lines are left out; a line that is not
    UTF-8, or longer than MAX_MESSAGE_BYTES, is skipped with a warning, once. The metadata name the file and the line,
    counted from 1.
    """

    interval_s: float | None = None

    def __init__(self, settings: SourceSettings, path: str) -> None:
        """Keep the file's path.

        Raises:
            SourceError: there is no such file.
        """
        self._path = Path(path)
        self._loops = settings.source_loop
        self._most_bytes = settings.max_message_bytes
        self.unreadable: set[int] = set()
        """Lines that were skipped."""
        if not path or not self._path.is_file():
            raise self._error("no such file; write SOURCE=lines:FILE with a text file")

    def __iter__(self) -> Iterator[Item]:
        """Yield one item a line.

        Raises:
            SourceError: the file cannot be read, or a whole pass found no line that can.
        """
        while True:
            found = False
            for number, text in self._texts():
                found = True
                metadata = {"file": self._path.name, "line": number}
                yield Item(key=None, metadata=metadata, payload=text.encode(), dtype="text")
            if not found:
                raise self._error(f"no line with a text in it, {len(self.unreadable)} that cannot be read")
            if not self._loops:
                return

    def _texts(self) -> Iterator[tuple[int, str]]:
        try:
            with self._path.open("rb") as file:
                for number, line in enumerate(self._lines(file), 1):
                    if (text := self._read(number, line)) is not None and text:
                        yield number, text
        except OSError as error:
            raise self._error(str(error.strerror)) from error

    def _lines(self, file: BinaryIO) -> Iterator[bytes | None]:
        """Yield each line; None for one that is too long, of which no more is held than is allowed."""
        while line := file.readline(self._most_bytes + 1):
            if len(line) <= self._most_bytes or line.endswith(b"\n"):
                yield line
                continue
            while (rest := file.readline(self._most_bytes)) and not rest.endswith(b"\n"):
                pass
            yield None

    def _read(self, number: int, line: bytes | None) -> str | None:
        try:
            if line is not None:
                return line.decode("utf-8-sig" if number == 1 else "utf-8").strip(_BLANK)
            why = f"longer than MAX_MESSAGE_BYTES={self._most_bytes}"
        except UnicodeDecodeError:
            why = "not UTF-8"
        if number not in self.unreadable:
            self.unreadable.add(number)
            log.warning("Skipped line %d of %s: %s", number, self._path, why)
        return None

    def _error(self, why: str) -> SourceError:
        return SourceError(f"SOURCE=lines:{self._path}: {why}")
