"""Writes the files of the ImageNet model: nothing is trained, the weights are taken as they are published."""

import logging
from time import monotonic

from velox import logs
from velox.errors import ModelError
from velox.models import card, published
from velox.models.architectures import ARCHITECTURES, Architecture
from velox.models.backends.weights import load_network
from velox.models.card import ModelCard
from velox.models.export import to_onnx
from velox.models.imagenet import NO_WEIGHTS
from velox.models.measuring import CheckStop
from velox.models.stopping import Stopped, StopSignals
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)


def run(settings: InferenceSettings) -> int:
    """Write the files; answer the exit code: 0, or 128 + the signal that stopped it."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    with StopSignals() as signals:
        try:
            prepare(settings, check_stop=signals.check)
        except Stopped as stopped:
            log.warning("%s; no file was touched", stopped)
            return stopped.exit_code
    return 0


def prepare(settings: InferenceSettings, *, check_stop: CheckStop = lambda: None) -> ModelCard:
    """Write labels, card and export of MODEL_ARCH's ImageNet weights, and the weights themselves to MODEL_PATH.

    Weights that are at MODEL_PATH already stay, and are taken for ImageNet's.

    Args:
        settings: MODEL_ARCH, MODEL_PATH and CLASSES_PATH.
        check_stop: called between steps; raises to stop, with no file touched.

    Returns:
        The card that was written.

    Raises:
        ModelError: there are no such weights, they do not fit, or a file cannot be written.
    """
    started = monotonic()
    architecture = ARCHITECTURES[settings.model_arch]
    if architecture.weights is None:
        others = ", ".join(name for name, each in ARCHITECTURES.items() if each.weights)
        msg = f"MODEL_ARCH={architecture.name}: there are no ImageNet weights for it; set one of {others}"
        raise ModelError(msg)
    weights = _weights(settings, architecture)
    labels = published.labels_of(architecture)
    network = load_network(architecture, weights, classes=len(labels), source=settings.model_path)
    check_stop()
    made = ModelCard(
        architecture=architecture.name,
        labels=labels,
        input_size=architecture.input_size,
        version=card.version_of(weights, labels),
        starts_from="imagenet",
    )
    log.info("Exporting the model, so that it runs without torch")
    export = to_onnx(network, architecture, made.version)
    check_stop()
    card.write(made, weights, export=export, model_path=settings.model_path, classes_path=settings.classes_path)
    log.info(
        "ImageNet's %s with %d labels: wrote %s after %.0f s",
        architecture.name, len(labels), settings.model_path, monotonic() - started,
    )  # fmt: skip
    return made


def _weights(settings: InferenceSettings, architecture: Architecture) -> bytes:
    path = settings.model_path
    if not path.exists():
        try:
            return published.weights_of(architecture)
        except ModelError as error:
            msg = f"no ImageNet weights: {error}. {NO_WEIGHTS}"
            raise ModelError(msg) from error
    content = card.read_bytes(path, "not there any more")
    log.info("ImageNet weights: %s, which is there already", path)
    return content
