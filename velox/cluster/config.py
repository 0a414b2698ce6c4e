"""``config.yaml``: which models are deployed on Ray, how many replicas of each, and how they take calls."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from velox.errors import SettingsError

INGRESS: Final = "inference"
"""The deployment that reads frames and asks the others; all other names are models."""
OLD_TARGET: Final = "target_num_ongoing_requests_per_replica"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_MODEL: Final = re.compile(r"[\w.]+:\w+|.+\.env")
_SMALL_TARGET: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One entry of the file. A request is a call: a list of frames from a consumer, one frame over HTTP."""

    name: str
    model: str = ""
    """A class, ``package.module:ClassName``, or a pipeline's file that says which; empty = as the settings say."""
    num_gpus: float = 0.0
    num_cpus: float = 1.0
    """What Ray sets aside for each replica; it does not keep a replica from using more."""
    min_replicas: int = 1
    initial_replicas: int = 1
    max_replicas: int = 1
    target_ongoing_requests: float = 2.0
    """More than so many a replica, and there will be more replicas."""
    target_drain_s: float = 0.0
    """Where it is not 0, there are so many replicas that what waits is done in this time; the target is not used."""
    max_ongoing_requests: int = 16
    """A replica takes no more at the same time; further ones wait with whoever asks."""
    max_queued_requests: int = 200
    """So many wait with each that asks; the next is refused."""
    max_batch_size: int = 8
    """Frames that are predicted together."""
    batch_wait_timeout_s: float = 0.01
    graceful_shutdown_timeout_s: float = 20.0
    metrics_interval_s: float = 10.0
    look_back_period_s: float = 30.0
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0

    @property
    def is_ingress(self) -> bool:
        """Say whether it is the one that reads frames and asks the others."""
        return self.name == INGRESS

    @property
    def resources(self) -> dict[str, float]:
        """What Ray sets aside for each replica."""
        return {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus}

    @property
    def scaling(self) -> dict[str, float | int]:
        """How the number of replicas follows the load, in Ray's names."""
        names = ("min_replicas", "initial_replicas", "max_replicas", "target_ongoing_requests", "metrics_interval_s")
        more = ("look_back_period_s", "upscale_delay_s", "downscale_delay_s", "upscaling_factor", "downscaling_factor")
        return {name: getattr(self, name) for name in (*names, *more)}


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The whole file."""

    ingress: Deployment
    classifiers: tuple[Deployment, ...]
    """In the file's order."""

    @property
    def least_cpus(self) -> float:
        """CPUs that Ray has to set aside before all is deployed."""
        return sum(each.num_cpus * each.initial_replicas for each in (self.ingress, *self.classifiers))

    @property
    def least_gpus(self) -> float:
        """The same of GPUs."""
        return sum(each.num_gpus * each.initial_replicas for each in (self.ingress, *self.classifiers))


_INTEGERS: Final = {
    "min_replicas": (0, 10_000),
    "initial_replicas": (0, 10_000),
    "max_replicas": (1, 10_000),
    "max_ongoing_requests": (1, 100_000),
    "max_queued_requests": (1, 1_000_000),
    "max_batch_size": (1, 4096),
}
_NUMBERS: Final = {
    "num_gpus": (0.0, 1024.0),
    "num_cpus": (0.0, 1024.0),
    "target_ongoing_requests": (0.01, 100_000.0),
    "target_drain_s": (0.0, 3600.0),
    "batch_wait_timeout_s": (0.0, 60.0),
    "graceful_shutdown_timeout_s": (0.0, 3600.0),
    "metrics_interval_s": (0.1, 600.0),
    "look_back_period_s": (0.1, 3600.0),
    "upscale_delay_s": (0.0, 86_400.0),
    "downscale_delay_s": (0.0, 86_400.0),
    "upscaling_factor": (0.01, 1000.0),
    "downscaling_factor": (0.01, 1000.0),
}
_OF_MODELS: Final = ("model", "target_drain_s", "max_batch_size", "batch_wait_timeout_s")
_KEYS: Final = (*_OF_MODELS[:1], *_INTEGERS, *_NUMBERS)


