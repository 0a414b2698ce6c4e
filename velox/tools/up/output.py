"""Where the processes that ``velox up`` starts write what they say."""

from pathlib import Path
from typing import Final, TextIO

from velox.errors import VeloxError

LOG_PATH: Final = Path("velox-up.log")


def open_log() -> TextIO:
    """Begin the file anew.

    Raises:
        VeloxError: it cannot be written here.
    """
    try:
        return LOG_PATH.open("w")
    except OSError as error:
        msg = f"{LOG_PATH}: {error.strerror}; run it in a folder that can be written to"
        raise VeloxError(msg) from error
