"""Runs a network for texts with torch, from its weights: on CUDA, and what exports it."""

import logging
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models.backends.backend import Probabilities
from velox.models.transformer.batches import Tokens

_CHATTY: Final = ("transformers", "httpx2", "huggingface_hub")


def load(folder: Path, *, attention: str | None = None) -> Any:  # noqa: ANN401 - one of transformers' many classes
    """Load the weights into the network that ``config.json`` describes; no code of the folder's is run.

    Raises:
        ModelError: transformers is not installed, or cannot read the folder.
    """
    if not is_installed("transformers"):
        raise ModelError(
            "to read weights takes transformers, which is not installed: pip install 'velox[transformers]'"
        )
    import transformers  # noqa: PLC0415 - may be missing

    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        network, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder,
            attn_implementation=attention,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except Exception as error:  # whatever is wrong with the files; its errors have no base in common
        msg = f"{folder}: transformers cannot read it: {' '.join(str(error).split())[:300]}"
        raise ModelError(msg) from error
    if missing := sorted(report["missing_keys"]):
        msg = f"{folder}: the weights lack {', '.join(missing[:3])}: they are not of a classifier that was trained"
        raise ModelError(msg)
    return network.eval()


class TorchNetwork:
    """The network on one device."""

    def __init__(self, folder: Path, device: str, precision: Literal["auto", "fp32", "bf16"] = "auto") -> None:
        """Load it; ``auto`` is half precision on CUDA and float32 on the CPU.

        Raises:
            ModelError: it cannot be loaded.
        """
        self._device = torch.device(device)
        automatic = torch.float32 if self._device.type == "cpu" else torch.float16
        dtype = {"auto": automatic, "fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        self._network = load(folder).to(self._device, dtype)

    @torch.inference_mode()
    def __call__(self, ids: Tokens, mask: Tokens) -> Probabilities:
        """Return n × labels logits."""
        given = {"input_ids": ids, "attention_mask": mask}
        on_device = {name: torch.from_numpy(each).to(self._device) for name, each in given.items()}
        logits: Probabilities = self._network(**on_device).logits.float().cpu().numpy()
        return np.ascontiguousarray(logits)
