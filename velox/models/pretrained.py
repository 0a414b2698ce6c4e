"""ImageNet weights to start a training from, when they can be had without waiting long."""

import logging

from torch import nn

from velox.errors import ModelError
from velox.models import published
from velox.models.architectures import IMAGENET_CLASSES, Architecture
from velox.models.backends.weights import load_network

log = logging.getLogger(__name__)


def start_from_imagenet(network: nn.Module, architecture: Architecture) -> bool:
    """Fill all of ``network`` but its classifier with ImageNet weights; say whether that worked.

    Takes seconds at most when the weights are neither on this machine nor reachable, and two minutes on a slow line.
    """
    if architecture.weights is None:
        return False
    try:
        content = published.weights_of(architecture)
        trained = load_network(architecture, content, classes=IMAGENET_CLASSES, source="ImageNet weights")
    except ModelError as error:
        log.info("No ImageNet weights (%s)", error)
        return False
    state = trained.state_dict()
    network.load_state_dict(
        {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}, strict=False
    )
    return True
