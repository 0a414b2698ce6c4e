"""Cameras of the network, of this machine, and files: the only module that knows FFmpeg, by PyAV."""

import logging
import time
from collections.abc import Iterator
from typing import Any, Final

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from velox.cameras.picture import Picture, Wait
from velox.cameras.pixels import Pixels
from velox.core.cameras import Camera, masked
from velox.errors import SourceError

log = logging.getLogger(__name__)

_OPEN_S: Final = 10.0
_READ_S: Final = 5.0
"""A camera that sends nothing for so long is gone."""
_LOW_DELAY: Final = {
    "rtsp_transport": "tcp",
    "fflags": "nobuffer",
    "flags": "low_delay",
    "analyzeduration": "200000",
    "probesize": "32768",
    "timeout": str(int(_READ_S * 1e6)),
}
_PLANAR: Final = {"yuv420p", "yuvj420p"}
_FULL_RANGE: Final = 2
"""FFmpeg's AVCOL_RANGE_JPEG."""
_DEFAULT_FPS: Final = 25.0
_BEHIND_S: Final = 1.0


class StreamView:
    """RTSP, HTTP, a USB camera, or a file again and again at its pace. One thread uses it."""

    def __init__(self, camera: Camera) -> None:
        """Open nothing yet."""
        self.undecodable = 0
        self._camera = camera
        self._is_file = camera.url.startswith("file:")
        self._skips = not self._is_file and not camera.policy.keeps_all

    def pictures(self, wait: Wait) -> Iterator[Picture]:
        """Yield frames as they come; of a file, at its pace, or that of ``fps``."""
        while not wait(0):
            shown = 0
            for picture in self._once(wait):
                shown += 1
                yield picture
            if not self._is_file:
                msg = f"{self._camera.shown_url}: the stream has ended"
                raise SourceError(msg)
            if not shown:
                msg = f"{self._camera.shown_url}: not one frame of it can be read"
                raise SourceError(msg)

    def _once(self, wait: Wait) -> Iterator[Picture]:
        try:
            with self._opened() as container:
                stream = container.streams.video[0]
                stream.thread_type = "NONE"
                stream.codec_context.thread_count = 1  # cameras are many: they are what runs side by side
                pace = _Pace(self._camera.fps or float(stream.average_rate or _DEFAULT_FPS)) if self._is_file else None
                for frame in self._frames(container, stream):
                    if pace and wait(pace.due_in_s()):
                        return
                    yield self._picture(frame)
                    if wait(0):
                        return
        except (FFmpegError, OSError, ValueError, IndexError) as error:
            msg = f"{self._camera.shown_url}: {_why(error)}"
            raise SourceError(msg) from error

    def _opened(self) -> Any:  # noqa: ANN401 - an input container, whose class PyAV does not export
        kind, _, rest = self._camera.url.partition(":")
        if kind == "usb":
            device = f"/dev/video{rest}" if rest.isdecimal() else rest
            return av.open(device, format="v4l2", timeout=(_OPEN_S, _READ_S))
        if kind == "file":
            return av.open(rest.removeprefix("//") if rest.startswith("///") else rest, timeout=(_OPEN_S, _READ_S))
        options = dict(_LOW_DELAY) if kind.startswith("rtsp") else {"timeout": _LOW_DELAY["timeout"]}
        return av.open(self._camera.url, options=options, timeout=(_OPEN_S, _READ_S))

    def _frames(self, container: Any, stream: Any) -> Iterator[VideoFrame]:  # noqa: ANN401 - PyAV's own
        """Decode; after garbage, skip to the next frame that needs no other."""
        is_whole = True
        catching_up = _CatchingUp() if self._skips else None
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.undecodable += 1
                is_whole = False
                continue
            for frame in frames:
                if catching_up and frame.time is not None:
                    stream.codec_context.skip_frame = catching_up.skip(frame.time)
                is_whole = not frame.is_corrupt and (is_whole or frame.key_frame)
                if is_whole:
                    yield frame
                else:
                    self.undecodable += 1

    def _picture(self, frame: VideoFrame) -> Picture:
        width, height = self._camera.width or frame.width, self._camera.height or frame.height
        if frame.format.name not in _PLANAR or (frame.width, frame.height) != (width, height):
            frame = frame.reformat(width=width & ~1, height=height & ~1, format="yuv420p")
        is_full_range = frame.format.name == "yuvj420p" or int(frame.color_range or 0) == _FULL_RANGE
        y, u, v = (_plane(plane, frame, half=number > 0) for number, plane in enumerate(frame.planes))
        return Picture(Pixels(y, u, v, is_full_range=is_full_range), media_s=frame.time)


class _CatchingUp:
    """Whether to leap to the next frame that needs no others, as the stream has fallen behind its own clock.

    It is where there are more cameras than the processor can decode: a late frame is worth less than a rare one.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._is_behind = False

    def skip(self, media_s: float) -> str:
        """Say what the decoder is to skip, after a frame of this time."""
        offset = time.monotonic() - media_s
        # After a leap the count begins anew: what is late then is the stream, and no leap makes it sooner.
        self._least = offset if self._least is None or self._is_behind else min(self._least, offset)
        self._is_behind = offset - self._least > _BEHIND_S
        return "NONKEY" if self._is_behind else "DEFAULT"


class _Pace:
    """When the next frame of a file is due."""

    def __init__(self, fps: float) -> None:
        self._every_s = 1 / fps
        self._next = time.monotonic()

    def due_in_s(self) -> float:
        now = time.monotonic()
        wait_s = max(0.0, self._next - now)
        self._next = max(self._next, now - self._every_s) + self._every_s
        return wait_s


def _plane(plane: Any, frame: VideoFrame, *, half: bool) -> Any:  # noqa: ANN401 - PyAV's plane; an array of H × W
    height, width = (frame.height, frame.width) if not half else ((frame.height + 1) // 2, (frame.width + 1) // 2)
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]


def _why(error: Exception) -> str:
    """Say what went wrong in one line, without what the address may hold."""
    if isinstance(error, IndexError):
        return "there is no video in it"
    return masked(str(error).partition("\n")[0])
