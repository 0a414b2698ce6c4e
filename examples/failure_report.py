"""A user's own sink that hears of failures too: SINKS=sqlite,examples.failure_report:FailureReport."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from velox.errors import SinkUnavailableError
from velox.records import Failure, Outcome
from velox.settings import Settings


class FailureReport:
    """Appends a line of JSON to ``outcomes.jsonl`` for each record: its id, and its label or why it has none.

    At least once, as every plain append: after a crash an id may come again, and the last line of an id counts.
    """

    name = "failure_report"
    takes: Literal["outcomes"] = "outcomes"

    def __init__(self, settings: Settings) -> None:
        self._path = Path("outcomes.jsonl")

    def open(self) -> None:
        """Prove that the file can be written."""
        self.write([])

    def write(self, batch: Sequence[Outcome]) -> None:
        """Return only when the lines are on the disk: their records will never be read again."""
        try:
            with self._path.open("a") as file:
                file.writelines(json.dumps(_line(outcome)) + "\n" for outcome in batch)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            msg = f"failure_report: cannot write {self._path}: {error.strerror}; free space, or let this user write"
            raise SinkUnavailableError(msg) from error

    def close(self) -> None:
        """Keep nothing open."""


def _line(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Failure):
        return {"id": outcome.id, "failed": outcome.reason.value, "detail": outcome.detail}
    return {"id": outcome.id, "label": outcome.prediction.label, "confidence": outcome.prediction.confidence}
