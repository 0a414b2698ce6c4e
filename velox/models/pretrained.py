"""ImageNet weights to start a training from, when they can be had without waiting long."""

import logging
import os
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from velox.models.architectures import Architecture

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_REACH_S = 5.0
_DOWNLOAD_S = 120.0


def start_from_imagenet(network: nn.Module, architecture: Architecture) -> bool:
    """Fill all of ``network`` but its classifier with ImageNet weights; say whether that worked.

    Takes seconds at most when the weights are neither cached nor reachable, and two minutes on a slow line.
    """
    if architecture.weights is None:
        return False
    try:
        state = _fetch(architecture.weights)
        kept = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
        network.load_state_dict(kept, strict=False)
    except (OSError, RuntimeError, ValueError) as error:
        log.info("No ImageNet weights (%s)", error)
        return False
    return True


def _fetch(enumeration: str) -> dict[str, torch.Tensor]:
    """Read torchvision's weights from torch's cache, else download them there, or to a folder that goes away.

    Raises:
        OSError: out of reach, or the download takes too long.
        RuntimeError: what came is damaged.
    """
    from torchvision import models  # noqa: PLC0415 - networks without ImageNet weights do without torchvision

    url = str(getattr(models, enumeration).IMAGENET1K_V1.url)
    with ExitStack() as stack:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        if not (folder / Path(url).name).exists():
            _bounded(lambda: urllib.request.urlopen(url, timeout=_REACH_S).close(), _REACH_S)  # noqa: S310 - https
            log.info("Downloading ImageNet weights")
            if not _is_writable(folder):
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        state: dict[str, torch.Tensor] = _bounded(
            lambda: torch.hub.load_state_dict_from_url(
                url, str(folder), map_location="cpu", progress=False, check_hash=True, weights_only=True
            ),
            _DOWNLOAD_S,
        )
        return state


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _bounded(work: Callable[[], Answer], limit_s: float) -> Answer:
    """Wait for ``work`` no longer than ``limit_s``: name resolution and slow servers know no limit of their own.

    Raises:
        TimeoutError: it takes longer; its thread is left behind, and does not keep the process alive.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(work())
        except Exception as error:  # noqa: BLE001 - raised again by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="download")
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        msg = f"no answer within {limit_s:.0f} s"
        raise TimeoutError(msg)
    return answers[0]
