"""A real RTSP server of many cameras: GStreamer's, as the distribution has it."""

import subprocess
from pathlib import Path
from typing import ClassVar

import av
import cv2
import numpy as np

from tests.servers.process import LocalServer, ServerError

_PYTHON = "/usr/bin/python3"
_INSTALL = (
    "apt-get install -y --no-install-recommends "
    "gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-bad python3-gi"
)
_NEEDED = 'import gi; gi.require_version("GstRtspServer", "1.0"); from gi.repository import GstRtspServer'
_MAIN = Path(__file__).with_name("rtsp_main.py")


class RtspServer(LocalServer):
    """Cameras at ``url(1)`` to ``url(count)``, from two clips. Raises `ServerError` where it is not installed."""

    name: ClassVar[str] = "rtsp"

    def __init__(self, count: int, *, fps: int = 5, size: tuple[int, int] = (640, 360)) -> None:
        super().__init__()
        self._count = count
        self._fps = fps
        self._clips = [self.folder / f"clip-{number}.h264" for number in range(2)]
        for number, path in enumerate(self._clips):
            record(path, size=size, fps=fps, seed=number)

    def url(self, number: int) -> str:
        """The address of one camera."""
        return f"rtsp://127.0.0.1:{self.port}/camera_{number}"

    def command(self) -> list[str]:
        """The server, if what it needs is there."""
        if subprocess.run([_PYTHON, "-c", _NEEDED], capture_output=True, check=False).returncode:
            raise ServerError(f"GStreamer's RTSP server is not installed: {_INSTALL}")
        return [_PYTHON, str(_MAIN), str(self.port), str(self._count), str(self._fps), *map(str, self._clips)]

    def is_ready(self) -> bool:
        """It listens only when its cameras are there."""
        return True


def record(path: Path, *, size: tuple[int, int], fps: int, seed: int, seconds: int = 10) -> None:
    """Write a clip: a street of noise, and a red circle that goes along it; a key frame every two seconds."""
    width, height = size
    street = np.random.default_rng(seed).integers(90, 160, (height // 8, width // 8, 3), np.uint8)
    street = np.asarray(cv2.resize(street, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    with av.open(path, "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "bf": "0", "g": str(2 * fps)}
        frames = seconds * fps
        for number in range(frames):
            image = street.copy()
            center = (round(width * (0.2 + 0.6 * number / frames)), height // 2)
            cv2.circle(image, center, height // 4, (0, 0, 255), cv2.FILLED, cv2.LINE_AA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
