"""The network as an ONNX file, which runs without torch: pixels in, probabilities out."""

import copy
import logging
import sys
from typing import Final, cast

import torch
from torch import nn

from velox.errors import VeloxError
from velox.models import card
from velox.models.apart import handed_over
from velox.models.architectures import ARCHITECTURES, Architecture
from velox.models.backends.torch_backend import fold_batch_norm, normalisation
from velox.models.backends.weights import load_network

_EXAMPLES: Final = 2
"""Images in the traced batch; a dimension of 1 would be taken for one that never changes."""
_CHATTY: Final = ("onnx_ir", "onnxscript")
"""Loggers that tell of every rule the exporter applies."""


class _Served(nn.Module):
    """A network between what a backend gets and what it answers, so that a runtime has nothing to add."""

    _scale: torch.Tensor
    _shift: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        scale, shift = normalisation(torch.device("cpu"), torch.float32)
        self.register_buffer("_scale", scale)
        self.register_buffer("_shift", shift)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return n × classes probabilities for n × height × width × 3 bytes."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        logits: torch.Tensor = self._network(pixels * self._scale + self._shift)
        return logits.softmax(1)


def to_onnx(network: nn.Module, architecture: Architecture, version: str) -> bytes:
    """Write the network, which stays as it is, for any number of images; it says which model's it is."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    served = _Served(_simplified(network)).eval()
    example = torch.zeros((_EXAMPLES, architecture.input_size, architecture.input_size, 3), dtype=torch.uint8)
    program = cast(
        torch.onnx.ONNXProgram,
        torch.onnx.export(
            served,
            (example,),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        ),
    )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in the source each node comes from: paths of this machine
    program.model.metadata_props[card.EXPORTED_FROM] = card.identity(architecture.name, version)
    content: bytes = program.model_proto.SerializeToString()
    return content


def _simplified(network: nn.Module) -> nn.Module:
    """Copy the network in a form that takes a third of the time to export: fewer operators, and none in place."""
    simple = copy.deepcopy(network).cpu().eval()
    fold_batch_norm(simple)
    for layer in simple.modules():
        if isinstance(layer, nn.ReLU | nn.ReLU6 | nn.Dropout):
            layer.inplace = False
    return simple


def main(architecture_name: str) -> None:
    """Export a model that has no export, or another model's; a process of its own, whose torch goes with it."""
    settings = handed_over()
    try:
        files = card.read(settings.model_path, settings.classes_path)
        architecture = ARCHITECTURES[architecture_name]
        network = load_network(architecture, files.weights, classes=len(files.labels), source=settings.model_path)
        card.write_export(to_onnx(network, architecture, files.version), settings.model_path)
    except VeloxError as error:
        sys.exit(str(error))
