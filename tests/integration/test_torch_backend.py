"""The backend's shortcuts change the speed, not the answers."""

import copy

import numpy as np
import pytest
from torch import nn

from tests.models import lively, some_images, straightforward
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import torch_backend
from velox.models.backends.onednn import PackedConvolution, can_pack
from velox.models.backends.torch_backend import TorchBackend

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "eager"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_probabilities_equal_those_of_the_plain_network(
    name: str, count: int, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packs:
        monkeypatch.setattr(torch_backend, "can_pack", lambda: False)
    elif not can_pack():
        pytest.skip("this torch cannot pack convolutions")
    network, size = lively(name), ARCHITECTURES[name].input_size
    batch = some_images(count, size)
    expected = straightforward(network, batch)
    backend = TorchBackend(copy.deepcopy(network), "cpu")
    probabilities = backend(batch)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.allclose(probabilities, expected, atol=1e-5)
    assert not np.allclose(probabilities, backend(np.zeros_like(batch)), atol=1e-3), (
        "the answer must depend on the image"
    )


@pytest.mark.parametrize(("name", "convolutions"), [("mobilenet_v2", 52), ("squeezenet1_1", 26), ("tiny_cnn", 4)])
def test_every_convolution_is_packed_where_torch_can(name: str, convolutions: int) -> None:
    if not can_pack():
        pytest.skip("this torch cannot pack convolutions")
    network = lively(name)
    TorchBackend(network, "cpu")
    layers = list(network.modules())
    assert sum(isinstance(layer, PackedConvolution) for layer in layers) == convolutions
    assert not any(isinstance(layer, nn.Conv2d | nn.BatchNorm2d) for layer in layers)
