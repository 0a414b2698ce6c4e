"""How large an image may be: checked before any memory is allocated for it."""

from typing import NamedTuple

from velox.errors import BadRecordError, Reason


class Limits(NamedTuple):
    """The limits, each the largest that is taken."""

    max_pixels: int
    max_side: int

    def check(self, width: int, height: int) -> None:
        """Refuse what is larger, and what has no pixels.

        Raises:
            BadRecordError: IMAGE_TOO_LARGE or UNDECODABLE.
        """
        if height < 1 or width < 1:
            raise BadRecordError(Reason.UNDECODABLE, f"{width}×{height} pixels: an image has at least one")
        if max(height, width) > self.max_side:
            raise BadRecordError(Reason.IMAGE_TOO_LARGE, f"{width}×{height} pixels: MAX_IMAGE_SIDE={self.max_side}")
        if height * width > self.max_pixels:
            raise BadRecordError(Reason.IMAGE_TOO_LARGE, f"{width}×{height} pixels: MAX_IMAGE_PIXELS={self.max_pixels}")
