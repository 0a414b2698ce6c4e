"""Model files without a training: random weights, for tests that ask for no particular answer."""

import io
from collections.abc import Callable

import torch

from velox.models import card
from velox.models.architectures import ARCHITECTURES
from velox.models.card import ModelCard
from velox.settings import Settings

State = dict[str, torch.Tensor]


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
    """Write the three files of an untrained model where the settings say."""
    weights = untrained(architecture, len(settings.labels), change=change)
    made = ModelCard(
        architecture=architecture,
        labels=settings.labels,
        input_size=ARCHITECTURES[architecture].input_size,
        version=card.version_of(weights, settings.labels),
    )
    card.write(made, weights, model_path=settings.model_path, classes_path=settings.classes_path)
    return made
