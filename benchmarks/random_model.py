"""A model that was never trained: as fast as one that was."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from velox.models import card, dataset
from velox.models.architectures import ARCHITECTURES
from velox.models.backends.torch_backend import normalisation
from velox.models.export import to_onnx
from velox.models.measuring import measure
from velox.models.preprocessing import Preprocessor
from velox.settings import Settings

_SEED: Final = 0
_SEEN_PER_LABEL: Final = 8


def write(folder: Path, architecture: str) -> None:
    """Write a model's files into the folder; always the same weights."""
    # Not what the user has set: benchmarks measure the defaults.
    labels = Settings.model_construct().labels
    torch.manual_seed(_SEED)
    network = ARCHITECTURES[architecture].build(len(labels))
    _calibrate(network, ARCHITECTURES[architecture].input_size)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    weights = buffer.getvalue()
    described = card.ModelCard(
        architecture=architecture,
        labels=labels,
        input_size=ARCHITECTURES[architecture].input_size,
        version=card.version_of(weights, labels),
        starts_from="random",
    )
    export = to_onnx(network, ARCHITECTURES[architecture], described.version)
    measured = measure(network, ARCHITECTURES[architecture], export, described.version, Settings.model_construct())
    described = replace(described, precisions=measured.precisions, profiles=measured.profiles)
    paths = {"model_path": folder / "model.pth", "classes_path": folder / "classes.json"}
    card.write(described, weights, export=export, quantised=measured.quantised, **paths)


def _calibrate(network: nn.Module, size: int) -> None:
    """Let the batch normalisations see some images: without, the activations fade to nothing, layer by layer."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean of all that is seen
    settings = Settings.model_construct()
    preprocess = replace(Preprocessor.of(settings, size), profile="fast")
    images = dataset.make(settings, per_label=_SEEN_PER_LABEL, seed=[_SEED])
    pixels, _ = images.batch(np.arange(len(images)), preprocess)
    scale, shift = normalisation(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        network.train()(torch.from_numpy(pixels).permute(0, 3, 1, 2) * scale + shift)
