"""A network for texts on CUDA answers as it does on the CPU."""

from itertools import islice
from pathlib import Path

import pytest

from tests.tiny_text_model import sentences
from velox.models.text_classifier import TextClassifier
from velox.records import Prediction
from velox.settings import Settings


@pytest.mark.timeout(400)  # it may have to train and export the network first
@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
def test_cuda_and_cpu_agree(tiny_text_model: Path, precision: str) -> None:
    texts = [text * (1 + number % 5) for number, (text, _) in enumerate(islice(sentences(2), 100))]
    labels = []
    for device, numbers in (("cpu", "fp32"), ("cuda:0", precision)):
        model = TextClassifier(Settings.model_validate({"model_path": tiny_text_model, "precision": numbers}))
        model.load(device)
        answers = model.predict([model.decode(text.encode()) for text in texts])
        labels.append([answer.label for answer in answers if isinstance(answer, Prediction)])
    same = sum(one == other for one, other in zip(*labels, strict=True))
    assert same >= 0.98 * len(texts)
