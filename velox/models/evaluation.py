"""How good a model is on images it has not learned from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table

from velox.models.backends.backend import Backend
from velox.models.dataset import Dataset
from velox.models.preprocessing import Preprocessor

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Counts of true label (row) against predicted label (column)."""

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    plain_confidence: float
    """Least confidence in the true label over one plain image of each label, as the producer draws them."""

    @property
    def accuracy(self) -> float:
        """Top-1 over all images, in [0, 1]."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def accuracy_by_label(self) -> dict[str, float]:
        """Top-1 for the images of each label."""
        rates = self.confusion.diagonal() / self.confusion.sum(axis=1)
        return {label: float(rate) for label, rate in zip(self.labels, rates, strict=True)}

    def table(self) -> Table:
        """Show the confusion matrix, and the accuracy of each label."""
        table = Table(title=f"Held-out images: {self.accuracy:.2%} right (rows: true, columns: predicted)")
        table.add_column("label", no_wrap=True)
        for label in self.labels:
            table.add_column(label, justify="right", overflow="fold")
        table.add_column("right", justify="right")
        for (label, rate), row in zip(self.accuracy_by_label.items(), self.confusion, strict=True):
            table.add_row(label, *(str(count) for count in row), f"{rate:.1%}")
        return table


def evaluate(
    backend: Backend, preprocess: Preprocessor, labels: Sequence[str], *, held_out: Dataset, plain: Dataset
) -> Evaluation:
    """Predict as serving does, and count."""
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for start in range(0, len(held_out), _BATCH):
        pixels, targets = held_out.batch(np.arange(start, min(start + _BATCH, len(held_out))), preprocess)
        np.add.at(confusion, (targets, backend(pixels).argmax(1)), 1)
    pixels, targets = plain.batch(np.arange(len(plain)), preprocess)
    confidences = backend(pixels)[np.arange(len(plain)), targets]
    return Evaluation(tuple(labels), confusion, float(confidences.min()))
