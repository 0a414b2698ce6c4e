"""Drawings show what their label says: the shape, the colour, the place."""

import numpy as np
import pytest

from velox.errors import SettingsError
from velox.sources.drawing import SHAPES, Image, check_shapes, draw

RED = (0, 0, 255)
AREAS = {"circle": np.pi * 50**2, "square": 100**2, "triangle": 100**2 / 2}


def drawing(shape: str, center: tuple[float, float] = (120, 80), background: int = 128) -> Image:
    return draw(shape, color=RED, height=200, width=300, center=center, size=50, background=background)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_filled_with_its_colour_on_grey(shape: str) -> None:
    image = drawing(shape)
    assert image.shape == (200, 300, 3)
    assert image.dtype == np.uint8
    assert tuple(image[80, 120]) == RED
    assert tuple(image[0, 0]) == (128, 128, 128)
    assert (image[..., 2] == 255).sum() == pytest.approx(AREAS[shape], rel=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_spans_twice_its_size_around_its_center(shape: str) -> None:
    rows, columns = np.nonzero(drawing(shape)[..., 2] > 192)
    assert (rows.min(), rows.max()) == pytest.approx((30, 130), abs=2)
    assert (columns.min(), columns.max()) == pytest.approx((70, 170), abs=2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_may_reach_over_the_border(shape: str) -> None:
    assert (drawing(shape, center=(0, 0))[..., 2] == 255).any()


def test_shapes_differ_from_each_other() -> None:
    assert len({drawing(shape).tobytes() for shape in SHAPES}) == len(SHAPES)


def test_the_background_can_be_chosen() -> None:
    assert tuple(drawing("circle", background=7)[0, 0]) == (7, 7, 7)


def test_an_unknown_shape_is_one_clear_error_that_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"^SHAPES=circle,star: no shape star; there are circle, square, triangle$"):
        check_shapes(["circle", "star"])
    with pytest.raises(SettingsError, match="no shape star"):
        drawing("star")
