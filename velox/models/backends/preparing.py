"""What a start finds missing is made first: the export, or an agreement; once, by one process, in one of its own."""

import logging
import os
from pathlib import Path
from time import monotonic
from typing import Final

from velox.core.deadline import Deadline
from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import card
from velox.models.agreement import way
from velox.models.apart import run_apart
from velox.models.architectures import Architecture
from velox.models.backends.alone import alone_with
from velox.models.backends.backend import Load, Runner
from velox.models.backends.precision import unmeasured
from velox.models.card import ModelFiles
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_SHARE: Final = 2 / 3
"""Of INFERENCE_START_TIMEOUT_S, for all this: then the model is still to be loaded, and its speed to be measured."""


class Preparing:
    """Prepares one model for one start, within the time that an inference process has for it."""

    def __init__(self, settings: InferenceSettings, architecture: Architecture) -> None:
        """Start the time."""
        self._settings = settings
        self._architecture = architecture
        self._deadline = Deadline(_SHARE * settings.inference_start_timeout_s)

    def export_unless(self, load: Load, problem: ModelError, files: ModelFiles) -> ModelFiles:
        """Export unless another inference process has while this one waited; answer the files as they are then.

        Raises:
            ModelError: no export can be made here, or making it failed.
        """
        path = card.export_path(self._settings.model_path)
        if not files.weights or not is_installed("torch"):
            otherwise = ", or install torch, which exports the weights" if files.weights else ""
            msg = f"{problem}; copy all files of one training together{otherwise}"
            raise ModelError(msg) from problem
        if not _is_writable(path):
            msg = f"{problem}; and none can be made, as {path.parent.absolute()} cannot be written: change its owner"
            raise ModelError(msg) from problem
        with alone_with(self._settings.model_path):
            try:
                load("fp32")
            except ModelError as still:
                log.info("%s: exporting the model, which takes some seconds", still)
                if reason := self._run("velox.models.export", self._architecture.name):
                    msg = f"the model cannot be exported: {reason}"
                    raise ModelError(msg) from still
        return card.read(self._settings.model_path, self._settings.classes_path)

    def measure_missing(self, runner: Runner, files: ModelFiles) -> ModelFiles:
        """Measure what may be chosen and nobody has measured, where the model can be trained; answer the new files.

        What cannot be measured now, or not in time, costs a warning: the start continues without it.

        Raises:
            ModelError: not even float32 runs.
        """
        settings = self._settings
        if not self._can_measure(runner, files):
            return files
        with alone_with(settings.model_path):
            files = card.read(settings.model_path, settings.classes_path)
            if not (missing := unmeasured(runner, settings, files.card)):
                return files
            runner.load("fp32")
            what = f"{' and '.join(missing)} against fp32 on {runner.name}"
            log.info("Measuring %s: once for this model, which takes some seconds", what)
            started = monotonic()
            reason = self._run("velox.models.measuring", runner.name, self._architecture.name)
            files = card.read(settings.model_path, settings.classes_path)
        if reason:
            log.warning("Not measured %s: %s; `python train.py --all-precisions` measures all at once", what, reason)
        else:
            known = files.card.precisions if files.card else {}
            found = (f"{name} {known[name]}" for name in (way(runner.name, each) for each in missing) if name in known)
            log.info("Measured in %.0f s: %s", monotonic() - started, "; ".join(found))
        return files

    def _can_measure(self, runner: Runner, files: ModelFiles) -> bool:
        """Say whether there is something to measure, with images that mean something, and where to write it down."""
        return (
            bool(unmeasured(runner, self._settings, files.card))
            and files.labels == self._settings.labels
            and bool(files.weights)
            and is_installed("torch")
            and _is_writable(self._settings.model_path)
        )

    def _run(self, module: str, *arguments: str) -> str | None:
        return run_apart(module, *arguments, settings=self._settings, limit_s=self._deadline.left_s())


def _is_writable(path: Path) -> bool:
    return os.access(path.parent, os.W_OK)
