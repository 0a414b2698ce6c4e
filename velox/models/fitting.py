"""The training loop: one network, one dataset, one recipe."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from velox.errors import ModelError
from velox.models.backends.torch_backend import normalisation
from velox.models.dataset import Dataset
from velox.models.preprocessing import Preprocessor
from velox.models.recipes import Recipe

_CALIBRATION_IMAGES = 128


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the training has been taken."""

    number: int
    total: int
    epoch: int
    ends_epoch: bool
    loss: float


class Fitting:
    """Trains ``network``, which is changed. ``preprocessor(size)`` decodes training images as serving will."""

    def __init__(
        self, network: nn.Module, recipe: Recipe, preprocessor: Callable[[int], Preprocessor], *, device: str, seed: int
    ) -> None:
        self._recipe = recipe
        self._preprocessors = [preprocessor(size) for size in recipe.sizes]
        self._device = torch.device(device)
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._scale, self._shift = normalisation(self._device, torch.float32)
        self._rng = np.random.default_rng(seed)

    def run(self, dataset: Dataset, *, epochs: int) -> Iterator[Step]:
        """Pass ``epochs`` times over the dataset, in another order each time; the caller paces it step by step.

        Raises:
            ModelError: the loss is no longer finite.
        """
        recipe = self._recipe
        total = epochs * math.ceil(len(dataset) / recipe.batch_size)
        optimizer = torch.optim.AdamW(self._network.parameters(), lr=recipe.peak_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, total_steps=total)
        self._network.train()
        number = 0
        for epoch in range(1, epochs + 1):
            order = self._rng.permutation(len(dataset))
            for start in range(0, len(dataset), recipe.batch_size):
                preprocess = self._preprocessors[number * len(self._preprocessors) // total]
                indices = order[start : start + recipe.batch_size]
                optimizer.zero_grad(set_to_none=True)
                loss = self._loss(*dataset.batch(indices, preprocess))
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                schedule.step()
                number += 1
                ends_epoch = start + recipe.batch_size >= len(dataset)
                yield Step(number, total, epoch, ends_epoch, _finite(loss.item()))
        self._calibrate(dataset)

    def _loss(self, pixels: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64]) -> torch.Tensor:
        return nn.functional.cross_entropy(self._forward(pixels), torch.from_numpy(targets).to(self._device))

    def _forward(self, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
        images = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2)
        logits: torch.Tensor = self._network(torch.addcmul(self._shift, images.float(), self._scale))
        return logits

    @torch.no_grad()
    def _calibrate(self, dataset: Dataset) -> None:
        """Measure the batch normalisations' statistics anew, with the final weights at the size that is served.

        The running averages of a short training lag behind the weights and remember the smaller images.
        """
        norms = [layer for layer in self._network.modules() if isinstance(layer, nn.BatchNorm2d)]
        if not norms:
            return
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches seen
        order = self._rng.permutation(len(dataset))
        for start in range(0, min(len(dataset), _CALIBRATION_IMAGES), self._recipe.batch_size):
            pixels, _ = dataset.batch(order[start : start + self._recipe.batch_size], self._preprocessors[-1])
            self._forward(pixels)


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        msg = f"the loss became {loss}: training diverged and the old model stays; try another TRAINING_SEED"
        raise ModelError(msg)
    return loss
