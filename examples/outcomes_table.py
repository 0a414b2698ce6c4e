"""A user's own sink that hears of failures too: SINKS=sqlite,examples.outcomes_table:OutcomesTable."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from velox.errors import SinkUnavailableError
from velox.records import Failure, Outcome
from velox.settings import Settings

PATH = Path("outcomes.db")


class OutcomesTable:
    """Keeps one row a record in ``outcomes.db``: its label, or why it has none.

    An outcome that comes again replaces the row, so that after a crash nothing is there twice, and the last one counts.
    """

    name = "outcomes_table"
    takes: Literal["outcomes"] = "outcomes"

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.sink_timeout_s
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Create the file and the table where missing."""
        self.close()
        try:
            self._connection = sqlite3.connect(PATH, timeout=self._timeout_s)
            with self._connection as transaction:
                transaction.execute(
                    "CREATE TABLE IF NOT EXISTS outcomes (id TEXT PRIMARY KEY, label TEXT, confidence REAL, "
                    "failed TEXT, detail TEXT)"
                )
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    def write(self, batch: Sequence[Outcome]) -> None:
        """Return only when the rows are on the disk: their records will never be read again."""
        if self._connection is None:
            self.open()
        if self._connection is None:
            raise SinkUnavailableError("outcomes_table: not open")
        try:
            with self._connection as transaction:
                transaction.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", map(_row, batch))
        except sqlite3.Error as error:
            self.close()
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _row(outcome: Outcome) -> tuple[object, ...]:
    if isinstance(outcome, Failure):
        return outcome.id, None, None, outcome.reason.value, outcome.detail
    return outcome.id, outcome.prediction.label, outcome.prediction.confidence, None, None


def _unavailable(error: sqlite3.Error) -> SinkUnavailableError:
    return SinkUnavailableError(f"outcomes_table: cannot use {PATH}: {error}; check its folder and free space")
