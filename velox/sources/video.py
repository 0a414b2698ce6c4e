"""Images from a video file, frame by frame."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2

from velox.errors import SourceError
from velox.settings.producer import ProducerSettings
from velox.sources import jpeg
from velox.sources.source import Item

log = logging.getLogger(__name__)

_FASTEST_FPS: Final = 1000
"""A file that claims more has no usable frame rate."""
_QUIET: Final = "-8"
"""FFmpeg writes past the log, in a form of its own; what ends a pass is told without it."""


class VideoSource:
    """Yields every frame of a file as JPEG, at the file's own pace; with SOURCE_LOOP again and again.

    All records carry the file's name as key: one partition keeps the frames in order. A frame that cannot be decoded
    ends the pass, with a warning when frames are missing by the file's own account.
    """

    def __init__(self, settings: ProducerSettings, path: str) -> None:
        """Open the file once, for its frame rate.

        Raises:
            SourceError: there is no such file, or it holds no video that can be read.
        """
        self._path = path
        self._loops = settings.source_loop
        capture = self._open()
        fps = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.interval_s: float | None = 1 / fps if 0 < fps <= _FASTEST_FPS else None

    def __iter__(self) -> Iterator[Item]:
        """Yield one item a frame.

        Raises:
            SourceError: the file is gone, or not one frame of it can be read.
        """
        while True:
            capture = self._open()
            try:
                yield from self._frames(capture)
            finally:
                capture.release()
            if not self._loops:
                return

    def _frames(self, capture: cv2.VideoCapture) -> Iterator[Item]:
        expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while True:
            is_read, image = capture.read()
            if not is_read:
                break
            time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            name = Path(self._path).name
            metadata = {"file": name, "frame": number, "video_time_s": round(time_s, 3)}
            yield Item(key=name.encode(errors="replace"), metadata=metadata, payload=jpeg.encode(image))
            number += 1
        if number == 0:
            raise self._unreadable("not one frame of it can be read")
        if number < expected:
            log.warning("%s ended after %d frames, its header says %d", self._path, number, expected)

    def _open(self) -> cv2.VideoCapture:
        if not Path(self._path).is_file():
            raise self._unreadable("no such file")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
        capture = cv2.VideoCapture(self._path)
        if not capture.isOpened():
            raise self._unreadable("no video in it that OpenCV can read")
        return capture

    def _unreadable(self, why: str) -> SourceError:
        return SourceError(f"SOURCE=video:{self._path}: {why}; write SOURCE=video:PATH with a video file, e.g. MP4")
