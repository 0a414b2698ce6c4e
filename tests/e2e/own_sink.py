"""A user's own sink: one line of text for each result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from velox.records import Result
from velox.settings import Settings


class LinesSink:
    """Appends to ``lines.txt``; at least once, as every plain append."""

    name = "lines"
    takes: Literal["detections", "all"] = "all"

    def __init__(self, settings: Settings) -> None:
        self._path = Path("lines.txt")

    def open(self) -> None:
        self._path.touch()

    def write(self, batch: Sequence[Result]) -> None:
        with self._path.open("a") as lines:
            lines.writelines(f"{result.prediction.label}\n" for result in batch)

    def close(self) -> None:
        pass
