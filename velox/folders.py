"""Whether a folder takes files."""

import tempfile
from pathlib import Path


def prove_writable(folder: Path) -> Path:
    """Write and remove a file in the folder or, where there is none yet, in the nearest that exists above it.

    Returns:
        The folder that was written to.

    Raises:
        OSError: it takes no files.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    with tempfile.TemporaryFile(prefix=".velox-", dir=existing) as file:
        file.write(b"velox")
        file.flush()
    return existing
