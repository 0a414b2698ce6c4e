"""Spans of records that came with a sampled trace: how long each waited, was downloaded, predicted, and stored.

They stand between a consumer's parts, which know nothing of them; without a collector they are not there.
"""

from collections.abc import Callable, Sequence
from time import time
from typing import Final

from velox.core.tracing import Spans, Value, sampled
from velox.errors import BadRecordError
from velox.records import Answered, Position, Record

Submit = Callable[[list[Answered]], None]
Onward = Callable[[Sequence[Record]], None]
Done = Callable[[Sequence[Record], Sequence[Record]], None]

_MOST_LINKS: Final = 128


class RecordSpans:
    """Makes spans of what passes the places that it is put between. Any thread may pass.

    Each record's spans are children of the one that published it. A batch that is predicted together has one of its
    own, linked with all its records' traces, and each record's is linked with it.
    """

    def __init__(self, spans: Spans) -> None:
        """Begin without any record."""
        self._spans = spans
        self._wanted: dict[Position, float] = {}
        """When records came that need a download; those in flight, and no more."""
        self._answered: dict[Position, tuple[bytes, float, str | None]] = {}
        """Of records that are to be stored: their parent, since when, and what is wrong with them."""

    def wanting(self, onward: Onward) -> Onward:
        """Stand before the downloads."""

        def submit(records: Sequence[Record]) -> None:
            now = time()
            for record in records:
                if record.pointer is not None and sampled(record.headers):
                    self._wanted[record.position] = now
            onward(records)

        return submit

    def downloaded(self, onward: Onward) -> Onward:
        """Stand behind the downloads."""

        def submit(records: Sequence[Record]) -> None:
            for record in records:
                since = self._wanted.pop(record.position, None)
                if since is not None:
                    span = self._spans.begin("download", "client", parent=sampled(record.headers), at=since)
                    span.end(attributes={"velox.object.bytes": len(record.payload)})
            onward(records)

        return submit

    def answered(self, onward: Submit) -> Submit:
        """Stand between whoever answers records, all of one batch, and the writer."""

        def submit(answered: list[Answered]) -> None:
            if traced := [(each, parent) for each in answered if (parent := sampled(each.record.headers))]:
                self._predicted(traced)
            onward(answered)

        return submit

    def done(self, onward: Done) -> Done:
        """Stand behind the writer."""

        def done(fine: Sequence[Record], bad: Sequence[Record]) -> None:
            now = time()
            for record in (*fine, *bad) if self._answered else ():
                if (told := self._answered.pop(record.position, None)) is not None:
                    parent, since, error = told
                    self._spans.begin("write", "internal", parent=parent, at=since).end(at=now, error=error)
            onward(fine, bad)

        return done

    def close(self) -> None:
        """Send what waits."""
        self._spans.close()

    def _predicted(self, traced: Sequence[tuple[Answered, bytes]]) -> None:
        """Make the spans of a batch, whose records have model, time and timings in common."""
        first = traced[0][0]
        if first.timings is None:  # never came to a model
            for each, parent in traced:
                self._wanted.pop(each.record.position, None)
                self._answered[each.record.position] = (parent, time(), _error(each))
            return
        began = first.at - first.timings.decoded_s - first.timings.inferred_s
        batch = self._spans.begin(
            "batch",
            "consumer",
            links=[parent for _, parent in traced[:_MOST_LINKS]],
            at=began,
            attributes={
                "messaging.system": "kafka",
                "messaging.destination.name": first.record.position.topic,
                "messaging.batch.message_count": first.timings.batch_size,
                "velox.model": first.model.name if first.model else "",
                "velox.model.version": first.model.version if first.model else "",
            },
        )
        for each, parent in traced:
            position = each.record.position
            came = min(each.record.timed_from or began, began)
            where: dict[str, Value] = {
                "messaging.system": "kafka",
                "messaging.destination.name": position.topic,
                "messaging.destination.partition.id": str(position.partition),
                "messaging.kafka.offset": position.offset,
            }
            self._spans.begin("queue", "consumer", parent=parent, at=came, attributes=where).end(at=began)
            inference = self._spans.begin("inference", "internal", parent=parent, links=[batch.traceparent], at=began)
            error = _error(each)
            inference.end(at=each.at, error=error)
            self._answered[position] = (parent, each.at, error)
        batch.end(at=first.at)


def _error(answered: Answered) -> str | None:
    return answered.answer.reason.value if isinstance(answered.answer, BadRecordError) else None
