"""From an image file's bytes to the model's input: the same code for training and for serving.

The rules, whatever the file: 8-bit RGB of the input's size comes out, turned upright (IMAGE_ORIENTATION); the aspect
ratio is not kept. What each format adds to that, the modules in ``velox.images`` say.
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


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Decodes and resizes images to ``size`` × ``size``; refuses too large ones before it allocates for them.

    ``fast`` decodes JPEG at a reduced scale in the DCT, then interpolates. ``exact`` decodes whole and resizes with
    antialiasing: bit for bit what torchvision's v2 transforms give for the decoded uint8 tensor.
    """

    size: int
    profile: Profile
    max_pixels: int
    max_side: int
    orientation: Orientation = "exif"

    @classmethod
    def of(cls, settings: InferenceSettings, size: int) -> Self:
        """Preprocess as the settings say."""
        return cls(
            size,
            settings.preprocessing,
            settings.max_image_pixels,
            settings.max_image_side,
            settings.image_orientation,
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
            reduce_to=self.size if self.profile == "fast" else 0,
        )
        if odd:
            remark(odd)
        return self._resize(image)

    def _resize(self, image: Pixels) -> Pixels:
        if self.profile == "exact":
            return _resize_exactly(image, self.size)
        height, width = image.shape[:2]
        if height == width == self.size:
            return image
        reduces = max(height, width) > _MANY_TO_ONE * self.size
        interpolation = cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
        return cv2.resize(image, (self.size, self.size), interpolation=interpolation).astype(np.uint8, copy=False)


def _resize_exactly(image: Pixels, size: int) -> Pixels:
    import torch  # noqa: PLC0415 - seconds to import, and only this profile needs it
    from torchvision.transforms.v2 import functional  # noqa: PLC0415 - as above

    tensor = torch.from_numpy(image).permute(2, 0, 1)
    resized: Pixels = functional.resize(tensor, [size, size], antialias=True).permute(1, 2, 0).contiguous().numpy()
    return resized
