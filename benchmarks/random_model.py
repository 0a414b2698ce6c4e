"""A model that was never trained: as fast as one that was."""

import io
from pathlib import Path

import torch

from velox.models import card
from velox.models.architectures import ARCHITECTURES

LABELS = ("red_circle", "red_square", "green_circle", "green_square")


def write(folder: Path, architecture: str) -> None:
    """Write ``model.pth``, ``classes.json`` and ``model.json`` into the folder; always the same weights."""
    torch.manual_seed(0)
    network = ARCHITECTURES[architecture].build(len(LABELS))
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    weights = buffer.getvalue()
    described = card.ModelCard(
        architecture=architecture,
        labels=LABELS,
        input_size=ARCHITECTURES[architecture].input_size,
        version=card.version_of(weights, LABELS),
        starts_from="random",
    )
    card.write(described, weights, model_path=folder / "model.pth", classes_path=folder / "classes.json")
