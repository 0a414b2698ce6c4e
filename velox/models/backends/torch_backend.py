"""Runs a network with plain torch: no compiler needed, on the CPU and on CUDA."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from velox.models.architectures import IMAGENET_MEAN, IMAGENET_STD
from velox.models.backends.backend import Images, Probabilities, UnsupportedPrecisionError
from velox.models.backends.onednn import can_pack, pack_convolutions
from velox.models.backends.parts import Parts, Trusted, graph_parts


class TorchBackend:
    """A network with batch normalisation folded into its convolutions."""

    def __init__(
        self, network: nn.Module, device: str, precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    ) -> None:
        """Take over ``network``, which is changed, and move it to ``device``.

        ``auto`` is half precision on CUDA and float32 on the CPU.

        Raises:
            UnsupportedPrecisionError: int8, or bf16 on a processor that lacks it.
        """
        if device == "cpu" and not self.can_compute(precision):
            raise UnsupportedPrecisionError("PRECISION=bf16: this processor cannot compute with it: take fp32")
        if precision == "int8":
            raise UnsupportedPrecisionError("PRECISION=int8: torch cannot run it here: set fp32, bf16 or auto")
        self._device = torch.device(device)
        is_cpu = self._device.type == "cpu"
        automatic = torch.float32 if is_cpu else torch.float16
        self._dtype = {"auto": automatic, "fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        fold_batch_norm(network.eval())
        self._network = network.to(self._device, self._dtype).to(memory_format=torch.channels_last)
        if is_cpu and can_pack():
            pack_convolutions(self._network)
        # Eight bits of precision would be lost on the pixels alone. On CUDA they are halved first: half the traffic.
        self._pixel_dtype = torch.float32 if is_cpu else self._dtype
        self._scale, self._shift = normalisation(self._device, self._pixel_dtype)
        self._answer: Callable[[Images], Probabilities] = self._at_once
        if not is_cpu:
            if self._device.index is not None:
                torch.cuda.set_device(self._device)
            self._answer = Trusted(self._at_once, Parts(self._probabilities, graph_parts(self._device)))

    @staticmethod
    def can_compute(precision: Literal["auto", "fp32", "bf16", "int8"]) -> bool:
        """Say whether this processor can compute in ``precision``."""
        return precision != "bf16" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    @torch.inference_mode()
    def __call__(self, images: Images) -> Probabilities:
        """Return n × classes probabilities; pixels cross to the device as bytes and are normalised there."""
        return self._answer(images)

    def _at_once(self, images: Images) -> Probabilities:
        batch = torch.from_numpy(np.stack([*images])).to(self._device)
        probabilities: Probabilities = self._probabilities(batch).cpu().numpy()
        return probabilities

    def _probabilities(self, batch: torch.Tensor) -> torch.Tensor:
        pixels = batch.permute(0, 3, 1, 2).to(self._pixel_dtype)
        normalised = torch.addcmul(self._shift, pixels, self._scale)
        logits: torch.Tensor = self._network(normalised.to(self._dtype))
        return logits.float().softmax(1)


def normalisation(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift, 1 × 3 × 1 × 1 each, with ``pixels × scale + shift`` = ``(pixels / 255 - mean) / std``."""
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (1 / (255 * std)).to(device, dtype), (-mean / std).to(device, dtype)


def fold_batch_norm(network: nn.Module) -> None:
    """Replace every convolution that a batch normalisation follows by one convolution; in place."""
    for layers in network.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for index in reversed(range(len(layers) - 1)):
            convolution, norm = layers[index], layers[index + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[index] = fuse_conv_bn_eval(convolution, norm)
                del layers[index + 1]
