"""Which backend runs the model, and the export that it may need."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from velox.errors import ModelError
from velox.loading import is_installed, load_class
from velox.models import card
from velox.models.architectures import Architecture
from velox.models.backends import precision
from velox.models.backends.backend import Backend, Precision, UnsupportedPrecisionError
from velox.models.backends.exporting import alone_with, check_can_export, export_unless
from velox.models.backends.precision import RUNS, Started
from velox.models.card import ModelFiles
from velox.settings import InferenceSettings

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

EXPORTED: Final = {
    "openvino": ("OpenVINO", "velox.models.backends.openvino_backend:OpenVinoBackend"),
    "onnxruntime": ("ONNX Runtime", "velox.models.backends.onnxruntime_backend:OnnxRuntimeBackend"),
}
"""What runs an export, fastest first: by the name of its package and its extra, what people call it and the class."""


def needs_weights(backend: str) -> bool:
    """Say whether a model needs its weights here, or the export, labels and card are enough."""
    return backend not in EXPORTED and is_installed("torch")


def lacks_model(settings: InferenceSettings) -> bool:
    """Say whether the model has to be trained first; a class of the user's own takes care of itself.

    Weights without labels are somebody's, and training would write over them.
    """
    if not settings.is_model_ours or settings.model_path.exists():
        return False
    needed = needs_weights(settings.backend)
    return not card.is_complete(settings.model_path, settings.classes_path, needs_weights=needed)


def start(settings: InferenceSettings, files: ModelFiles, architecture: Architecture, device: str) -> Backend:
    """Start what BACKEND and PRECISION ask for, and log in one line what that is and why.

    Raises:
        ModelError: the files are damaged or do not fit together, what should run them is not installed, or it cannot
            compute with PRECISION.
    """
    choice, why = choose(settings, device)
    if choice == "torch":
        return _torch(settings, files, architecture, device, why)
    title, _ = EXPORTED[choice]
    try:
        return _exported(choice, settings, files, architecture, why)
    except UnsupportedPrecisionError:
        raise
    except ModelError as error:
        if settings.backend != "auto" or not is_installed("torch"):
            raise
        log.warning("%s cannot run the model: %s", title, error)
    return _torch(settings, files, architecture, device, f"instead of {title}")


def choose(settings: InferenceSettings, device: str) -> tuple[str, str]:
    """Name a backend, and why it is that one; ``auto`` is torch on CUDA, on a CPU the fastest one that is installed."""
    if settings.backend != "auto":
        return settings.backend, f"BACKEND={settings.backend}"
    if device != "cpu":
        return "torch", f"for {device}"
    for name in EXPORTED:
        if is_installed(name) and settings.precision in {"auto", *RUNS[name]}:
            return name, "the fastest on a CPU that is installed"
    return "torch", f"neither {' nor '.join(EXPORTED)} is installed"


def _torch(
    settings: InferenceSettings, files: ModelFiles, architecture: Architecture, device: str, why: str
) -> Backend:
    if not is_installed("torch"):
        msg = (
            f"torch would have to run the model ({why}), but is not installed: pip install 'velox[torch]'; "
            "or pip install 'velox[openvino]' and set DEVICE=cpu"
        )
        raise ModelError(msg)
    from velox.models.backends.torch_backend import TorchBackend  # noqa: PLC0415 - torch may be missing
    from velox.models.backends.weights import load_network  # noqa: PLC0415 - as above

    def network() -> "nn.Module":
        return load_network(architecture, files.weights, classes=len(files.labels), source=settings.model_path)

    if device != "cpu":
        backend = TorchBackend(network(), device, settings.precision)
        log.info("torch runs the model (%s), PRECISION=%s", why, settings.precision)
        return backend

    def load(chosen: Precision) -> Backend:
        return TorchBackend(network(), device, chosen)

    started = precision.start("torch", load, settings, files, size=architecture.input_size)
    return _logged("torch", why, started)


def _exported(
    name: str, settings: InferenceSettings, files: ModelFiles, architecture: Architecture, why: str
) -> Backend:
    if not is_installed(name):
        msg = f"BACKEND={name}: {name} is not installed: pip install 'velox[{name}]'"
        raise ModelError(msg)
    title, backend_class = EXPORTED[name]
    run: Callable[..., Backend] = load_class(backend_class)
    identity = card.identity(architecture.name, files.version)
    path = card.export_path(settings.model_path)

    def load(chosen: Precision) -> Backend:
        return run(card.quantised_path(settings.model_path) if chosen == "int8" else path, identity, chosen)

    def begin(files: ModelFiles) -> Started:
        return precision.start(name, load, settings, files, size=architecture.input_size)

    try:
        started = begin(files)
    except UnsupportedPrecisionError:
        raise
    except ModelError as problem:
        check_can_export(path, files, problem)
        needed: Precision = "int8" if settings.precision == "int8" else "fp32"
        with alone_with(settings.model_path):
            export_unless(lambda: load(needed), settings, architecture)
        started = begin(card.read(settings.model_path, settings.classes_path))  # the card may be new, too
    return _logged(title, why, started)


def _logged(title: str, why: str, started: Started) -> Backend:
    log.info("%s runs the model (%s) in %s (%s)", title, why, started.precision, started.why or "the exact one")
    if started.is_doubtful:
        log.warning("nothing shows that %s answers as fp32 does: %s", started.precision, started.why)
    return started.backend
