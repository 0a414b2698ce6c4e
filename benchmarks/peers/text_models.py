"""The two DistilBERTs of the benchmark of texts, and texts of so many tokens."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.programs import BenchmarkError
from benchmarks.report import REPOSITORY, RESULTS

FOLDER: Final = RESULTS / "text-models"
"""Kept: making them takes minutes."""
_MADE: Final = "velox.json"
_ENVIRONMENT: Final = {"PYTHONPATH": str(REPOSITORY), "TOKENIZERS_PARALLELISM": "false"}
_SPECIAL: Final = 2
"""[CLS] and [SEP]."""
_SHORTEST: Final = 3


def provide(name: str) -> Path:
    """Answer the folder of the model ``tiny`` or ``full``, with Velox's export; make it where it is not there yet.

    The full one has the architecture of DistilBERT and random weights: how long it takes does not depend on them.

    Raises:
        BenchmarkError: it cannot be made.
    """
    folder = FOLDER / name
    if (folder / _MADE).exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(REPOSITORY / "tests" / "tiny_text_model.py"), str(folder)]
    if name == "full":
        words = ["-m", "benchmarks.peers.text_models", str(folder), str(provide("tiny"))]
    done = subprocess.run(
        [sys.executable, *words], env={**os.environ, **_ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    if done.returncode or not (folder / _MADE).exists():
        raise BenchmarkError(
            f"the model {name} could not be made in {folder}:\n{done.stdout[-500:]}{done.stderr[-2000:]}"
        )
    return folder


def texts(tokens: int) -> Iterator[str]:
    """Yield texts of so many tokens, without end: words that the models' tokenizer knows whole."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - not for a peer's server

    known = Tokenizer.from_file(str(FOLDER / "tiny" / "tokenizer.json"))
    words = sorted(word for word in known.get_vocab() if word.isalpha() and len(word) >= _SHORTEST)
    draw = random.Random(tokens)  # noqa: S311 - chooses words, guards no secret
    while True:
        yield " ".join(draw.choices(words, k=tokens - _SPECIAL))


def _make_full(folder: Path, tiny: Path) -> int:
    import torch  # noqa: PLC0415 - for the process that makes it
    from transformers import (  # noqa: PLC0415
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    from velox.models.transformer import making  # noqa: PLC0415
    from velox.settings import Settings  # noqa: PLC0415
    from velox.settings.model import TRANSFORMER  # noqa: PLC0415

    torch.manual_seed(1)
    labels = {0: "NEGATIVE", 1: "POSITIVE"}
    config = DistilBertConfig(num_labels=2, id2label=labels, label2id={name: index for index, name in labels.items()})
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(tiny).save_pretrained(folder)
    return making.run(Settings(model=TRANSFORMER, model_path=folder))


if __name__ == "__main__":
    sys.exit(_make_full(Path(sys.argv[1]), Path(sys.argv[2])))
