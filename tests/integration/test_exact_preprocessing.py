"""The exact profile is torchvision's v2 resize and centre crop, bit for bit."""

import resource
from typing import Final

import numpy as np
import pytest
import simplejpeg
import torch
from torchvision.transforms.v2 import functional

from velox.models.preprocessing import Preprocessor, Profile

PROFILES: Final[tuple[Profile, ...]] = ("fast", "exact")


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("shape", [(512, 512), (480, 640), (97, 61), (1, 1), (64, 64), (37, 900), (224, 224)])
def test_exact_equals_torchvision_on_the_decoded_tensor(size: int, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)
    payload = simplejpeg.encode_jpeg(noise, quality=90)
    whole = torch.from_numpy(simplejpeg.decode_jpeg(payload)).permute(2, 0, 1).contiguous()
    expected = functional.resize(whole, [size, size], antialias=True).permute(1, 2, 0).numpy()
    pixels = Preprocessor(size, "exact", 10**7, 10**4)(payload)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(
    "shape", [(512, 512), (480, 640), (97, 61), (1, 1), (64, 64), (60, 900), (256, 256), (333, 500)]
)
def test_exact_with_a_short_side_equals_torchvisions_transform_of_its_weights(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)
    payload = simplejpeg.encode_jpeg(noise, quality=90)
    whole = torch.from_numpy(simplejpeg.decode_jpeg(payload)).permute(2, 0, 1).contiguous()
    expected = functional.center_crop(functional.resize(whole, [256], antialias=True), [224, 224])
    pixels = Preprocessor(224, "exact", 10**7, 10**4, short_side=256)(payload)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels, expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("profile", ["fast", "exact"])
def test_a_strip_one_pixel_high_costs_little_memory(profile: Profile) -> None:
    strip = simplejpeg.encode_jpeg(np.full((1, 16_000, 3), 77, np.uint8), quality=90)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pixels = Preprocessor(224, profile, 10**7, 10**5, short_side=256)(strip)
    assert np.abs(pixels.astype(int) - 77).max() <= 2
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 200_000, "whole, it would be 256 × 4,096,000 pixels"


def test_fast_and_exact_see_the_same_part() -> None:
    ramp = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[None, :, None], (480, 1, 3))
    payload = simplejpeg.encode_jpeg(ramp, quality=95)
    fast, exact = (Preprocessor(224, profile, 10**7, 10**4, short_side=256)(payload) for profile in PROFILES)
    assert np.abs(fast.astype(int) - exact).max() <= 3
