"""Starts the network in a folder on what there is: torch on CUDA, ONNX Runtime on a CPU, in int8 if that agrees."""

import hashlib
import logging
import os
from dataclasses import dataclass
from typing import Final, Literal, cast

from velox.core.deadline import Deadline
from velox.errors import ModelError
from velox.loading import is_installed
from velox.models.apart import run_apart
from velox.models.backends.alone import alone_with
from velox.models.backends.backend import UnsupportedPrecisionError
from velox.models.backends.precision import can_quantise
from velox.models.transformer import agreements, folder
from velox.models.transformer.batches import TextNetwork
from velox.models.transformer.folder import TextFiles
from velox.models.transformer.onnx_network import OnnxNetwork
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_SHARE: Final = 2 / 3
"""Of INFERENCE_START_TIMEOUT_S, for what has to be made; then the model is still to be loaded."""
_MAKING: Final = "velox.models.transformer.making"


@dataclass(frozen=True, slots=True)
class Started:
    """A network that is ready."""

    network: TextNetwork
    files: TextFiles
    version: str


def start(settings: InferenceSettings, device: str) -> Started:
    """Start what BACKEND and PRECISION ask for, and log in one line what that is and why; make first what is missing.

    Raises:
        ModelError: the files are missing, damaged or do not fit together, or what should run them is not installed.
    """
    deadline = Deadline(_SHARE * settings.inference_start_timeout_s)
    choice = _choose(settings, device)
    files = folder.read(folder.find(settings.model_path))
    if not files.tokenizer.exists():
        files = _make_export(settings, files, deadline)
    if choice == "torch":
        return _on_torch(settings, files, device)
    if known := _known_to_agree(settings, files):
        return known
    try:
        exact, version = exported(files)
    except ModelError as problem:
        if not files.weights:
            raise
        log.info("%s: exporting the model, which takes a minute", problem)
        files = _make_export(settings, files, deadline)
        exact, version = exported(files)
    network, why = _chosen(settings, files, exact, version, deadline)
    log.info("ONNX Runtime runs the model in %s (%s)", "fp32" if network is exact else "int8", why)
    return Started(network, files, version)


def exported(files: TextFiles) -> tuple[OnnxNetwork, str]:
    """Start the export in float32; answer the version it is of.

    Raises:
        ModelError: it is missing, damaged, or of other weights than are there.
    """
    network = OnnxNetwork(files.export)
    if files.weights and network.identity and network.identity != files.version:
        msg = f"{files.export}: exported from version {network.identity}, and the weights are {files.version}"
        raise ModelError(msg)
    if files.version or network.identity:
        return network, files.version or network.identity
    return network, hashlib.sha256(files.export.read_bytes()).hexdigest()[:12]


def _choose(settings: InferenceSettings, device: str) -> Literal["torch", "onnxruntime"]:
    if settings.backend == "openvino":
        raise ModelError("BACKEND=openvino: this model is run by onnxruntime or torch: set auto")
    is_torch = device != "cpu" or settings.backend == "torch"
    choice: Literal["torch", "onnxruntime"] = "torch" if is_torch else "onnxruntime"
    if settings.backend == "auto" and choice == "onnxruntime" and not is_installed(choice):
        choice = "torch"
    if not is_installed(choice):
        other = "" if choice == "onnxruntime" else ", or set DEVICE=cpu and pip install 'velox[onnxruntime]'"
        msg = f"{choice} would have to run the model on {device}: pip install 'velox[{choice}]'{other}"
        raise ModelError(msg)
    if settings.precision == ("bf16" if choice == "onnxruntime" else "int8"):
        msg = f"PRECISION={settings.precision}: {choice} does not run this model in it: set auto or fp32"
        raise UnsupportedPrecisionError(msg)
    return choice