def read(path: Path) -> ClusterConfig:
    """Read the file.

    Raises:
        SettingsError: it cannot be read, or says what Ray would not do; it names the entry and the key.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        msg = f"{path}: {reason}; it names the models to deploy: see docs/cluster.md"
        raise SettingsError(msg) from None
    return parse(text, path)


def parse(text: str, path: Path) -> ClusterConfig:
    """Read the content of such a file; ``path`` is for messages.

    Raises:
        SettingsError: as ``read``.
    """
    try:
        said: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"{path}: no YAML: {' '.join(str(error).split())}"
        raise SettingsError(msg) from None
    if not isinstance(said, dict) or not said.keys() - {INGRESS}:
        msg = f"{path}: name at least one model, as in classifier1: {{max_batch_size: 8}}"
        raise SettingsError(msg)
    given = {**said, INGRESS: said.get(INGRESS)}
    deployments = {str(name): _deployment(name, entry, path) for name, entry in given.items()}
    ingress = deployments.pop(INGRESS)
    return ClusterConfig(ingress, tuple(deployments.values()))


def _deployment(name: object, entry: object, path: Path) -> Deployment:
    where = f"{path}, {name}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{where}: no name for a deployment: letters, digits, _ and -, 63 at most, a letter first"
        raise SettingsError(msg)
    if not isinstance(entry, dict | None):
        msg = f"{where}: {entry!r} is no list of keys with values, such as max_batch_size: 8"
        raise SettingsError(msg)
    given = _new_names(entry or {}, where)
    for key, value in given.items():
        _check(key, value, where, is_ingress=name == INGRESS)
    made = Deployment(name=name, **{**_defaults(name, given), **given})
    if problem := _refused(made):
        raise SettingsError(f"{where}: {problem}")
    return made


def _new_names(entry: Mapping[Any, Any], where: str) -> dict[str, Any]:
    given = {str(key): value for key, value in entry.items() if key != OLD_TARGET}
    if OLD_TARGET in entry:
        if "target_ongoing_requests" in given:
            msg = f"{where}: {OLD_TARGET} is the old name of target_ongoing_requests; write one of the two"
            raise SettingsError(msg)
        given["target_ongoing_requests"] = entry[OLD_TARGET]
    return given


def _check(key: str, value: object, where: str, *, is_ingress: bool) -> None:
    if key not in _KEYS:
        close = difflib.get_close_matches(key, _KEYS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_KEYS)}"
        if key == "autoscaling_config":
            hint = "its keys stand directly under the deployment"
        raise SettingsError(f"{where}: {key} is unknown; {hint}")
    if is_ingress and key in _OF_MODELS:
        raise SettingsError(f"{where}: {key} is for models, and {INGRESS} only asks them; leave it out")
    if key == "model":
        if not isinstance(value, str) or not _MODEL.fullmatch(value):
            msg = f"{where}: model: {value!r} is neither package.module:ClassName nor a pipeline's file, NAME.env"
            raise SettingsError(msg)
        return
    kind = "a whole number" if key in _INTEGERS else "a number"
    low, high = _INTEGERS.get(key) or _NUMBERS[key]
    is_number = isinstance(value, int if key in _INTEGERS else int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]  # a number by now
        raise SettingsError(f"{where}: {key}: {value!r} is not {kind} from {low:g} to {high:g}")


def _defaults(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Complete what depends on other values, so that what is left out is never refused."""
    target, size = given.get("target_ongoing_requests", 2.0), given.get("max_batch_size", 8)
    least, most = given.get("min_replicas", 1), given.get("max_replicas", 1)
    look_back_s = given.get("look_back_period_s", 30.0)
    return {
        # Nobody sets a core aside for a replica that computes on a GPU, or that only asks others.
        "num_cpus": 0.0 if name == INGRESS or given.get("num_gpus") else 1.0,
        "min_replicas": min(least, most),
        "initial_replicas": max(1, least),
        "max_replicas": max(1, least),
        "max_ongoing_requests": max(16, 2 * size, math.ceil(target)),
        "upscale_delay_s": max(30.0, look_back_s),
        "downscale_delay_s": max(600.0, look_back_s),
    }


def _refused(made: Deployment) -> str | None:
    """Say what Ray would accept in silence and not do, with the remedy."""
    low, first, high = made.min_replicas, made.initial_replicas, made.max_replicas
    target, most, batch = made.target_ongoing_requests, made.max_ongoing_requests, made.max_batch_size
    delays = {"upscale_delay_s": made.upscale_delay_s, "downscale_delay_s": made.downscale_delay_s}
    short = [f"{name}={delay:g}" for name, delay in delays.items() if delay < made.look_back_period_s]
    problems = {
        f"min_replicas={low} is more than max_replicas={high}": low > high,
        f"initial_replicas={first} is not between min_replicas={low} and max_replicas={high}": not low <= first <= high,
        f"max_ongoing_requests={most} is less than 2 × max_batch_size={batch}, so batches never fill: "
        f"set it to {2 * batch} or more": not made.is_ingress and most < 2 * batch,
        f"target_ongoing_requests={target:g} is more than max_ongoing_requests={most}, so there are never more "
        f"replicas: set max_ongoing_requests to {math.ceil(target)} or more": target > most,
        f"{' and '.join(short)}: less than look_back_period_s={made.look_back_period_s:g}, so the number of replicas "
        "would go up and down on what is long past: lengthen it, or shorten look_back_period_s": bool(short)
        and low < high,
        f"upscaling_factor={made.upscaling_factor:g} with target_ongoing_requests={target:g} overshoots again and "
        "again: leave upscaling_factor at 1, or raise the target above 1": made.upscaling_factor > 1
        and target <= _SMALL_TARGET,
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)
