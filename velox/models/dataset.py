"""The images a model learns from and is judged by: drawn shapes with known labels, as JPEG files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from velox.models.preprocessing import Preprocessor
from velox.settings import InferenceSettings
from velox.sources import jpeg
from velox.sources.drawing import Bgr, draw
from velox.sources.shapes import REFERENCE_SIDE_PX

PLAIN_SHARE: Final = 0.25
"""This part of the images is drawn exactly as the producer draws; the others vary."""
_BACKGROUNDS: Final = (40, 216)
_SIZES: Final = (0.4, 1.3)
_MAX_NOISE: Final = 25.0
_MAX_TINT: Final = 20
_QUALITIES: Final = (60, 96)
_TEXTURES: Final = (15.0, 45.0)
_PLACES: Final = 256
"""Noise starts at this many different rows and columns of its field."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """JPEG files and, for each, the index of its label in the settings' ``labels``."""

    jpegs: Sequence[bytes]
    targets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.jpegs)

    def batch(
        self, indices: npt.NDArray[np.int64], preprocess: Preprocessor
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Decode some images and stack them; answer n × size × size × 3 RGB and the n targets.

        Images stay encoded until their batch comes, so that memory does not grow with pixels.
        """
        return np.stack([preprocess(self.jpegs[index]) for index in indices]), self.targets[indices]


def make(
    settings: InferenceSettings,
    *,
    per_label: int,
    seed: Sequence[int],
    plain_share: float = PLAIN_SHARE,
    is_photo_like: bool = False,
) -> Dataset:
    """Draw a balanced set: ``per_label`` images of every label, label after label.

    The same arguments give the same images, whatever the number of threads. Photo-like images have light and colour
    of all scales over them, as photos do, in the place of noise.
    """
    artist = _Artist(settings, np.random.default_rng(seed), is_photo_like=is_photo_like)
    classes = [(color, shape) for color in settings.colors.values() for shape in settings.shapes]

    def one(index: int) -> bytes:
        color, shape = classes[index // per_label]
        is_plain = index % per_label < per_label * plain_share
        return (
            artist.plain(shape, color)
            if is_plain
            else artist.varied(shape, color, np.random.default_rng([*seed, index]))
        )

    with ThreadPoolExecutor(thread_name_prefix="draw") as pool:
        jpegs = list(pool.map(one, range(per_label * len(classes))))
    return Dataset(jpegs, np.repeat(np.arange(len(classes), dtype=np.int64), per_label))


class _Artist:
    """Draws one image at a time; used by several threads."""

    def __init__(self, settings: InferenceSettings, rng: np.random.Generator, *, is_photo_like: bool) -> None:
        self._height, self._width = settings.img_height, settings.img_width
        scale = min(self._height, self._width) / REFERENCE_SIDE_PX
        self._center = (
            settings.center * self._width / REFERENCE_SIDE_PX,
            settings.center * self._height / REFERENCE_SIDE_PX,
        )
        self._size = settings.shape_size * scale
        # Random numbers for every pixel of every image would take longer than all the rest: cut them from one field.
        extent = (self._height + _PLACES, self._width + _PLACES)
        self._noise = _texture(rng, *extent) if is_photo_like else rng.standard_normal((*extent, 3), np.float32)
        self._amplitudes = _TEXTURES if is_photo_like else (0, _MAX_NOISE)

    def plain(self, shape: str, color: Bgr) -> bytes:
        """Draw as the producer does."""
        image = draw(shape, color=color, height=self._height, width=self._width, center=self._center, size=self._size)
        return jpeg.encode(image)

    def varied(self, shape: str, color: Bgr, rng: np.random.Generator) -> bytes:
        """Vary position, size, background, tint, noise and compression."""
        tint = rng.integers(-_MAX_TINT, _MAX_TINT, 3, endpoint=True)
        blue, green, red = (int(value) for value in np.clip(np.add(color, tint), 0, 255))
        size = self._size * rng.uniform(*_SIZES)
        image: cv2.typing.MatLike = draw(
            shape,
            color=(blue, green, red),
            height=self._height,
            width=self._width,
            center=(self._place(self._width, size, rng), self._place(self._height, size, rng)),
            size=size,
            background=int(rng.integers(*_BACKGROUNDS)),
        )
        top, left = rng.integers(_PLACES, size=2)
        noise = self._noise[top : top + self._height, left : left + self._width]
        image = cv2.addWeighted(image, 1, noise, rng.uniform(*self._amplitudes), 0, dtype=cv2.CV_8U)
        return jpeg.encode(image, quality=int(rng.integers(*_QUALITIES)))

    @staticmethod
    def _place(extent: int, size: float, rng: np.random.Generator) -> float:
        """Put the middle where the whole shape is in the image, or in the image's middle if it is too large."""
        return float(rng.uniform(size, extent - size)) if 2 * size < extent else extent / 2


def _texture(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Add up random fields of all scales, the coarse ones strongest, to a standard deviation of 1."""
    field = np.zeros((height, width, 3), np.float32)
    cells = 2
    while cells < min(height, width):
        coarse = rng.standard_normal((cells, cells, 3), np.float32) / cells**0.7
        field += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cells *= 2
    textured: npt.NDArray[np.float32] = field / field.std()
    return textured
