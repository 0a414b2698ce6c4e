"""The networks that can be trained and served, by the name MODEL_ARCH gives them. Describing one takes no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Statistics of the RGB channels in [0, 1] with which torchvision's weights were trained; used for all networks."""
IMAGENET_CLASSES: Final = 1000
"""Outputs of the networks whose weights torchvision publishes."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network: what it is called, what it reads and how it is built."""

    name: str
    input_size: int
    """Side of the square input in pixels."""
    build: Callable[[int], "nn.Module"]
    """Makes an untrained network with that many outputs (logits); input is n × 3 × size × size, normalised."""
    weights: str | None = None
    """Name of torchvision's enumeration of ImageNet weights, where there is one."""


def _mobilenet_v2(classes: int) -> "nn.Module":
    from torchvision.models import mobilenet_v2  # noqa: PLC0415 - an exported network runs without it

    network: nn.Module = mobilenet_v2(num_classes=classes)
    return network


def _squeezenet1_1(classes: int) -> "nn.Module":
    from torchvision.models import squeezenet1_1  # noqa: PLC0415 - as above

    network: nn.Module = squeezenet1_1(num_classes=classes)
    return network


def _tiny_cnn(classes: int) -> "nn.Module":
    """Four convolutions, about 61,000 parameters; the maximum finds a corner wherever it is."""
    from torch import nn  # noqa: PLC0415 - as above

    layers: list[nn.Module] = []
    for before, after, stride in ((3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 64, 1)):
        layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, classes))


ARCHITECTURES: Final[dict[str, Architecture]] = {
    architecture.name: architecture
    for architecture in (
        Architecture("mobilenet_v2", 224, _mobilenet_v2, "MobileNet_V2_Weights"),
        Architecture("squeezenet1_1", 224, _squeezenet1_1, "SqueezeNet1_1_Weights"),
        Architecture("tiny_cnn", 64, _tiny_cnn),
    )
}
