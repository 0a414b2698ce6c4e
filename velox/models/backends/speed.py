"""How fast each precision is on this processor: measured once, and remembered beside the model."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from velox import processor
from velox.models.backends.backend import PRECISIONS, Backend, Precision
from velox.models.replacing import replace

log = logging.getLogger(__name__)

_BUDGET_S: Final = 0.3
_MIN_ROUNDS: Final = 3
_IMAGES: Final = 4

Speeds = Mapping[Precision, float]
"""Milliseconds an image."""


def measure(backends: Mapping[Precision, Backend], size: int) -> dict[Precision, float]:
    """Time them in turn, for 0.3 s in all where they are fast; the least of each counts, since noise only adds."""
    batch = np.random.default_rng(0).integers(0, 256, (_IMAGES, size, size, 3), np.uint8)
    least = dict.fromkeys(backends, float("inf"))
    for backend in backends.values():
        backend(batch)  # what is put off until the first use
    started = perf_counter()
    rounds = 0
    while rounds < _MIN_ROUNDS or perf_counter() - started < _BUDGET_S:
        for precision, backend in backends.items():
            before = perf_counter()
            backend(batch)
            least[precision] = min(least[precision], 1000 * (perf_counter() - before) / _IMAGES)
        rounds += 1
    return least


def path_for(model_path: Path) -> Path:
    """Say where speeds are remembered: beside the model, ``model.speed.json`` for ``model.pth``."""
    return model_path.with_suffix(".speed.json")


def recall(model_path: Path, version: str, backend: str) -> dict[Precision, float]:
    """Return what is known of this model, backend (with its version) and processor; knowing nothing is no error."""
    found = _read(path_for(model_path)).get(_key(version, backend))
    speeds = found if isinstance(found, dict) else {}
    known = {precision: speeds[precision] for precision in PRECISIONS if isinstance(speeds.get(precision), float)}
    return known if "fp32" in known else {}


def remember(model_path: Path, version: str, backend: str, speeds: Speeds) -> None:
    """Keep speeds, with those of the same model elsewhere; where that cannot be, the next start measures again."""
    known = {key: value for key, value in _read(path_for(model_path)).items() if key.startswith(f"{version} ")}
    known[_key(version, backend)] = {precision: round(ms, 3) for precision, ms in speeds.items()}
    try:
        replace(path_for(model_path), json.dumps(known, indent=2).encode() + b"\n")
    except OSError as error:
        log.debug("speeds are not remembered: %s", error)


def _key(version: str, backend: str) -> str:
    return f"{version} {backend} {processor.identity()}"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
