"""Results that the sink ``sqlite`` stored, read from its file."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from time import monotonic
from typing import Any, Final

from velox.dashboard.queries import BINS, QUERY_S, SUMMARISED, Columns, Cursor, Page, Row, Summary, Wanted, conditions
from velox.dashboard.queries import summarise as added_up
from velox.errors import StoreUnavailableError
from velox.settings.sinks import SqliteSettings

_COLUMNS: Final = Columns(
    label="predicted_label", at="timestamp", truth="ground_truth", camera="topic", mark="?", moment="?"
)
_STEPS: Final = 20_000
"""Of SQLite's machine, between two looks at the clock."""
_SHOWN: Final = frozenset(
    {
        *("rowid", "id", "timestamp", "confidence", "predicted_label", "ground_truth", "file_path", "is_detection"),
        *("topic", "partition", "offset", "model", "model_version", "object_key", "text", "camera_id"),
    }
)
_ABSENT: Final = "no such table"
Found = tuple[int, Row]


class SqliteResults:
    """Reads the table ``predictions``; by its indexes, for results in the order of their time."""

    absent: frozenset[str] = frozenset()

    def __init__(self, settings: SqliteSettings) -> None:
        """Keep the path; the file need not be there yet."""
        self.name = f"SQLite, {settings.sqlite_path.name}"
        self._path = settings.sqlite_path

    def newest(self, limit: int) -> Sequence[Row]:
        """Answer the rows written last: a row that is written again stays where it was."""
        return [row for _, row in self._ask("ORDER BY rowid DESC LIMIT ?", limit)]

    def page(self, wanted: Wanted, after: Cursor | None, limit: int) -> Page:
        """Go through the index of times, or of labels and times."""
        where, values = conditions(wanted, _COLUMNS)
        if after is not None:
            where += " AND (timestamp, rowid) < (?, ?)"
            values += [after.at, after.key]
        found = self._ask(f"WHERE {where} ORDER BY timestamp DESC, rowid DESC LIMIT ?", *values, limit + 1)
        rows = [row for _, row in found[:limit]]
        if len(found) <= limit or rows[-1].at is None:
            return Page(rows, None)
        return Page(rows, Cursor(rows[-1].at, found[limit - 1][0]))

    def summary(self, wanted: Wanted) -> Summary:
        """Count by label and confidence."""
        where, values = conditions(wanted, _COLUMNS)
        query = (
            f"SELECT predicted_label, CAST(confidence * {BINS} AS INTEGER), count(*) FROM"  # noqa: S608 - our own words
            f" (SELECT predicted_label, confidence FROM predictions WHERE {where}"
            f" ORDER BY timestamp DESC LIMIT {SUMMARISED}) GROUP BY 1, 2"
        )
        return added_up([tuple(row) for row in self._run(query, values)])

    def find(self, identity: str) -> Row | None:
        """Look it up by its key."""
        found = self._ask("WHERE id = ?", identity)
        return found[0][1] if found else None

    def beside(self, row: Row) -> tuple[str | None, str | None]:
        """Go a step in each direction of the index of times."""
        here = "(SELECT timestamp, rowid FROM predictions WHERE id = ?)"
        newer = self._ask(f"WHERE (timestamp, rowid) > {here} ORDER BY timestamp, rowid LIMIT 1", row.id)
        older = self._ask(f"WHERE (timestamp, rowid) < {here} ORDER BY timestamp DESC, rowid DESC LIMIT 1", row.id)
        return (newer[0][1].id if newer else None), (older[0][1].id if older else None)

    def close(self) -> None:
        """Nothing is held between two questions."""

    def _ask(self, rest: str, *values: object) -> list[Found]:
        found = self._run(f"SELECT rowid, * FROM predictions {rest}", values)  # noqa: S608 - written here
        return [(row["rowid"], _row(dict(row))) for row in found]

    def _run(self, query: str, values: Sequence[object]) -> list[sqlite3.Row]:
        """Ask, for a while at most. Nothing is there before the sink has made file and table."""
        if not self._path.exists():
            return []
        until = monotonic() + QUERY_S
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=QUERY_S)) as connection:
                connection.row_factory = sqlite3.Row
                connection.set_progress_handler(lambda: monotonic() > until, _STEPS)
                return connection.execute(query, tuple(values)).fetchall()
        except sqlite3.Error as error:
            if _ABSENT in str(error):
                return []
            remedy = "check SQLITE_PATH and the file's permissions"
            if "interrupt" in str(error):
                remedy = f"it took longer than {QUERY_S:g} s: narrow it by a label or a time"
            raise StoreUnavailableError(f"{self._path} cannot be read now: {error}; {remedy}") from error


def _row(found: dict[str, Any]) -> Row:
    return Row(
        id=found["id"],
        at=found["timestamp"],
        label=found["predicted_label"],
        confidence=found["confidence"],
        truth=found["ground_truth"],
        is_detection=bool(found["is_detection"]),
        topic=found["topic"],
        partition=found["partition"],
        offset=found["offset"],
        model=found["model"],
        version=found["model_version"],
        file_path=found["file_path"],
        object_key=found.get("object_key") or "",
        text=found.get("text"),
        camera=found.get("camera_id") or "",
        more={name: value for name, value in found.items() if name not in _SHOWN and value is not None},
    )
