"""Sinks that break their promise, for seeing that it shows."""

from collections.abc import Iterator, Sequence

from velox.records import Result
from velox.sinks.sink import Stored
from velox.sinks.sqlite import SqliteSink


class ForgetfulSink(SqliteSink):
    """Says that it has stored everything, and leaves out the records whose number ends in 77."""

    def write(self, batch: Sequence[Result]) -> None:
        super().write([result for result in batch if not result.id.endswith("77")])


class RepeatingSink(SqliteSink):
    """Shows the records whose number ends in 77 twice."""

    def stored(self, prefix: str) -> Iterator[Stored]:
        for row in super().stored(prefix):
            yield from [row] * (2 if row.id.endswith("77") else 1)
