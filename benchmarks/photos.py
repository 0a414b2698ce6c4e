"""Images that cost what photographs cost: with fine structure everywhere, a JPEG is twelve times that of a shape."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from velox.sources import jpeg

FOLDER: Final = "any_photo"
"""A folder of this form makes the producer label its images, ``color_shape``, as both designs expect."""
_SIDE_PX: Final = 512
_SEED: Final = 6
_ROUGHNESS: Final = 1.35
"""Amplitudes of natural images fall about like 1 / frequency; somewhat steeper leaves room for edges and grain."""
_GRAIN: Final = 9.3

Pixels = npt.NDArray[np.uint8]


def write(folder: Path, *, count: int) -> str:
    """Write so many different photo-like JPEGs of about 116 KB, always the same; answer the SOURCE that reads them."""
    labelled = folder / FOLDER
    labelled.mkdir(parents=True)
    for number in range(count):
        (labelled / f"{number:03}.jpg").write_bytes(jpeg.encode(picture(number)))
    return f"folder:{folder}"


def picture(number: int) -> Pixels:
    """Make one of these images: 512 × 512 × 3, BGR. Light from one side, texture at all scales, edges, grain."""
    random = np.random.default_rng([_SEED, number])
    rows, columns = np.mgrid[0:_SIDE_PX, 0:_SIDE_PX] / _SIDE_PX
    across, along = random.uniform(-60, 60, (2, 1, 1, 3))
    light = 128 + across * (columns[..., None] - 0.5) + along * (rows[..., None] - 0.5)
    texture = _texture(random)[..., None] * random.uniform(32, 44) + _texture(random)[..., None] * random.normal(
        0, 10, 3
    )
    image = np.clip(light + texture, 0, 255).astype(np.uint8)
    for _ in range(12):
        corners = (random.uniform(0, 1, 2) + random.uniform(-0.2, 0.2, (5, 2))) * _SIDE_PX
        overlay = image.copy()
        cv2.fillPoly(overlay, [corners.astype(np.int32)], random.uniform(0, 255, 3).tolist(), cv2.LINE_AA)
        image = cv2.addWeighted(image, 0.5, overlay, 0.5, 0).astype(np.uint8, copy=False)
    grain = random.normal(0, _GRAIN, (_SIDE_PX, _SIDE_PX, 1))
    grainy: Pixels = np.clip(image + grain, 0, 255).astype(np.uint8)
    return grainy


def _texture(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Make noise whose amplitude falls with frequency; mean 0, standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(_SIDE_PX)[:, None], np.fft.rfftfreq(_SIDE_PX)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(_SIDE_PX, _SIDE_PX))) / frequency**_ROUGHNESS
    noise = np.fft.irfft2(spectrum, s=(_SIDE_PX, _SIDE_PX))
    texture: npt.NDArray[np.float64] = noise / noise.std()
    return texture
