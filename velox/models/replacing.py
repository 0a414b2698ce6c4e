"""Replaces files atomically: a reader finds the old content or the new, also after a crash."""

import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Replace one file.

    Raises:
        OSError: it cannot be written; the old one is untouched.
    """
    written = write_beside(path, content)
    try:
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def write_beside(path: Path, content: bytes) -> Path:
    """Write ``content`` to disk under another name, from which a rename makes it ``path``; make the folder if need be.

    Raises:
        OSError: it cannot be written; nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            # mkstemp makes files for the owner only; whoever runs the consumer has to read these.
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, and keep two renames in order."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
