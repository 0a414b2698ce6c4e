"""The network as an ONNX file, which runs without torch: ids and mask in, logits out."""

import logging
import warnings
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import nn

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import card
from velox.models.transformer import torch_network

_CHATTY: Final = ("onnx_ir", "onnxscript")
"""Loggers that tell of every rule the exporter applies."""
_EXAMPLE: Final = (2, 16)
"""Texts and tokens that are traced; a dimension of 1 would be taken for one that never changes."""


class _Served(nn.Module):
    """A network with what it gets and answers by position."""

    def __init__(self, network: Any) -> None:  # noqa: ANN401 - one of transformers' many classes
        super().__init__()
        self._network = network

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return n × labels logits for n × tokens ids."""
        logits: torch.Tensor = self._network(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def to_onnx(folder: Path, version: str) -> bytes:
    """Write the network in ``folder`` for any number of texts of any length; it says which version it is of.

    Raises:
        ModelError: the network cannot be loaded.
    """
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    served = _Served(torch_network.load(folder, attention="eager")).eval()
    ids = torch.ones(_EXAMPLE, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, _EXAMPLE[1] // 2 :] = 0
    sizes = {0: torch.export.Dim("n"), 1: torch.export.Dim("tokens", max=4096)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*will not be used, since it shares", category=UserWarning)
        exported = torch.onnx.export(
            served,
            (ids, mask),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes=(sizes, sizes),
            dynamo=True,
            verbose=False,
        )
    program = cast(torch.onnx.ONNXProgram, exported)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in the source each node comes from: paths of this machine
    program.model.metadata_props[card.EXPORTED_FROM] = version
    content: bytes = program.model_proto.SerializeToString()
    return content


def tokenizer_of(folder: Path) -> Any:  # noqa: ANN401 - the tokenizers package's own class
    """Read the tokenizer in whatever form it is there.

    Raises:
        ModelError: there is none that can be read, or transformers is not installed.
    """
    if not is_installed("transformers"):
        msg = f"{folder}: no tokenizer.json; to make it of the older files takes pip install 'velox[transformers]'"
        raise ModelError(msg)
    import transformers  # noqa: PLC0415 - may be missing

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # its errors have no base in common
        msg = f"{folder}: no tokenizer that can be read: {' '.join(str(error).split())[:300]}"
        raise ModelError(msg) from error
    return tokenizer.backend_tokenizer
