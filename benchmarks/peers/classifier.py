"""The model every peer runs: the weights that Velox runs, as torchvision's documentation says to."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision.transforms.v2.functional as transform
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.models import mobilenet_v2

from benchmarks.peers.job import Answer

_SIDE = 224
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Classifier:
    """MobileNetV2 as torchvision's documentation has it: inference_mode, channels_last, antialiased resize, fp32.

    It reads ``model.pth`` and ``classes.json`` in ``folder``. Threads are torch's default unless the environment
    says otherwise (``OMP_NUM_THREADS``).
    """

    def __init__(self, folder: Path = Path()) -> None:
        self._labels: list[str] = list(json.loads((folder / "classes.json").read_text()).values())
        network = mobilenet_v2(num_classes=len(self._labels))
        network.load_state_dict(torch.load(folder / "model.pth", weights_only=True))
        self._network = network.eval().to(memory_format=torch.channels_last)

    def predict(self, jpegs: Sequence[bytes]) -> list[Answer]:
        """Answer label and confidence of one or more JPEGs of equal size, in order."""
        with torch.inference_mode():
            encoded = [torch.frombuffer(bytearray(jpeg), dtype=torch.uint8) for jpeg in jpegs]
            pixels = torch.stack(decode_jpeg(encoded, mode=ImageReadMode.RGB))
            small = transform.resize(pixels, [_SIDE, _SIDE], antialias=True)
            scaled = transform.to_dtype(small, torch.float32, scale=True)
            ready = transform.normalize(scaled, _MEAN, _STD).contiguous(memory_format=torch.channels_last)
            confidences, indices = self._network(ready).softmax(1).max(1)
        return [
            (self._labels[index], confidence)
            for confidence, index in zip(confidences.tolist(), indices.tolist(), strict=True)
        ]
