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
from velox.models.backends import selection
from velox.models.backends.torch_backend import normalisation
from velox.models.export import to_onnx
from velox.models.held_out import HeldOut
from velox.models.measuring import Measurement
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
    made = card.ModelCard(
        architecture=architecture,
        labels=labels,
        input_size=ARCHITECTURES[architecture].input_size,
        version=card.version_of(weights, labels),
        starts_from="random",
    )
    settings = Settings.model_construct(model_path=folder / "model.pth", classes_path=folder / "classes.json")
    export = to_onnx(network, ARCHITECTURES[architecture], made.version)
    card.write(made, weights, export=export, model_path=settings.model_path, classes_path=settings.classes_path)
    _measure(card.ModelFiles(weights, labels, made.version, made), made, settings)


def _measure(files: card.ModelFiles, made: card.ModelCard, settings: Settings) -> None:
    """Measure what the default settings may choose; anything else is measured at its first start."""
    architecture = ARCHITECTURES[made.architecture]
    choice, _ = selection.choose(settings, "cpu")
    runner = selection.runner(choice, settings, files, architecture)
    Measurement(settings, made, HeldOut(settings, architecture)).of_missing(runner)


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
