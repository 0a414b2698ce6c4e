"""The backend's shortcuts change the speed, not the answers."""

import copy

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from velox.models.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD
from velox.models.backends import torch_backend
from velox.models.backends.onednn import PackedConvolution, can_pack
from velox.models.backends.torch_backend import TorchBackend

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Batch = npt.NDArray[np.uint8]


def some_images(count: int, size: int) -> Batch:
    """Noise, each image of another brightness and tint."""
    rng = np.random.default_rng(4)
    tints = rng.integers(20, 256, (count, 1, 1, 3))
    return (rng.random((count, size, size, 3)) * tints).astype(np.uint8)


def lively(name: str) -> nn.Module:
    """An untrained network whose normalisations have seen images, so that its outputs depend on its input."""
    torch.manual_seed(3)
    network = ARCHITECTURES[name].build(4)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias, 0, 0.1)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.1)
    straightforward(network.train(), some_images(8, ARCHITECTURES[name].input_size))
    return network.eval()


def straightforward(network: nn.Module, batch: Batch) -> torch.Tensor:
    images = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        logits: torch.Tensor = network((images - mean) / std)
    return logits.softmax(1)


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
