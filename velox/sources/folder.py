"""Images from files: every one below a folder whose name ends as those that are read."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2

from velox.core.image_formats import JPEG, NAMES, SUFFIXES, recognise
from velox.errors import BadRecordError, SourceError
from velox.images.decoding import decode
from velox.images.limits import Limits
from velox.settings import Settings
from velox.sources import jpeg
from velox.sources.source import Item

log = logging.getLogger(__name__)

_LABEL: Final = re.compile(r"([A-Za-z0-9]+)_([A-Za-z0-9]+)")


class FolderSource:
    """Yields the files below a folder in the order of their paths, once or, with SOURCE_LOOP, again and again.

    JPEG files pass unchanged, undecoded: one that is damaged inside is the consumer's to dead-letter. All others become
    JPEG, which drops alpha and EXIF data: they are turned upright, unless IMAGE_ORIENTATION=stored. A folder named
    ``color_shape`` labels the files that lie directly in it. A file that cannot be read is skipped with a warning; each
    pass lists the folder anew.
    """

    interval_s: float | None = None

    def __init__(self, settings: Settings, path: str) -> None:
        """Keep the folder's path.

        Raises:
            SourceError: there is no such folder.
        """
        self._folder = Path(path)
        self._loops = settings.source_loop
        self._limits = Limits(settings.max_image_pixels, settings.max_image_side)
        self._orientation = settings.image_orientation
        self.unreadable: set[Path] = set()
        """Files that were skipped."""
        if not path or not self._folder.is_dir():
            msg = f"SOURCE=folder:{path}: no such folder; write SOURCE=folder:PATH with a folder of {NAMES} files"
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
                msg = f"SOURCE=folder:{self._folder}: no readable {NAMES} file below it, {len(self.unreadable)} bad"
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
            return self._jpeg(path.read_bytes())
        except (OSError, BadRecordError) as error:
            if path not in self.unreadable:
                log.warning("Skipped %s: %s", path, error)
                self.unreadable.add(path)
            return None

    def _jpeg(self, content: bytes) -> bytes:
        if recognise(content) is JPEG:
            return content
        image = decode(content, self._limits, orientation=self._orientation).pixels
        return jpeg.encode(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
