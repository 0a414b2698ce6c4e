"""A camera that is drawn: a shape that moves about on grey, and what it is."""

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from velox.cameras.picture import Picture, Wait
from velox.cameras.pixels import Pixels
from velox.core.cameras import Camera
from velox.settings.producer import ShapeSettings
from velox.sources import drawing

_DEFAULT_FPS: Final = 5.0
_DEFAULT_SIZE: Final = (640, 360)
_SHOWN_S: Final = 10.0
"""A shape stays so long, then comes the next."""
_SWAY: Final = 0.12
"""Of the image's shorter side: how far a shape moves from the middle."""
_NOISY_ROWS: Final = 8
_REFERENCE_SIDE_PX: Final = 512


class SyntheticView:
    """Draws by the clock and the camera's number: two cameras differ, and both are the same after a restart."""

    def __init__(self, camera: Camera, settings: ShapeSettings, *, clock: Callable[[], float] = time.time) -> None:
        """Draw nothing yet.

        Raises:
            SettingsError: a shape that nothing can draw.
        """
        drawing.check_shapes(settings.shapes)
        self.undecodable = 0
        self._camera = camera
        self._settings = settings
        self._clock = clock
        self._labels = [(color, shape) for color in settings.colors for shape in settings.shapes]
        width, height = (camera.width, camera.height) if camera.width else _DEFAULT_SIZE
        self._width, self._height = width, height
        noise = np.random.default_rng(camera.number)
        self._noise = noise.integers(124, 133, (64, width * 3), np.uint8)

    def pictures(self, wait: Wait) -> Iterator[Picture]:
        """Yield frames at the camera's rate; those for which there was no time are left out, as a camera would."""
        every_s = 1 / (self._camera.fps or _DEFAULT_FPS)
        # Cameras do not all take their pictures at the same moment.
        start = self._clock() + every_s * random.Random(self._camera.id).random()  # noqa: S311 - guards no secret
        number = 0
        while not wait(max(0.0, start + number * every_s - self._clock())):
            now = self._clock()
            yield self.at(now)
            number = max(number + 1, math.ceil((now - start) / every_s - 1))

    def at(self, now: float) -> Picture:
        """Draw what the camera sees at a time, in Unix seconds."""
        turn = int(now / _SHOWN_S) + self._camera.number
        color, shape = self._labels[turn % len(self._labels)]
        side = min(self._width, self._height)
        angle = now * 1.3 + self._camera.number
        image = drawing.draw(
            shape,
            color=self._settings.colors[color],
            height=self._height,
            width=self._width,
            center=(
                self._width / 2 + side * _SWAY * math.cos(angle),
                self._height / 2 + side * _SWAY * math.sin(2 * angle) / 2,
            ),
            size=self._settings.shape_size * side / _REFERENCE_SIDE_PX,
        )
        # A few rows of noise, elsewhere each time: no two frames are the same, as with a camera that works.
        rows = int(now * 1000) % (len(self._noise) - _NOISY_ROWS)
        image[:_NOISY_ROWS] = self._noise[rows : rows + _NOISY_ROWS].reshape(_NOISY_ROWS, self._width, 3)
        return Picture(Pixels.from_bgr(image), media_s=now, label=(color, shape))
