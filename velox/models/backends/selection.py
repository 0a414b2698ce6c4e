"""Which backend runs the model, and the export that it may need."""

import logging
from functools import cache
from typing import Any, Final

from velox.errors import ModelError
from velox.loading import is_installed, load_class
from velox.models import card
from velox.models.architectures import Architecture
from velox.models.backends import precision
from velox.models.backends.backend import RUNS, Backend, Precision, Runner, UnsupportedPrecisionError
from velox.models.backends.precision import Started
from velox.models.backends.preparing import Preparing
from velox.models.card import ModelFiles
from velox.settings import InferenceSettings

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
    """Say whether the model's files have to be written first; a class of the user's own takes care of itself.

    Weights without labels are somebody's, and training would write over them. ImageNet's labels are known.
    """
    if not settings.is_model_ours or (settings.model_path.exists() and not settings.is_imagenet):
        return False
    needed = needs_weights(settings.backend)
    return not card.is_complete(settings.model_path, settings.classes_path, needs_weights=needed)


def start(
    settings: InferenceSettings,
    files: ModelFiles,
    architecture: Architecture,
    device: str,
    *,
    loaded: Runner | None = None,
) -> Backend:
    """Start what BACKEND and PRECISION ask for, and log in one line what that is and why.

    What is missing is made and measured first: see ``preparing``. What ``loaded`` has of this very model is not loaded
    again.

    Raises:
        ModelError: the files are damaged or do not fit together, what should run them is not installed, or it cannot
            compute with PRECISION.
    """
    choice, why = choose(settings, device)
    if choice == "torch" and device != "cpu":
        return _on_gpu(settings, files, architecture, device, why)
    if choice != "torch":
        try:
            return _on_cpu(choice, settings, files, architecture, why, loaded=loaded)
        except UnsupportedPrecisionError:
            raise
        except ModelError as error:
            if settings.backend != "auto" or not is_installed("torch"):
                raise
            log.warning("%s cannot run the model: %s", title(choice), error)
        why = f"instead of {title(choice)}"
    return _on_cpu("torch", settings, files, architecture, why, loaded=loaded)


def choose(settings: InferenceSettings, device: str) -> tuple[str, str]:
    """Return a backend's name and why it was chosen; ``auto`` is torch on CUDA, on a CPU the fastest one installed."""
    if settings.backend != "auto":
        return settings.backend, f"BACKEND={settings.backend}"
    if device != "cpu":
        return "torch", f"for {device}"
    for name in EXPORTED:
        if is_installed(name) and settings.precision in {"auto", *RUNS[name]}:
            return name, "the fastest on a CPU that is installed"
    return "torch", f"neither {' nor '.join(EXPORTED)} is installed"


def title(name: str) -> str:
    """Say what people call a backend."""
    return EXPORTED[name][0] if name in EXPORTED else name


def runner(name: str, settings: InferenceSettings, files: ModelFiles, architecture: Architecture) -> Runner:
    """Say how a backend, which is installed, runs the model at MODEL_PATH on the CPU; nothing is loaded yet."""
    if name == "torch":
        from velox.models.backends.torch_backend import TorchBackend  # noqa: PLC0415 - torch may be missing
        from velox.models.backends.weights import load_network  # noqa: PLC0415 - as above

        backend: Any = TorchBackend

        def load(chosen: Precision) -> Backend:
            weights, source = files.weights, settings.model_path
            network = load_network(architecture, weights, classes=len(files.labels), source=source)
            return TorchBackend(network, "cpu", chosen)

    else:
        backend = load_class(EXPORTED[name][1])

        def load(chosen: Precision) -> Backend:
            path_of = card.quantised_path if chosen == "int8" else card.export_path
            identity = card.identity(architecture.name, files.version)
            exported: Backend = backend(path_of(settings.model_path), identity, chosen)
            return exported

    return Runner(name, cache(load), tuple(filter(backend.can_compute, RUNS[name])))


def _on_gpu(
    settings: InferenceSettings, files: ModelFiles, architecture: Architecture, device: str, why: str
) -> Backend:
    _check_installed("torch", why)
    from velox.models.backends.torch_backend import TorchBackend  # noqa: PLC0415 - torch may be missing
    from velox.models.backends.weights import load_network  # noqa: PLC0415 - as above

    network = load_network(architecture, files.weights, classes=len(files.labels), source=settings.model_path)
    backend = TorchBackend(network, device, settings.precision)
    log.info("torch runs the model (%s), PRECISION=%s", why, settings.precision)
    return backend


def _on_cpu(
    name: str,
    settings: InferenceSettings,
    files: ModelFiles,
    architecture: Architecture,
    why: str,
    *,
    loaded: Runner | None,
) -> Backend:
    _check_installed(name, why)
    preparing = Preparing(settings, architecture)
    run = loaded if loaded and loaded.name == name else runner(name, settings, files, architecture)

    def begin(files: ModelFiles) -> Started:
        files = preparing.measure_missing(run, files)
        return precision.start(run, settings, files, size=architecture.input_size)

    try:
        started = begin(files)
    except UnsupportedPrecisionError:
        raise
    except ModelError as problem:
        if name == "torch":
            raise
        started = begin(preparing.export_unless(run.load, problem, files))
    log.info("%s runs the model (%s) in %s (%s)", title(name), why, started.precision, started.why or "the exact one")
    if started.is_doubtful:
        log.warning("nothing shows that %s answers as fp32 does: %s", started.precision, started.why)
    return started.backend


def _check_installed(name: str, why: str) -> None:
    """Raise, with the remedy, when a backend cannot be imported."""
    if is_installed(name):
        return
    if name != "torch":
        msg = f"BACKEND={name}: {name} is not installed: pip install 'velox[{name}]'"
        raise ModelError(msg)
    msg = (
        f"torch would have to run the model ({why}), but is not installed: pip install 'velox[torch]'; "
        "or pip install 'velox[openvino]' and set DEVICE=cpu"
    )
    raise ModelError(msg)
