"""Images from files: every JPEG and PNG below a folder."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from velox.errors import SourceError
from velox.settings import Settings
from velox.sources import jpeg
from velox.sources.source import Item

log = logging.getLogger(__name__)

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})
_JPEG_MAGIC: Final = b"\xff\xd8\xff"
_LABEL: Final = re.compile(r"([A-Za-z0-9]+)_([A-Za-z0-9]+)")


class FolderSource:
    """Yields the files below a folder in the order of their paths, once or, with SOURCE_LOOP, again and again.

    JPEG files pass unchanged, undecoded: one that is damaged inside is the consumer's to dead-letter. PNG files
    become JPEG. A folder named ``color_shape`` labels the files that lie directly in it. A file that cannot be read is
    skipped with a warning; each pass lists the folder anew.
    """

    interval_s: float | None = None

    def __init__(self, settings: Settings, path: str) -> None:
        """Keep the folder's path.

        Raises:
            SourceError: there is no such folder.
        """
        self._folder = Path(path)
        self._loops = settings.source_loop
        self.unreadable: set[Path] = set()
        """Files that were skipped."""
        if not path or not self._folder.is_dir():
            msg = f"SOURCE=folder:{path}: no such folder; write SOURCE=folder:PATH with a folder of JPEG or PNG files"
            raise SourceError(msg)

    def __iter__(self) -> Iterator[Item]:
        """Yield one item a file.

        Raises:
            SourceError: a whole pass found nothing readable.
        """
        while True:
            found = False
            for path in sorted(p for p in self._folder.rglob("*") if p.suffix.lower() in SUFFIXES):
                payload = self._read(path)
                if payload is not None:
                    found = True
                    yield Item(key=None, metadata=self._describe(path), payload=payload)
            if not found:
                msg = f"SOURCE=folder:{self._folder}: no readable JPEG or PNG file below it, {len(self.unreadable)} bad"
                raise SourceError(msg)
            if self.unreadable:
                log.warning("%d files below %s could not be read", len(self.unreadable), self._folder)
            if not self._loops:
                return

    def _describe(self, path: Path) -> dict[str, str]:
        # A file name may be bytes that are no text; metadata is text.
        metadata = {"file": os.fsencode(path.relative_to(self._folder)).decode(errors="replace")}
        label = _LABEL.fullmatch(path.parent.name)
        if label:
            metadata |= {"color_label": label[1], "shape_label": label[2]}
        return metadata

    def _read(self, path: Path) -> bytes | None:
        try:
            return _jpeg(path.read_bytes())
        except (OSError, ValueError, cv2.error) as error:
            if path not in self.unreadable:
                log.warning("Skipped %s: %s", path, error)
                self.unreadable.add(path)
            return None


def _jpeg(content: bytes) -> bytes:
    if content.startswith(_JPEG_MAGIC):
        return content
    if not content:
        msg = "empty"
        raise ValueError(msg)
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        msg = "neither JPEG nor PNG"
        raise ValueError(msg)
    return jpeg.encode(image)
