"""Fills a network with weights, also such as other programs have wrapped; nothing but tensors is ever unpickled."""

import io
import logging
from collections.abc import Mapping, Set
from typing import Any, Final

import torch
from torch import nn

from velox.errors import ModelError
from velox.models.architectures import ARCHITECTURES, Architecture

log = logging.getLogger(__name__)

_INSIDE: Final = ("state_dict", "model_state_dict", "model")
"""Under which of its keys a checkpoint keeps the state dict, beside the optimiser's and others."""
_DEEPEST: Final = 3
_COMPILED: Final = "_orig_mod."
"""What torch.compile puts before the names of the module that it wraps, wherever in the network that is."""

State = Mapping[str, torch.Tensor]


def load_network(architecture: Architecture, weights: bytes, *, classes: int, source: object) -> nn.Module:
    """Build the network and fill it with a state dict.

    Args:
        architecture: what the weights are for.
        weights: a state dict as ``torch.save`` writes it; or a checkpoint with one inside, or one whose names all have
            a prefix, as ``DataParallel`` and ``torch.compile`` give them.
        classes: outputs the network must have, one per label.
        source: the file's path, for the error messages.

    Raises:
        ModelError: the file is damaged, holds something else, or fits another network or number of labels.
    """
    given = _read_state(weights, source)
    network = architecture.build(classes)
    expected = network.state_dict()
    state = _unprefixed(given, expected.keys())
    if state is None:
        difference = _difference(given.keys(), expected.keys())
        msg = f"{source}: not the weights of a {architecture.name}, as it {difference}; {_remedy(given)}"
        raise ModelError(msg)
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            msg = (
                f"{source}: {name} has shape {tuple(state[name].shape)}, but a {architecture.name} of {classes} labels "
                f"has {tuple(tensor.shape)}; are the labels in CLASSES_PATH those of this model?"
            )
            raise ModelError(msg)
    network.load_state_dict(state)
    return network


def _read_state(weights: bytes, source: object) -> State:
    try:
        loaded: Any = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged bytes make the unpickler raise nearly anything.
        log.debug("torch.load failed", exc_info=True)
        problem = f"damaged, or no torch state dict ({type(error).__name__}); copy the file here again"
        if "GLOBAL" in str(error):  # what a pickle calls the name of a class or function
            problem = "holds objects besides tensors, and those are never loaded; save the network's state_dict() alone"
        msg = f"{source}: {problem}"
        raise ModelError(msg) from error
    for _ in range(_DEEPEST):
        if _is_state(loaded):
            return dict(loaded)
        if isinstance(loaded, dict):
            loaded = next((loaded[key] for key in _INSIDE if isinstance(loaded.get(key), dict)), loaded)
    msg = f"{source}: holds a {type(loaded).__name__}, not a state dict; save the network's state_dict()"
    raise ModelError(msg)


def _is_state(loaded: object) -> bool:
    return (
        isinstance(loaded, dict)
        and bool(loaded)
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items())
    )


def _unprefixed(given: State, expected: Set[str]) -> State | None:
    """Take from all names what some program has put before them; None when they are not those expected even then."""
    state = {name.replace(_COMPILED, ""): tensor for name, tensor in given.items()}
    first = next(iter(expected))
    for prefix in [name.removesuffix(first) for name in state if name.endswith(first)]:
        names = {name.removeprefix(prefix) for name in state if name.startswith(prefix)}
        if names == expected and len(state) == len(given) == len(names):
            return {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return None


def _difference(given: Set[str], expected: Set[str]) -> str:
    lacking, more = (
        [name for name in one if name not in other] for one, other in ((expected, given), (given, expected))
    )
    return " and ".join([*(f"lacks {name}" for name in lacking[:1]), *(f"has {name}" for name in more[:1])])


def _remedy(given: State) -> str:
    """Say whose weights they are, where that is known."""
    for name, architecture in ARCHITECTURES.items():
        with torch.device("meta"):  # names without numbers
            names = architecture.build(1).state_dict().keys()
        if _unprefixed(given, names) is not None:
            return f"it fits {name}: set MODEL_ARCH={name}"
    return f"a network that is none of {', '.join(ARCHITECTURES)} needs a class of yours: MODEL"
