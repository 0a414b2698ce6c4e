"""The model that ``velox up`` needs: made when it is missing."""

import logging
import subprocess
from collections.abc import Mapping
from typing import Final

from velox.children import tethered_command
from velox.errors import ModelError
from velox.models.backends.selection import lacks_model
from velox.settings import InferenceSettings
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_SLICE_S: Final = 0.2


def train_if_missing(
    settings: InferenceSettings, stop: StopRequest, environment: Mapping[str, str] | None = None
) -> None:
    """Train, in a process of its own, unless the model's files are there or the user brings a model class.

    Args:
        settings: the model's.
        stop: ends the training.
        environment: of that process; None = ours.

    Raises:
        ModelError: training failed; it has said why.
    """
    if not lacks_model(settings):
        return
    how = "writing ImageNet's" if settings.is_imagenet else "training one"
    log.info("No model at %s and %s: %s first", settings.model_path, settings.classes_path, how)
    process = subprocess.Popen(  # noqa: S603 - our own command
        tethered_command("train"), env=None if environment is None else dict(environment), start_new_session=True
    )
    asked = False
    while True:
        try:
            code = process.wait(_SLICE_S)
            break
        except subprocess.TimeoutExpired:
            if stop.is_made() and not asked:
                asked = True
                process.terminate()
            if stop.is_urgent():
                process.kill()
    if code and not stop.is_made():
        msg = f"`velox train` ended with exit code {code}, so there is no model to run"
        raise ModelError(msg)
