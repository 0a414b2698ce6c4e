"""The exact profile is torchvision's v2 resize, bit for bit."""

import numpy as np
import pytest
import simplejpeg
import torch
from torchvision.transforms.v2 import functional

from velox.models.preprocessing import Preprocessor


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
