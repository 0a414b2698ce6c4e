"""``velox cluster up``: a Ray, the deployments of config.yaml, and consumers, until a signal comes."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any, Final

import ray
from ray import serve
from ray.exceptions import RayError

from velox import logs
from velox.cluster.actors import start_consumers
from velox.cluster.config import ClusterConfig
from velox.cluster.reading import with_bucket
from velox.cluster.serving import APPLICATION, application
from velox.cluster.starting import join_or_start
from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import SettingsError, VeloxError
from velox.settings import InferenceSettings, ObjectSettings, Settings
from velox.settings.models import ModelEntry
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_MARGIN_S: Final = 15.0
"""Beyond its own deadline, so long may a consumer take to end."""
_FIRST_S, _LONGEST_S = 1.0, 30.0


def up(settings: Settings, config: ClusterConfig, *, consumers: int, host: str, port: int) -> int:
    """Start everything, watch over it, and end it in the direction of flow.

    Returns:
        0 when each consumer has finished and committed what it had fetched, else 1.

    Raises:
        VeloxError: it cannot be started: Ray does not, a model does not load, or the cluster is too small.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline)
    models = {entry.name: _model_settings(entry.name, entry.model, settings) for entry in config.classifiers}
    started = join_or_start()
    # From here on: Ray takes the signals over when it starts.
    with StopRequest() as stop:
        try:
            _refuse_if_too_small(config, ray.cluster_resources())
            _deploy(config, models, with_bucket(settings.part(ObjectSettings)), host=host, port=port)
            code = _watch(settings, consumers, stop)
        finally:
            if not stop.is_urgent():
                _take_down()
            if started:
                ray.shutdown()
    return code


def _model_settings(name: str, model: str, settings: Settings) -> InferenceSettings:
    """Answer what a deployment's model is told: the settings in force, or those of a pipeline's file."""
    if model.endswith(".env"):
        settings = ModelEntry(name, Path(model)).load()
    own = settings.part(InferenceSettings)
    is_class = model and not model.endswith(".env")
    return own.model_copy(update={"decode_threads": 1} | ({"model": model} if is_class else {}))


def _refuse_if_too_small(config: ClusterConfig, there: Mapping[str, float]) -> None:
    """Stop where Ray would wait for ever: there are not so many cores or GPUs, whether busy or not."""
    for kind, least in (("CPU", config.least_cpus), ("GPU", config.least_gpus)):
        if least > there.get(kind, 0.0):
            msg = f"config.yaml sets {least:g} {kind}s aside for the first replicas, and Ray has {there.get(kind, 0):g}"
            raise SettingsError(f"{msg}: lower num_{kind.lower()}s or initial_replicas, or add a machine")


def _deploy(
    config: ClusterConfig, models: Mapping[str, InferenceSettings], objects: ObjectSettings, *, host: str, port: int
) -> None:
    serve.start(http_options={"host": host, "port": port})
    try:
        serve.run(application(config, models, objects), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        msg = f"config.yaml: not deployed: {error}"
        raise VeloxError(msg) from error
    names = ", ".join(entry.name for entry in config.classifiers)
    log.info("Deployed %s; POST http://%s:%d/inference", names, host, port)


def _watch(settings: Settings, count: int, stop: StopRequest) -> int:
    """Keep the consumers running until told to stop, then have them drain."""
    actors = start_consumers(settings, count)
    running = {actor.run.remote(): actor for actor in actors}
    waits: dict[Any, Iterator[float]] = {actor: backoff_s(first_s=_FIRST_S, cap_s=_LONGEST_S) for actor in actors}
    due: dict[Any, Deadline] = {}
    while not stop.is_made():
        if not running:
            sleep(_LOOK_S)
        ended, _ = ray.wait(list(running), timeout=_LOOK_S) if running else ([], [])
        for run in ended:
            actor = running.pop(run)
            log.error("A consumer ended: %s; it is started again", _why(run))
            due[actor] = Deadline(next(waits[actor]))
        for actor in [each for each, deadline in due.items() if deadline.has_passed()]:
            del due[actor]
            running[actor.run.remote()] = actor
    return _drain(running, stop, most_s=settings.drain_s + _MARGIN_S)


def _drain(running: Mapping[Any, Any], stop: StopRequest, *, most_s: float) -> int:
    deadline = Deadline(most_s)
    asked = 0
    left: Sequence[Any] = list(running)
    while left and not deadline.has_passed():
        while asked < min(2, stop.count):
            asked += 1
            for run in left:
                running[run].stop.remote()
        _, left = ray.wait(left, num_returns=len(left), timeout=_LOOK_S)
    codes = [_code(run) for run in running if run not in left]
    return 0 if not left and not any(codes) else 1


def _code(run: Any) -> int:  # noqa: ANN401 - a reference, of a library without types
    try:
        return int(ray.get(run))
    except (RayError, VeloxError):
        return 1


def _why(run: Any) -> str:  # noqa: ANN401 - a reference, of a library without types
    try:
        return f"code {ray.get(run)}"
    except (RayError, VeloxError) as error:
        return str(error).strip().splitlines()[-1]


def _take_down() -> None:
    try:
        serve.delete(APPLICATION)
    except Exception as error:  # noqa: BLE001 - whatever Ray says: we are ending
        log.warning("The deployments were not taken down: %s", error)
