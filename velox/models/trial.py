"""A network that was just trained, in a folder of its own: judged as it will be served, before it replaces another."""

import logging
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import card
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection
from velox.models.backends.backend import Backend, Runner
from velox.models.backends.precision import unmeasured
from velox.models.backends.torch_backend import TorchBackend
from velox.models.backends.weights import load_network
from velox.models.card import ModelCard, ModelFiles
from velox.models.evaluation import Evaluation
from velox.models.held_out import HeldOut
from velox.models.measuring import CheckStop, Measurement, answers_of
from velox.models.other_core import OtherCore
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)


class Trial:
    """The files of a new model, and what is found out about it."""

    def __init__(
        self, folder: Path, made: ModelCard, weights: bytes, export: bytes, settings: InferenceSettings, *, device: str
    ) -> None:
        """Write the files.

        Args:
            folder: an empty one.
            made: the card, as far as it is known.
            weights: the trained ones.
            export: of them.
            settings: what the model will be served with.
            device: what it was trained on, ``cpu`` or ``cuda``.
        """
        model_path, classes_path = folder / "model.pth", folder / "classes.json"
        card.write(made, weights, export=export, model_path=model_path, classes_path=classes_path)
        self.card = made
        self.runner: Runner | None = None
        """What will run it here, once that is judged."""
        self._settings = settings.model_copy(update={"model_path": model_path, "classes_path": classes_path})
        self._architecture = ARCHITECTURES[made.architecture]
        self._files = ModelFiles(weights, made.labels, made.version, made)
        self._device = device

    @property
    def quantised(self) -> bytes | None:
        """The export in int8, if one was made."""
        path = card.quantised_path(self._settings.model_path)
        return path.read_bytes() if path.exists() else None

    def judge(
        self, images: HeldOut, other_core: OtherCore, *, all_precisions: bool, check_stop: CheckStop
    ) -> Evaluation:
        """Count how often it is right; measure what a start with these settings here may choose, or all there is."""
        measurement = Measurement(self._settings, self.card, images, check_stop=check_stop)
        self.runner = self._chosen()
        if all_precisions:
            others = {name: self._runner(name) for name in (*filter(is_installed, selection.EXPORTED), "torch")}
            runners = others | ({self.runner.name: self.runner} if self.runner else {})
            self.card, exact = measurement.of_all([*runners.values()])
            evaluation = images.evaluation(runners["torch"].load("fp32"), exact)
        elif self.runner:
            evaluation = self._judge(self.runner, images, measurement, other_core)
        else:
            backend = self._on_gpu()
            evaluation = images.evaluation(backend, images.answers(backend))
        rates = evaluation.accuracy_by_label
        self.card = replace(self.card, accuracy=evaluation.accuracy, accuracy_by_label=rates)
        return evaluation

    def _judge(self, runner: Runner, images: HeldOut, measurement: Measurement, other_core: OtherCore) -> Evaluation:
        """Have the other process try what is not exact, and do the rest here meanwhile."""
        missing = unmeasured(runner, self._settings, self.card)
        given = (self._settings, self.card, runner.name, missing, images)
        answers = other_core.begin(answers_of, *given) if missing else dict
        backend = runner.load("fp32")
        exact = images.answers(backend)
        evaluation = images.evaluation(backend, exact)
        for precision in missing:
            with suppress(ModelError):  # the other process says what is wrong, or has not made the file yet
                runner.load(precision)  # the first start will need it
        self.card = measurement.compared(runner, exact, answers())
        return evaluation

    def _chosen(self) -> Runner | None:
        """Find what will run it here, or what can; nothing on a GPU, where there are no precisions to choose from."""
        choice, _ = selection.choose(self._settings, self._device)
        if choice == "torch" and self._device != "cpu":
            return None
        if choice != "torch" and is_installed(choice):
            runner = self._runner(choice)
            try:
                runner.load("fp32")
            except ModelError as error:
                log.warning("%s cannot run the model: %s", selection.title(choice), error)
            else:
                return runner
        return self._runner("torch")

    def _runner(self, name: str) -> Runner:
        return selection.runner(name, self._settings, self._files, self._architecture)

    def _on_gpu(self) -> Backend:
        source, labels = self._settings.model_path, self._files.labels
        network = load_network(self._architecture, self._files.weights, classes=len(labels), source=source)
        return TorchBackend(network, self._device)
