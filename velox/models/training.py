"""Trains a model on drawn shapes and writes its files: what ``train.py`` does."""

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from rich.console import Console
from torch import nn

from velox import logs
from velox.allocator import keep_large_blocks
from velox.errors import ModelError, SettingsError
from velox.models import card, dataset, held_out
from velox.models.architectures import ARCHITECTURES, Architecture
from velox.models.backends import selection
from velox.models.backends.backend import Runner
from velox.models.card import ModelCard
from velox.models.dataset import Dataset
from velox.models.evaluation import Evaluation
from velox.models.export import to_onnx
from velox.models.fitting import Fitting
from velox.models.held_out import HeldOut
from velox.models.measuring import CheckStop
from velox.models.other_core import OtherCore
from velox.models.preprocessing import Preprocessor
from velox.models.pretrained import start_from_imagenet
from velox.models.progress import shown
from velox.models.recipes import RECIPES
from velox.models.stopping import Stopped, StopSignals
from velox.models.trial import Trial
from velox.settings import InferenceSettings
from velox.sources.drawing import check_shapes

log = logging.getLogger(__name__)

_GOOD_ACCURACY = 0.99
_LOG_WIDTH = 160


def run(settings: InferenceSettings, *, all_precisions: bool = False) -> int:
    """Train, report, write; answer the exit code: 0, or 128 + the signal that stopped it."""
    keep_large_blocks()
    logs.configure(level=settings.log_level, form=settings.log_format)
    with StopSignals() as signals:
        try:
            train(settings, all_precisions=all_precisions, check_stop=signals.check)
        except Stopped as stopped:
            log.warning("%s; an old model, if there was one, is untouched", stopped)
            return stopped.exit_code
    return 0


def train(
    settings: InferenceSettings, *, all_precisions: bool = False, check_stop: CheckStop = lambda: None
) -> ModelCard:
    """Train MODEL_ARCH for the settings' labels and replace the model's files at MODEL_PATH and CLASSES_PATH.

    Args:
        settings: what to draw, how to train, where to write.
        all_precisions: measure all that can run the model, not only what a start here with these settings may choose.
        check_stop: called at each step; raises to stop, with no file touched.

    Returns:
        The card that was written.

    Raises:
        SettingsError: a shape cannot be drawn, or DEVICE=cuda and there is none.
        ModelError: training diverged, or the files cannot be written.
    """
    started = monotonic()
    check_shapes(settings.shapes)
    device = _device(settings)
    architecture = ARCHITECTURES[settings.model_arch]
    torch.manual_seed(settings.training_seed)
    network = architecture.build(len(settings.labels))
    is_pretrained = settings.pretrained == "auto" and start_from_imagenet(network, architecture)
    starts_from = "imagenet" if is_pretrained else "scratch"
    check_stop()
    training_set = dataset.make(settings, per_label=settings.samples_per_class, seed=[settings.training_seed, 0])
    log.info(
        "Training %s on %s, starting from %s: %d labels, %d images, %d epochs",
        architecture.name, device, starts_from, len(settings.labels), len(training_set), settings.epochs,
    )  # fmt: skip

    threads = _threads(RECIPES[architecture.name].threads)
    with threads, tempfile.TemporaryDirectory() as folder, OtherCore(settings) as other_core:
        _fit(network, training_set, settings, device=device, check_stop=check_stop)
        made, weights = _describe(network, architecture, settings, starts_from)
        log.info("Exporting the model, so that it runs without torch")
        images = other_core.begin(HeldOut, settings, architecture, held_out.LEAST)
        export = to_onnx(network, architecture, made.version)
        check_stop()
        trial = Trial(Path(folder), made, weights, export, settings, device=device)
        evaluation = trial.judge(images(), other_core, all_precisions=all_precisions, check_stop=check_stop)
        check_stop()
        card.write(
            trial.card, weights, export=export, quantised=trial.quantised,
            model_path=settings.model_path, classes_path=settings.classes_path,
        )  # fmt: skip
        _report(evaluation, settings, took_s=monotonic() - started)
        if device == "cpu":
            _serve_once(settings, architecture, trial.runner)
    if not all_precisions:
        log.info("Other backends and precisions are measured when first chosen; --all-precisions measures them now")
    return trial.card


def _fit(
    network: nn.Module, training_set: Dataset, settings: InferenceSettings, *, device: str, check_stop: CheckStop
) -> None:
    recipe, preprocessor = RECIPES[settings.model_arch], partial(Preprocessor.of, settings)
    fitting = Fitting(network, recipe, preprocessor, device=device, seed=settings.training_seed)
    for step in shown(fitting.run(training_set, epochs=settings.epochs), as_lines=settings.log_format == "json"):
        log.debug("%s", step)
        check_stop()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(settings: InferenceSettings) -> str:
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise SettingsError("DEVICE=cuda: torch finds no CUDA device; DEVICE=auto takes the CPU then")
    return "cuda" if has_cuda and settings.device != "cpu" else "cpu"


def _serve_once(settings: InferenceSettings, architecture: Architecture, loaded: Runner | None) -> None:
    """Start the model as a consumer will: what it chooses is logged, and how fast all are is known from then on."""
    files = card.read(settings.model_path, settings.classes_path)
    try:
        selection.start(settings, files, architecture, "cpu", loaded=loaded)
    except ModelError as error:
        log.warning("A consumer with these settings will not start: %s", error)


def _describe(
    network: nn.Module,
    architecture: Architecture,
    settings: InferenceSettings,
    starts_from: str,
) -> tuple[ModelCard, bytes]:
    # Saved through memory: to a file, torch would store the temporary name too, and equal weights differ in hash.
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, buffer)
    weights = buffer.getvalue()
    return ModelCard(
        architecture=architecture.name,
        labels=settings.labels,
        input_size=architecture.input_size,
        version=card.version_of(weights, settings.labels),
        preprocessing=settings.preprocessing,
        starts_from=starts_from,
        dataset={
            "samples_per_class": settings.samples_per_class,
            "epochs": settings.epochs,
            "seed": settings.training_seed,
            "image": [settings.img_height, settings.img_width],
            "center": settings.center,
            "shape_size": settings.shape_size,
            "colors_bgr": {name: list(color) for name, color in settings.colors.items()},
            "shapes": list(settings.shapes),
        },
    ), weights


def _report(evaluation: Evaluation, settings: InferenceSettings, *, took_s: float) -> None:
    if settings.log_format == "json":
        log.info("%s", evaluation)  # a table is no line of JSON
    else:
        console = Console()
        if not console.is_terminal:
            console.width = _LOG_WIDTH  # a log has no edge at which labels must break
        console.print(evaluation.table())
    log.info(
        "Held-out accuracy %.2f %%; least confidence on plain images %.3f; wrote %s after %.0f s",
        100 * evaluation.accuracy, evaluation.plain_confidence, settings.model_path, took_s,
    )  # fmt: skip
    if evaluation.accuracy < _GOOD_ACCURACY:
        log.warning("Less than %.0f %% right: more EPOCHS or SAMPLES_PER_CLASS may help", 100 * _GOOD_ACCURACY)
    if evaluation.plain_confidence < settings.confidence_threshold:
        log.warning(
            "Some plain images stay below CONFIDENCE_THRESHOLD=%s and would not be detected; more EPOCHS help",
            settings.confidence_threshold,
        )
