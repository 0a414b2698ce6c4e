"""From an image file's bytes to the model's input: the same code for training and for serving.

The rules, whatever the file: 8-bit RGB of the input's size comes out, turned upright (IMAGE_ORIENTATION). The whole
image is squeezed into the square; or, with ``short_side``, its middle is cut out and keeps its proportions. What each
format adds to that, the modules in ``velox.images`` say.
"""

from dataclasses import dataclass
from typing import Final, Literal, Self

import cv2
import numpy as np

from velox.images.decoding import Orientation, decode
from velox.images.limits import Limits
from velox.images.pixels import Pixels
from velox.models.remarks import remark
from velox.settings import InferenceSettings

Profile = Literal["fast", "exact"]

_MANY_TO_ONE: Final = 2
"""From this reduction on, linear interpolation would skip source pixels: average them instead."""
_MOST_OBLONG: Final = 16
"""Of an image so many times longer than wide, only the middle is resized: a strip one pixel high would fill memory."""


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Decodes and resizes images to ``size`` × ``size``; refuses too large ones before it allocates for them.

    ``fast`` decodes JPEG at a reduced scale in the DCT, then interpolates. ``exact`` decodes whole and resizes with
    antialiasing: bit for bit what torchvision's v2 transforms give for the decoded uint8 tensor (``Resize`` and, with
    ``short_side``, ``CenterCrop``), unless that is more than 16 times longer than wide.
    """

    size: int
    profile: Profile
    max_pixels: int
    max_side: int
    orientation: Orientation = "exif"
    short_side: int = 0
    """What the shorter side is resized to before the middle is cut out, ``size`` or more; 0 = the whole is squeezed."""

    @classmethod
    def of(cls, settings: InferenceSettings, size: int, *, short_side: int = 0) -> Self:
        """Preprocess as the settings say."""
        return cls(
            size,
            settings.preprocessing,
            settings.max_image_pixels,
            settings.max_image_side,
            settings.image_orientation,
            short_side,
        )

    def __call__(self, payload: bytes) -> Pixels:
        """Turn an image file into ``size`` × ``size`` × 3 RGB, uint8, C-contiguous.

        Raises:
            BadRecordError: EMPTY, NOT_AN_IMAGE, IMAGE_TOO_LARGE or UNDECODABLE. A truncated file is undecodable; one
                that is odd but whole is decoded, with a remark; what is damaged and still decodes is not noticed.
        """
        image, odd, _ = decode(
            payload,
            Limits(self.max_pixels, self.max_side),
            orientation=self.orientation,
            reduce_to=(self.short_side or self.size) if self.profile == "fast" else 0,
        )
        if odd:
            remark(odd)
        return self._resize(image)

    def _resize(self, image: Pixels) -> Pixels:
        if self.profile == "exact":
            return _resize_exactly(image, self.size, self.short_side)
        if self.short_side:
            side = round(min(image.shape[:2]) * self.size / self.short_side)
            image = _middle(image, side, side)
        height, width = image.shape[:2]
        if height == width == self.size:
            return image
        reduces = max(height, width) > _MANY_TO_ONE * self.size
        interpolation = cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
        return cv2.resize(image, (self.size, self.size), interpolation=interpolation).astype(np.uint8, copy=False)


def _resize_exactly(image: Pixels, size: int, short_side: int) -> Pixels:
    import torch  # noqa: PLC0415 - seconds to import, and only this profile needs it
    from torchvision.transforms.v2 import functional  # noqa: PLC0415 - as above

    if short_side:
        longest = _MOST_OBLONG * min(image.shape[:2])
        image = _middle(image, longest, longest)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    resized = functional.resize(tensor, [short_side] if short_side else [size, size], antialias=True)
    cut = functional.center_crop(resized, [size, size]) if short_side else resized
    pixels: Pixels = cut.permute(1, 2, 0).contiguous().numpy()
    return pixels


def _middle(image: Pixels, height: int, width: int) -> Pixels:
    """Cut the middle out, no more than there is and one pixel at least."""
    height, width = (min(max(wanted, 1), there) for wanted, there in zip((height, width), image.shape, strict=False))
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])