def _on_torch(settings: InferenceSettings, files: TextFiles, device: str) -> Started:
    if not files.weights:
        msg = f"{files.folder}: no model.safetensors, which torch needs; set DEVICE=cpu to run the export"
        raise ModelError(msg)
    from velox.models.transformer.torch_network import TorchNetwork  # noqa: PLC0415 - torch may be missing

    precision = cast(Literal["auto", "fp32", "bf16"], settings.precision)
    network = TorchNetwork(files.folder, device, precision)
    log.info("torch runs the model on %s, PRECISION=%s", device, precision)
    return Started(network, files, files.version)


def _known_to_agree(settings: InferenceSettings, files: TextFiles) -> Started | None:
    """Start int8 alone where its agreement is written down: float32 beside it would take four times its memory."""
    if settings.precision == "fp32" or not files.version:
        return None
    agreement = agreements.recall(files.folder, files.version)
    if not agreement or (settings.precision == "auto" and agreement.least < settings.min_agreement):
        return None
    try:
        network = OnnxNetwork(files.quantised)
    except ModelError:  # what is wrong is said after float32 has been started
        return None
    if network.identity != files.version:
        return None
    log.info("ONNX Runtime runs the model in int8 (%s)", agreements.said(agreement))
    return Started(network, files, files.version)


def _make_export(settings: InferenceSettings, files: TextFiles, deadline: Deadline) -> TextFiles:
    if not (is_installed("torch") and is_installed("transformers")):
        msg = (
            f"{files.folder}: lacks tokenizer.json or an export of its weights; `velox train` with these settings makes"
            " them where there are torch and transformers: pip install 'velox[transformers]'"
        )
        raise ModelError(msg)
    if not _is_writable(files):
        msg = f"{files.folder}: lacks model.onnx or tokenizer.json, and they cannot be written there: change its owner"
        raise ModelError(msg)
    with alone_with(files.folder):
        if reason := run_apart(_MAKING, "export", settings=settings, limit_s=deadline.left_s()):
            msg = f"the model cannot be exported: {reason}"
            raise ModelError(msg)
    return folder.read(files.folder)


def _chosen(
    settings: InferenceSettings, files: TextFiles, exact: OnnxNetwork, version: str, deadline: Deadline
) -> tuple[OnnxNetwork, str]:
    """Take int8 if it is asked for, or agrees; else float32. Say why."""
    if settings.precision == "fp32":
        return exact, "PRECISION=fp32"
    agreement = agreements.recall(files.folder, version)
    if not agreement:
        reason = _make_int8(settings, files, deadline)
        agreement = agreements.recall(files.folder, version)
        if not agreement:
            if settings.precision == "int8":
                msg = f"PRECISION=int8: {reason}"
                raise ModelError(msg)
            return exact, f"int8 cannot be had: {reason}"
    why = agreements.said(agreement)
    if settings.precision == "auto" and agreement.least < settings.min_agreement:
        return exact, f"int8 {why}, less than MIN_AGREEMENT={settings.min_agreement}"
    try:
        quantised = OnnxNetwork(files.quantised)
    except ModelError as problem:
        if settings.precision == "int8":
            raise
        return exact, str(problem)
    if quantised.identity != version:
        return exact, f"{files.quantised} is of version {quantised.identity or 'unknown'}, not {version}: remove it"
    return quantised, why


def _make_int8(settings: InferenceSettings, files: TextFiles, deadline: Deadline) -> str:
    """Quantise and measure, in a process of its own; say why there may be nothing of it."""
    if not can_quantise():
        return "it takes onnx and onnxruntime: pip install 'velox[onnxruntime,torch]'"
    if not _is_writable(files):
        return f"{files.folder} cannot be written"
    log.info("Making int8, and measuring how far it agrees with fp32: once for this model")
    with alone_with(files.folder):
        return run_apart(_MAKING, "int8", settings=settings, limit_s=deadline.left_s()) or "nobody has measured it"


def _is_writable(files: TextFiles) -> bool:
    return os.access(files.folder, os.W_OK)
