"""What cheaper ways of predicting change: each is measured on held-out images, as it will be served."""

import copy
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from velox.loading import is_installed, load_class
from velox.models import card, dataset
from velox.models.agreement import Agreement, compare
from velox.models.architectures import Architecture
from velox.models.backends.backend import Backend, Batch, Precision, Probabilities, UnsupportedPrecisionError
from velox.models.backends.precision import RUNS
from velox.models.backends.selection import EXPORTED
from velox.models.backends.torch_backend import TorchBackend
from velox.models.preprocessing import Preprocessor, Profile
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_IMAGES: Final = 400
"""At least so many, half noisy and half photo-like: one is a quarter of a percent."""
_CALIBRATION_IMAGES: Final = 32
_NOISY, _PHOTO_LIKE, _NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION = range(3, 7)
_BATCH: Final = 8

Begin = Callable[[], Backend]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was made and found out; for the model card."""

    quantised: bytes | None = None
    precisions: Mapping[str, Agreement] = field(default_factory=dict)
    profiles: Mapping[str, Agreement] = field(default_factory=dict)


def measure(
    network: nn.Module,
    architecture: Architecture,
    export: bytes,
    version: str,
    settings: InferenceSettings,
    *,
    check_stop: Callable[[], None] = lambda: None,
) -> Measured:
    """Quantise, and compare each precision of each installed backend, and fast preprocessing, with the exact answers.

    Args:
        network: the trained one, which stays as it is.
        architecture: what it is.
        export: of this network.
        version: of this network, as the export says it.
        settings: what to draw, and CONFIDENCE_THRESHOLD.
        check_stop: called between the steps; raises to stop.
    """
    jpegs = [*_draw(settings, _IMAGES, _NOISY), *_draw(settings, _IMAGES, _PHOTO_LIKE)]
    pixels = _pixels(jpegs, settings.preprocessing, architecture, settings)
    check_stop()
    log.info("Measuring how bf16, int8 and fast preprocessing agree with the exact answers on %d images", len(jpegs))
    quantised = _quantised(export, architecture, settings)
    check_stop()
    reference = _torch(network, "fp32")
    exact = _predict(reference, pixels)
    profiles = {"fast": _compared_profiles(reference, exact, jpegs, architecture, settings)}
    precisions: dict[str, Agreement] = {}
    with tempfile.TemporaryDirectory() as folder:
        model_path, identity = Path(folder) / "model.pth", card.identity(architecture.name, version)
        card.export_path(model_path).write_bytes(export)
        if quantised:
            card.quantised_path(model_path).write_bytes(quantised)
        # One after the other: OpenVINO's bindings can lock each other up when two threads make their first tensors.
        for name, begin in _ways(network, model_path, identity, has_int8=quantised is not None):
            check_stop()
            try:
                answers = _predict(begin(), pixels)
            except UnsupportedPrecisionError:
                log.info("%s: not on this processor", name)
                continue
            precisions[name] = compare(exact, answers, threshold=settings.confidence_threshold)
            log.info("%s %s", name, precisions[name])
    return Measured(quantised, precisions, profiles)


def _draw(settings: InferenceSettings, count: int, kind: int) -> list[bytes]:
    """Draw half of ``count`` images, of all labels."""
    per_label = math.ceil(count / 2 / len(settings.labels))
    is_photo_like = kind in {_PHOTO_LIKE, _PHOTO_LIKE_CALIBRATION}
    seed = [settings.training_seed, kind]
    made = dataset.make(settings, per_label=per_label, seed=seed, plain_share=0, is_photo_like=is_photo_like)
    return list(made.jpegs)


def _pixels(jpegs: list[bytes], profile: Profile, architecture: Architecture, settings: InferenceSettings) -> Batch:
    preprocess = replace(Preprocessor.of(settings, architecture.input_size), profile=profile)
    return np.stack([preprocess(jpeg) for jpeg in jpegs])


def _quantised(export: bytes, architecture: Architecture, settings: InferenceSettings) -> bytes | None:
    if not is_installed("onnxruntime"):
        log.info("No int8: quantising takes onnxruntime: pip install 'velox[onnxruntime]'")
        return None
    from velox.models.quantisation import quantise  # noqa: PLC0415 - may be missing

    kinds = (_NOISY_CALIBRATION, _PHOTO_LIKE_CALIBRATION)
    jpegs = [jpeg for kind in kinds for jpeg in _draw(settings, _CALIBRATION_IMAGES, kind)]
    try:
        return quantise(export, _pixels(jpegs, settings.preprocessing, architecture, settings))
    except Exception as error:  # noqa: BLE001 - whatever a network does to the quantiser, the training is not lost
        log.warning("No int8: the network cannot be quantised: %s", error)
        return None


def _ways(network: nn.Module, model_path: Path, identity: str, *, has_int8: bool) -> Iterator[tuple[str, Begin]]:
    """Name each backend and precision that is not the reference, with what starts it as serving does."""
    for name, (_, backend_class) in EXPORTED.items():
        for precision in RUNS[name]:
            if not is_installed(name) or (precision == "int8" and not has_int8):
                continue
            path = card.quantised_path(model_path) if precision == "int8" else card.export_path(model_path)
            yield f"{name} {precision}", partial(load_class(backend_class), path, identity, precision)
    yield "torch bf16", partial(_torch, network, "bf16")


def _torch(network: nn.Module, precision: Precision) -> Backend:
    return TorchBackend(copy.deepcopy(network).cpu(), "cpu", precision)


def _predict(backend: Backend, pixels: Batch) -> Probabilities:
    return np.concatenate([backend(pixels[at : at + _BATCH]) for at in range(0, len(pixels), _BATCH)])


def _compared_profiles(
    reference: Backend,
    served: Probabilities,
    jpegs: list[bytes],
    architecture: Architecture,
    settings: InferenceSettings,
) -> Agreement:
    """Compare fast preprocessing with exact; ``served`` are the answers with the one of the settings."""
    is_fast = settings.preprocessing == "fast"
    other = _predict(reference, _pixels(jpegs, "exact" if is_fast else "fast", architecture, settings))
    exact, fast = (other, served) if is_fast else (served, other)
    agreement = compare(exact, fast, threshold=settings.confidence_threshold)
    log.info("fast preprocessing agrees with exact in %.2f %% of %d images", 100 * agreement.top1, agreement.images)
    return agreement
