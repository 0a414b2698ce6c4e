"""Runs a network's convolutions through oneDNN as torch's own compiler would, but needs no compiler to do it."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import torch
from torch import nn

_ACTIVATIONS: Final[dict[type[nn.Module], tuple[str, list[float]]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
_NO_ACTIVATION: Final[tuple[str, list[float]]] = ("none", [])


class PackedConvolution(nn.Module):
    """A convolution with its weights laid out for this processor and the activation that follows computed with it."""

    def __init__(self, convolution: nn.Conv2d, activation: tuple[str, list[float]]) -> None:
        super().__init__()
        geometry = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
        # Inductor emits these two operators for compiled graphs; they have no public name.
        pack: Callable[..., torch.Tensor] = torch._C._nn.mkldnn_reorder_conv2d_weight
        self._convolve: Callable[..., Any] = torch.ops.mkldnn._convolution_pointwise
        self._weight = pack(convolution.weight.detach().to_mkldnn(), *geometry)
        self._rest = (convolution.bias, *geometry, *activation, "")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Convolve and activate."""
        result: torch.Tensor = self._convolve(images, self._weight, *self._rest)
        return result


def can_pack() -> bool:
    """Say whether this torch has what is needed."""
    return (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


def pack_convolutions(network: nn.Module) -> None:
    """Replace all convolutions, and the activations that follow them in a sequence; in place, for inference only."""
    for parent in list(network.modules()):
        followed = pairwise([*parent.named_children(), ("", None)])
        for (name, layer), (next_name, following) in list(followed):
            if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
                continue
            is_sequence = isinstance(parent, nn.Sequential)
            activation = _ACTIVATIONS.get(type(following)) if is_sequence and following is not None else None
            setattr(parent, name, PackedConvolution(layer, activation or _NO_ACTIVATION))
            if activation:
                setattr(parent, next_name, nn.Identity())
