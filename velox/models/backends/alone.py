"""One process at a time with a model's files."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from velox.models import card


@contextmanager
def alone_with(model_path: Path) -> Iterator[None]:
    """Let one process at a time work on a model's files; the lock ends with the process that holds it.

    On one of its files: the folder is locked by start.sh while it trains, and training ends with a first start.
    """
    files = (path for path in (model_path, card.export_path(model_path)) if path.exists())
    descriptor = os.open(next(files, model_path), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
