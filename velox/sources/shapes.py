"""Synthetic images: one filled shape in the middle of a grey picture, for ever."""

import random
from collections.abc import Iterator
from typing import Final

from velox.errors import SettingsError
from velox.settings.producer import ShapeSettings
from velox.sources import drawing, jpeg
from velox.sources.source import Item

REFERENCE_SIDE_PX: Final = 512
"""SHAPE_SIZE is in pixels of an image of this side; other images scale it by their shorter side."""


class ShapesSource:
    """Yields every label equally often: rounds of all labels, each round in a new random order.

    All images of a label are the same pixels, hence the same JPEG bytes: each label is drawn and encoded once, and what
    differs between its records is their metadata and id. Whoever measures Velox with this source measures with as many
    different images as there are labels, and no drawing.
    """

    interval_s: float | None = None

    def __init__(self, settings: ShapeSettings, path: str = "") -> None:
        """Draw by the settings; ``path`` must be empty.

        Raises:
            SettingsError: a shape that nothing can draw, or a path.
        """
        if path:
            msg = f"SOURCE=shapes:{path}: shapes are drawn, not read; write SOURCE=shapes"
            raise SettingsError(msg)
        drawing.check_shapes(settings.shapes)
        self._items = [_item(settings, color, shape) for color in settings.colors for shape in settings.shapes]

    def __iter__(self) -> Iterator[Item]:
        """Yield items without end."""
        order = random.Random()  # noqa: S311 - mixes labels, guards no secret
        while True:
            yield from order.sample(self._items, len(self._items))


def _item(settings: ShapeSettings, color: str, shape: str) -> Item:
    height, width = settings.img_height, settings.img_width
    image = drawing.draw(
        shape,
        color=settings.colors[color],
        height=height,
        width=width,
        center=(width / 2, height / 2),
        size=settings.shape_size * min(height, width) / REFERENCE_SIDE_PX,
    )
    return Item(key=None, metadata={"shape_label": shape, "color_label": color}, payload=jpeg.encode(image))
