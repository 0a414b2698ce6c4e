"""What cheaper ways of predicting change: each is measured on held-out images, as it will be served."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from velox.errors import ModelError, VeloxError
from velox.models import card
from velox.models.agreement import Agreement, compare, way
from velox.models.apart import handed_over
from velox.models.architectures import ARCHITECTURES
from velox.models.backends import selection
from velox.models.backends.backend import Precision, Probabilities, Runner
from velox.models.backends.precision import can_quantise, unmeasured
from velox.models.card import ModelCard
from velox.models.held_out import HeldOut
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

CheckStop = Callable[[], None]
"""Called between steps; raises to stop."""


class Measurement:
    """Makes the int8 file of a model, and finds out how far precisions agree with float32; the card tells it then."""

    def __init__(
        self,
        settings: InferenceSettings,
        made: ModelCard,
        images: HeldOut,
        *,
        check_stop: CheckStop = lambda: None,
    ) -> None:
        """Measure nothing yet.

        Args:
            settings: MODEL_PATH, PRECISION and CONFIDENCE_THRESHOLD.
            made: the card of the model there.
            images: what to predict.
            check_stop: see there.
        """
        self._settings = settings
        self._card = made
        self._images = images
        self._check_stop = check_stop

    def of_missing(self, runner: Runner) -> ModelCard:
        """Measure what PRECISION may choose with a backend and the card does not tell; answer the card as it is then.

        Raises:
            ModelError: float32 does not run, or a file cannot be written.
        """
        missing = unmeasured(runner, self._settings, self._card)
        exact = self._images.answers(runner.load("fp32"))
        return self.compared(runner, exact, self.answers(runner, missing))

    def compared(self, runner: Runner, exact: Probabilities, answers: Mapping[Precision, Probabilities]) -> ModelCard:
        """Compare a backend's answers in some precisions with the exact ones; answer the card, which tells it then."""
        if answers:
            self._note(self._agreements(runner, exact, answers))
        return self._card

    def of_all(self, runners: Sequence[Runner]) -> tuple[ModelCard, Probabilities]:
        """Measure all these backends in all precisions, and fast preprocessing; the last one's float32 is exact.

        Returns:
            The card as it is then, and what that float32 answers.

        Raises:
            ModelError: that does not run, or a file cannot be written.
        """
        reference = runners[-1].load("fp32")
        exact = self._images.answers(reference)
        found: dict[str, Agreement] = {}
        for runner in runners:
            rest = [precision for precision in runner.precisions if (runner, precision) != (runners[-1], "fp32")]
            found |= self._agreements(runner, exact, self.answers(runner, rest))
        self._check_stop()
        is_fast = self._settings.preprocessing == "fast"
        other = self._images.answers_after("exact" if is_fast else "fast", reference)
        fast = self._compare(*((other, exact) if is_fast else (exact, other)))
        log.info("fast preprocessing agrees with exact in %.2f%% of %d images", 100 * fast.top1, fast.images)
        self._note(found, profiles={"fast": fast})
        return self._card, exact

    def answers(self, runner: Runner, precisions: Sequence[Precision]) -> dict[Precision, Probabilities]:
        """Predict the images in some precisions, as far as they run; for int8 a file is made first."""
        if precisions:
            log.info("Measuring %s of %s on %d images", " and ".join(precisions), runner.name, len(self._images))
        found: dict[Precision, Probabilities] = {}
        for precision in precisions:
            self._check_stop()
            try:
                if precision == "int8":
                    self._quantise_unless(runner)
                found[precision] = self._images.answers(runner.load(precision))
            except ModelError as error:
                log.warning("%s not measured: %s", way(runner.name, precision), error)
        return found

    def _quantise_unless(self, runner: Runner) -> None:
        """Make the int8 file, unless there is one of this model."""
        try:
            runner.load("int8")
        except ModelError:
            if quantised := self._quantised():
                card.write_quantised(quantised, self._settings.model_path)

    def _quantised(self) -> bytes | None:
        if not can_quantise():
            log.info("No int8: quantising takes onnxruntime: pip install 'velox[onnxruntime]'")
            return None
        from velox.models.quantisation import quantise  # noqa: PLC0415 - may be missing

        export = card.export_path(self._settings.model_path).read_bytes()
        try:
            return quantise(export, self._images.for_calibration())
        except Exception as error:  # noqa: BLE001 - whatever a network does to the quantiser, the training is not lost
            log.warning("No int8: the network cannot be quantised: %s", error)
            return None

    def _agreements(
        self, runner: Runner, exact: Probabilities, answers: Mapping[Precision, Probabilities]
    ) -> dict[str, Agreement]:
        found = {way(runner.name, precision): self._compare(exact, other) for precision, other in answers.items()}
        for name, agreement in found.items():
            log.info("%s %s", name, agreement)
        return found

    def _compare(self, exact: Probabilities, other: Probabilities) -> Agreement:
        return compare(exact, other, threshold=self._settings.confidence_threshold)

    def _note(self, precisions: dict[str, Agreement], *, profiles: dict[str, Agreement] | None = None) -> None:
        """Write what was found into the card."""
        self._card = replace(
            self._card,
            precisions={**self._card.precisions, **precisions},
            profiles={**self._card.profiles, **(profiles or {})},
        )
        card.amend(self._card, self._settings.model_path, self._settings.classes_path)


def answers_of(
    settings: InferenceSettings, made: ModelCard, backend: str, precisions: Sequence[Precision], images: HeldOut
) -> dict[Precision, Probabilities]:
    """Run the model at MODEL_PATH in some precisions; all arguments can be sent to another process."""
    files = card.read(settings.model_path, settings.classes_path)
    runner = selection.runner(backend, settings, files, ARCHITECTURES[made.architecture])
    return Measurement(settings, made, images).answers(runner, precisions)


def main(backend: str, architecture_name: str) -> None:
    """Measure what a start finds missing; in a process of its own, which answers with an exit code and a last line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    settings = handed_over()
    architecture = ARCHITECTURES[architecture_name]
    try:
        files = card.read(settings.model_path, settings.classes_path)
        # Weights from elsewhere come without a card; from now on they have one.
        made = files.card or ModelCard(architecture.name, files.labels, architecture.input_size, files.version)
        runner = selection.runner(backend, settings, files, architecture)
        made = Measurement(settings, made, HeldOut(settings, architecture)).of_missing(runner)
    except VeloxError as error:
        sys.exit(str(error))
    if unmeasured(runner, settings, made):
        sys.exit(1)  # the log has said why
