"""How good a model is on images it has not learned from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.table import Table


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

    def __str__(self) -> str:
        """Say it in one line: the accuracy of each label, and what is taken for what."""
        rates = ", ".join(f"{label} {rate:.1%}" for label, rate in self.accuracy_by_label.items())
        mistakes = [
            f"{count} of {true} taken for {predicted}"
            for true, row in zip(self.labels, self.confusion, strict=True)
            for predicted, count in zip(self.labels, row, strict=True)
            if count and predicted != true
        ]
        return f"Held-out images right: {'; '.join([rates, *mistakes])}"

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
