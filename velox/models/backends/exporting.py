"""Makes an export that is missing or another model's: once, by one process, in a process of its own."""

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from velox.errors import ModelError
from velox.loading import is_installed
from velox.models import card
from velox.models.architectures import Architecture
from velox.models.card import ModelFiles
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_EXPORT: Final = "import sys; sys.path[:] = {path!r}; from velox.models.export import main; main({architecture!r})"


def check_can_export(path: Path, files: ModelFiles, problem: ModelError) -> None:
    """Raise ``problem``, with its remedy, where no export can be made."""
    if not files.weights or not is_installed("torch"):
        otherwise = ", or install torch, which exports the weights" if files.weights else ""
        msg = f"{problem}; copy all files of one training together{otherwise}"
        raise ModelError(msg) from problem
    if not os.access(path.parent, os.W_OK):
        msg = f"{problem}; and none can be made, as {path.parent.absolute()} cannot be written: change its owner"
        raise ModelError(msg) from problem


@contextmanager
def alone_with(model_path: Path) -> Iterator[None]:
    """Let one process at a time go on with a model; the lock ends with whoever holds it.

    On one of its files: the folder is locked by start.sh while it trains, and training ends with a first start.
    """
    files = (path for path in (model_path, card.export_path(model_path)) if path.exists())
    descriptor = os.open(next(files, model_path), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def export_unless(load: Callable[[], object], settings: InferenceSettings, architecture: Architecture) -> None:
    """Export unless another inference process has while this one waited; in a process that takes its torch with it."""
    try:
        load()
    except ModelError as problem:
        log.info("%s: exporting the model, which takes some seconds", problem)
    else:
        return
    command = [sys.executable, "-c", _EXPORT.format(path=sys.path, architecture=architecture.name)]
    given = settings.part(InferenceSettings).model_dump_json().encode()  # all but the secrets
    try:
        subprocess.run(  # noqa: S603 - our own command
            command, check=True, capture_output=True, input=given, timeout=settings.inference_start_timeout_s
        )
    except subprocess.SubprocessError as error:
        output: bytes | None = getattr(error, "stderr", None)
        said = (output.decode(errors="replace") if output else str(error)).strip().splitlines()
        msg = f"the model cannot be exported: {said[-1]}"
        raise ModelError(msg) from error
