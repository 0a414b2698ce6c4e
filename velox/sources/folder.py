"""Images from files: every one below a folder whose name ends as those that are read."""

import logging
import math
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
from velox.settings import SourceSettings
from velox.sources import jpeg
from velox.sources.source import Item

log = logging.getLogger(__name__)

_PAYLOAD_SHARE: Final = 0.95
"""Of MAX_MESSAGE_BYTES, so that there is room for what else a record has."""
_STEP: Final = 0.9
"""An image is made smaller by a tenth at least, until it fits."""
_LABEL: Final = re.compile(r"([A-Za-z0-9]+)_([A-Za-z0-9]+)")


class FolderSource:
    """Yields the files below a folder in the order of their paths, once or, with SOURCE_LOOP, again and again.

    JPEG files pass unchanged, undecoded: one that is damaged inside is the consumer's to dead-letter. All others become
    JPEG, which drops alpha and EXIF data: they are turned upright, unless IMAGE_ORIENTATION=stored. What is too large
    for MAX_MESSAGE_BYTES is made smaller, and becomes JPEG too; the first is named in a warning. A folder named
    ``color_shape`` labels the files that lie directly in it. A file that cannot be read is skipped with a warning; each
    pass lists the folder anew.
    """

    interval_s: float | None = None

    def __init__(self, settings: SourceSettings, path: str) -> None:
        """Keep the folder's path.

        Raises:
            SourceError: there is no such folder.
        """
        self._folder = Path(path)
        self._loops = settings.source_loop
        self._limits = Limits(settings.max_image_pixels, settings.max_image_side)
        self._orientation = settings.image_orientation
        self._limit, self._most_bytes = settings.payload_limit
        self._has_shrunk = False
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
            return self._jpeg(path.read_bytes(), path)
        except (OSError, BadRecordError) as error:
            if path not in self.unreadable:
                log.warning("Skipped %s: %s", path, error)
                self.unreadable.add(path)
            return None

    def _jpeg(self, content: bytes, path: Path) -> bytes:
        most = int(_PAYLOAD_SHARE * self._most_bytes)
        if recognise(content) is JPEG and len(content) <= most:
            return content
        image = cv2.cvtColor(decode(content, self._limits, orientation=self._orientation).pixels, cv2.COLOR_RGB2BGR)
        encoded = jpeg.encode(image)
        return encoded if len(encoded) <= most else self._shrunk(image, encoded, most, path)

    def _shrunk(self, image: cv2.typing.MatLike, encoded: bytes, most: int, path: Path) -> bytes:
        """Make an image so much smaller that its file fits, if any size does."""
        height, width = image.shape[:2]
        scale = 1.0
        while len(encoded) > most and scale * min(height, width) >= 1:
            scale *= min(_STEP, math.sqrt(most / len(encoded)))
            size = (max(round(scale * width), 1), max(round(scale * height), 1))
            encoded = jpeg.encode(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        if not self._has_shrunk:
            self._has_shrunk = True
            log.warning(
                "%s is too large for %s=%d and is sent as %d bytes with %.0f %% of its width; others "
                "that are too large are made smaller too",
                path, self._limit, self._most_bytes, len(encoded), 100 * scale,
            )  # fmt: skip
        return encoded
