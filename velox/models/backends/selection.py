"""Which backend runs the model, and the export that it may need."""

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from velox.errors import ModelError
from velox.loading import is_installed, load_class
from velox.models import card
from velox.models.architectures import Architecture
from velox.models.backends.backend import Backend
from velox.models.card import ModelFiles
from velox.settings import Settings

log = logging.getLogger(__name__)

EXPORTED: Final = {
    "openvino": ("OpenVINO", "velox.models.backends.openvino_backend:OpenVinoBackend"),
    "onnxruntime": ("ONNX Runtime", "velox.models.backends.onnxruntime_backend:OnnxRuntimeBackend"),
}
"""What runs an export, fastest first: by the name of its package and its extra, what people call it and the class."""
_EXPORT: Final = "import sys; sys.path[:] = {path!r}; from velox.models.export import main; main(*{arguments!r})"


def needs_weights(backend: str) -> bool:
    """Say whether a model needs its weights here, or the export, labels and card are enough."""
    return backend not in EXPORTED and is_installed("torch")


def lacks_model(settings: Settings) -> bool:
    """Say whether the model has to be trained first; a class of the user's own takes care of itself."""
    is_ours = settings.model == Settings.model_fields["model"].default
    needed = needs_weights(settings.backend)
    return is_ours and not card.is_complete(settings.model_path, settings.classes_path, needs_weights=needed)


def start(settings: Settings, files: ModelFiles, architecture: Architecture, device: str) -> Backend:
    """Start what BACKEND asks for; with ``auto`` torch on CUDA, and on a CPU the fastest that is installed.

    Raises:
        ModelError: the files are damaged or do not fit together, or what should run them is not installed.
    """
    choice, why = choose(settings.backend, device)
    if choice == "torch":
        return _torch(settings, files, architecture, device, why)
    title, _ = EXPORTED[choice]
    try:
        return _exported(choice, settings, files, architecture, why)
    except ModelError as error:
        if settings.backend != "auto" or not is_installed("torch"):
            raise
        log.warning("%s cannot run the model: %s", title, error)
    return _torch(settings, files, architecture, device, f"instead of {title}")


def choose(backend: str, device: str) -> tuple[str, str]:
    """Name a backend, and why it is that one."""
    if backend != "auto":
        return backend, f"BACKEND={backend}"
    if device != "cpu":
        return "torch", f"for {device}"
    for name in EXPORTED:
        if is_installed(name):
            return name, "the fastest on a CPU that is installed"
    return "torch", f"neither {' nor '.join(EXPORTED)} is installed"


def _torch(settings: Settings, files: ModelFiles, architecture: Architecture, device: str, why: str) -> Backend:
    if not is_installed("torch"):
        msg = (
            f"torch would have to run the model ({why}), but is not installed: pip install 'velox[torch]'; "
            "or pip install 'velox[openvino]' and set DEVICE=cpu"
        )
        raise ModelError(msg)
    from velox.models.backends.torch_backend import TorchBackend, load_network  # noqa: PLC0415 - may be missing

    network = load_network(architecture, files.weights, classes=len(files.labels), source=settings.model_path)
    log.info("torch runs the model (%s)", why)
    return TorchBackend(network, device)


def _exported(name: str, settings: Settings, files: ModelFiles, architecture: Architecture, why: str) -> Backend:
    if not is_installed(name):
        msg = f"BACKEND={name}: {name} is not installed: pip install 'velox[{name}]'"
        raise ModelError(msg)
    title, backend_class = EXPORTED[name]
    path = card.export_path(settings.model_path)
    load: Callable[[], Backend] = partial(
        load_class(backend_class), path, card.identity(architecture.name, files.version)
    )
    try:
        backend = load()
    except ModelError as problem:
        _check_can_export(path, files, problem)
        with _alone_in(path.parent):
            _export_unless(load, settings, architecture)
        backend = load()
    log.info("%s runs the model (%s)", title, why)
    return backend


def _check_can_export(path: Path, files: ModelFiles, problem: ModelError) -> None:
    if not files.weights or not is_installed("torch"):
        msg = f"{problem}; `python train.py` writes it beside the weights: copy all files of one training together"
        raise ModelError(msg) from problem
    if not os.access(path.parent, os.W_OK):
        msg = f"{problem}; and none can be made, as {path.parent.absolute()} cannot be written: change its owner"
        raise ModelError(msg) from problem


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one process at a time go on; the lock ends with whoever holds it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _export_unless(load: Callable[[], object], settings: Settings, architecture: Architecture) -> None:
    """Export unless another inference process has while this one waited; in a process that takes its torch with it."""
    try:
        load()
    except ModelError as problem:
        log.info("%s: exporting the model, which takes some seconds", problem)
    else:
        return
    arguments = (str(settings.model_path), str(settings.classes_path), architecture.name)
    command = [sys.executable, "-c", _EXPORT.format(path=sys.path, arguments=arguments)]
    try:
        subprocess.run(  # noqa: S603 - our own command
            command, check=True, capture_output=True, text=True, timeout=settings.inference_start_timeout_s
        )
    except subprocess.SubprocessError as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        msg = f"the model cannot be exported: {said[-1]}"
        raise ModelError(msg) from error
