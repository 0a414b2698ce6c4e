"""Which precision runs the model: the fastest one that gives the results of float32."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as version_of_package
from pathlib import Path
from typing import Final

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import card
from velox.models.agreement import Agreement, measured_elsewhere, measured_here
from velox.models.backends import speed
from velox.models.backends.alone import alone_with
from velox.models.backends.backend import (
    PRECISIONS,
    RUNS,
    Backend,
    Precision,
    Runner,
    UnsupportedPrecisionError,
)
from velox.models.card import ModelCard, ModelFiles
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_WORTH_IT: Final = 0.95
"""A less exact precision has to take less than this part of the time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which precisions may answer in the place of float32, most exact first, and why others may not."""

    admitted: tuple[Precision, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """A backend that is ready, and why it computes as it does."""

    backend: Backend
    precision: Precision
    why: str
    is_doubtful: bool = False
    """It was forced, and nothing shows that it answers as float32 does."""


def unmeasured(runner: Runner, settings: InferenceSettings, known: ModelCard | None) -> list[Precision]:
    """Name what PRECISION may choose here while the card does not tell how well it agrees."""
    wanted = runner.precisions if settings.precision == "auto" else (settings.precision,)
    agreements = known.precisions if known else {}
    return [
        precision
        for precision in wanted
        if precision != "fp32"
        and precision in RUNS[runner.name]
        and measured_here(agreements, runner.name, precision) is None
        and (precision != "int8" or can_quantise() or card.quantised_path(settings.model_path).exists())
    ]


def can_quantise() -> bool:
    """Say whether what makes int8 files is installed."""
    return is_installed("onnx") and is_installed("onnxruntime")


def judge(
    backend: str, agreements: Mapping[str, Agreement], minimum: float, *, runs: Sequence[Precision] | None = None
) -> Verdict:
    """Admit float32, and what agrees with it well enough by the model card; ``runs`` are those that can be had here."""
    admitted: list[Precision] = []
    refused: list[str] = []
    for precision in RUNS[backend]:
        agreement, where = _known(agreements, backend, precision)
        if runs is not None and precision not in runs:
            refused.append(f"{precision}: not on this processor")
        elif precision == "fp32" or (agreement is not None and agreement.least >= minimum):
            admitted.append(precision)
        elif agreement is None:
            refused.append(f"{precision}: no agreement in the model card")
        else:
            refused.append(f"{precision} refused: it {agreement}{where}, MIN_AGREEMENT={minimum:g}")
    return Verdict(tuple(admitted), tuple(refused))


def fastest(speeds: speed.Speeds) -> Precision:
    """Choose the fastest; a less exact one has to be faster by 5 % at least."""
    best: Precision = "fp32"
    for precision in PRECISIONS:
        if precision in speeds and speeds[precision] < _WORTH_IT * speeds[best]:
            best = precision
    return best


def start(runner: Runner, settings: InferenceSettings, files: ModelFiles, *, size: int) -> Started:
    """Start a backend in what PRECISION says.

    Args:
        runner: the backend.
        settings: PRECISION, MIN_AGREEMENT, MODEL_PATH.
        files: the model, whose card tells the agreements.
        size: side of the square input in pixels.

    Raises:
        ModelError: the backend cannot run what is forced, or not even float32.
    """
    agreements = files.card.precisions if files.card else {}
    if settings.precision != "auto":
        verdict = judge(runner.name, agreements, settings.min_agreement)
        return _forced(runner, settings.precision, verdict, agreements)
    verdict = judge(runner.name, agreements, settings.min_agreement, runs=runner.precisions)
    if verdict.admitted == ("fp32",):
        return Started(runner.load("fp32"), "fp32", "; ".join(verdict.refused))
    known = _speeds(runner, verdict.admitted, settings.model_path, files.version, size=size)
    speeds = {precision: known[precision] for precision in verdict.admitted if precision in known}
    while True:
        chosen = fastest(speeds)
        try:
            backend = runner.load(chosen)
        except ModelError as error:
            if chosen == "fp32":
                raise
            log.warning("not in %s: %s", chosen, error)
            del speeds[chosen]
        else:
            reasons = [_timed(chosen, speeds), _agreed(runner.name, chosen, agreements), *verdict.refused]
            return Started(backend, chosen, "; ".join(filter(None, reasons)))


def _forced(runner: Runner, precision: Precision, verdict: Verdict, agreements: Mapping[str, Agreement]) -> Started:
    if precision not in RUNS[runner.name]:
        others = " or ".join(f"BACKEND={other}" for other, runs in RUNS.items() if precision in runs)
        msg = (
            f"PRECISION={precision}: {runner.name} cannot compute with it on a CPU: set {others}, or another PRECISION"
        )
        raise UnsupportedPrecisionError(msg)
    backend = runner.load(precision)
    reasons = [f"PRECISION={precision}", _agreed(runner.name, precision, agreements)]
    if precision not in verdict.admitted:
        reasons = [f"PRECISION={precision}", *(reason for reason in verdict.refused if reason.startswith(precision))]
    return Started(backend, precision, "; ".join(filter(None, reasons)), is_doubtful=precision not in verdict.admitted)


def _speeds(
    runner: Runner, admitted: Sequence[Precision], model_path: Path, version: str, *, size: int
) -> speed.Speeds:
    """Return what is remembered if that covers all, else measure: one process for all, if the result can be kept."""
    package = f"{runner.name} {version_of_package(runner.name)}"
    if (known := speed.recall(model_path, version, package)).keys() >= {*admitted}:
        return known
    if not os.access(model_path.parent, os.W_OK):
        return _measured(runner, size)
    with alone_with(model_path):
        if (known := speed.recall(model_path, version, package)).keys() >= {*admitted}:
            return known
        measured = _measured(runner, size)
        speed.remember(model_path, version, package, measured)
        return measured


def _measured(runner: Runner, size: int) -> speed.Speeds:
    """Time all that can be loaded, also what MIN_AGREEMENT does not admit today."""
    backends: dict[Precision, Backend] = {}
    for precision in runner.precisions:
        try:
            backends[precision] = runner.load(precision)
        except ModelError as error:
            if precision == "fp32":
                raise
            log.info("not in %s: %s", precision, error)
    return speed.measure(backends, size)


def _timed(chosen: Precision, speeds: speed.Speeds) -> str:
    others = (f"{precision} {ms:.2f} ms" for precision, ms in speeds.items() if precision != chosen)
    return ", ".join([f"{speeds[chosen]:.2f} ms an image here", *others])


def _agreed(name: str, precision: Precision, agreements: Mapping[str, Agreement]) -> str:
    agreement, where = _known(agreements, name, precision)
    return f"{agreement}{where}" if agreement and precision != "fp32" else ""


def _known(agreements: Mapping[str, Agreement], backend: str, precision: Precision) -> tuple[Agreement | None, str]:
    """Find an agreement, if need be that on another processor: then it could not be measured here."""
    if here := measured_here(agreements, backend, precision):
        return here, ""
    return measured_elsewhere(agreements, backend, precision), " on another processor"
