"""Models without a training: random weights, for tests that ask for no particular answer."""

import hashlib
import io
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from velox.models import card
from velox.models.architectures import ARCHITECTURES, IMAGENET_MEAN, IMAGENET_STD
from velox.models.backends.weights import load_network
from velox.models.card import ModelCard
from velox.models.export import to_onnx
from velox.settings import Settings

Batch = npt.NDArray[np.uint8]
State = dict[str, torch.Tensor]
_EXPORTS: dict[tuple[str, str], bytes] = {}


def untrained(architecture: str, classes: int, *, change: Callable[[State], None] = lambda _state: None) -> bytes:
    """The state dict of an untrained network as `torch.save` writes it, after `change`."""
    torch.manual_seed(1)
    state: State = ARCHITECTURES[architecture].build(classes).state_dict()
    change(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def save_untrained(
    architecture: str, settings: Settings, *, change: Callable[[State], None] = lambda _state: None
) -> ModelCard:
    """Write the files of an untrained model, all but the export, where the settings say."""
    weights = untrained(architecture, len(settings.labels), change=change)
    made = ModelCard(
        architecture=architecture,
        labels=settings.labels,
        input_size=ARCHITECTURES[architecture].input_size,
        version=card.version_of(weights, settings.labels),
    )
    card.write(made, weights, model_path=settings.model_path, classes_path=settings.classes_path)
    return made


def save_exported(
    architecture: str, settings: Settings, *, change: Callable[[State], None] = lambda _state: None
) -> ModelCard:
    """Write all the files of an untrained model, the export too."""
    made = save_untrained(architecture, settings, change=change)
    card.write_export(exported(settings.model_path.read_bytes(), architecture, made.labels), settings.model_path)
    return made


@cache
def exported(weights: bytes, architecture: str, labels: tuple[str, ...]) -> bytes:
    """The export of these weights; made once, since it takes seconds."""
    network = load_network(ARCHITECTURES[architecture], weights, classes=len(labels), source="weights")
    return to_onnx(network, ARCHITECTURES[architecture], card.version_of(weights, labels))


def export_of(network: nn.Module, architecture: str) -> bytes:
    """The export of a network, as version 1; of equal ones it is made once, since it takes seconds."""
    state = io.BytesIO()
    torch.save(network.state_dict(), state)
    key = (architecture, hashlib.sha256(state.getvalue()).hexdigest())
    if key not in _EXPORTS:
        _EXPORTS[key] = to_onnx(network, ARCHITECTURES[architecture], "1")
    return _EXPORTS[key]


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
