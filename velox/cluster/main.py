"""``velox cluster``: a Ray, with the deployments of config.yaml and consumers, or readers of cameras."""

import logging
from collections.abc import Mapping
from pathlib import Path

import ray
from ray import serve

from velox import logs
from velox.cameras import config as cameras
from velox.cluster.actors import start_consumers, start_producers
from velox.cluster.config import ClusterConfig
from velox.cluster.reading import with_bucket
from velox.cluster.serving import APPLICATION, application
from velox.cluster.starting import join_or_start
from velox.cluster.watching import watch
from velox.core.freshness import Freshness
from velox.errors import SettingsError, VeloxError
from velox.settings import InferenceSettings, ObjectSettings, Settings
from velox.settings.models import ModelEntry
from velox.signals import StopRequest

log = logging.getLogger(__name__)


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
            _deploy(config, models, settings, host=host, port=port)
            code = watch(start_consumers(settings, consumers), stop, drain_s=settings.drain_s)
        finally:
            if not stop.is_urgent():
                _take_down()
            if started:
                ray.shutdown()
    return code


def produce(settings: Settings, *, producers: int) -> int:
    """Read cameras on Ray, each actor its share of them, until a signal comes.

    Returns:
        0 when the broker acknowledged every record that it was given, else 1.

    Raises:
        VeloxError: Ray does not start, or cameras.yaml cannot be read.
    """
    logs.configure(level=settings.log_level, form=settings.log_format, pipeline=settings.pipeline)
    objects = with_bucket(settings.part(ObjectSettings))
    told = settings.model_copy(update={"bucket_url": objects.bucket_url})
    cameras.load(settings.cameras_file)  # what is wrong with it is said here, and not by an actor again and again
    started = join_or_start()
    with StopRequest() as stop:
        try:
            return watch(start_producers(told, producers), stop, drain_s=settings.drain_s)
        finally:
            if started:
                ray.shutdown()


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
    config: ClusterConfig, models: Mapping[str, InferenceSettings], settings: Settings, *, host: str, port: int
) -> None:
    objects = with_bucket(settings.part(ObjectSettings))
    rule = Freshness.of(is_newest_only=settings.is_newest_only, stale_after_ms=settings.stale_after_ms)
    serve.start(http_options={"host": host, "port": port})
    try:
        serve.run(
            application(config, models, objects, stale_after_s=rule.stale_after_s), name=APPLICATION, route_prefix="/"
        )
    except RuntimeError as error:
        msg = f"config.yaml: not deployed: {error}"
        raise VeloxError(msg) from error
    names = ", ".join(entry.name for entry in config.classifiers)
    log.info("Deployed %s; POST http://%s:%d/inference", names, host, port)


def _take_down() -> None:
    try:
        serve.delete(APPLICATION)
    except Exception as error:  # noqa: BLE001 - whatever Ray says: we are ending
        log.warning("The deployments were not taken down: %s", error)
