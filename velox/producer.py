"""The producer: takes items from a source at a steady pace and publishes them to Kafka."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from velox import logs
from velox.buckets.claims import Claims, claims
from velox.core.backlog import Backlog, LagLimit
from velox.core.deadline import Deadline
from velox.core.envelope import CHECKSUM_HEADER, CLAIM, Codec, checksum, wrap
from velox.core.ids import time_ordered_uuid
from velox.core.json_values import PLAIN_FORM, JsonForm
from velox.core.pointers import claim_of
from velox.core.schedule import Schedule
from velox.errors import BadRecordError, SettingsError
from velox.heartbeat import Heartbeat
from velox.kafka.lag import Observer
from velox.kafka.publisher import Publisher
from velox.kafka.topics import ensure_topic, topics_now
from velox.progress import Progress
from velox.records import ID_HEADER, Pointer
from velox.settings import ProductionSettings
from velox.signals import StopRequest
from velox.sources import check_codec, open_source
from velox.sources.source import NOTHING, Item, Resumable, Source

log = logging.getLogger(__name__)

_MARK_EVERY = 5000
_MARK_S = 1.0
"""Records and seconds after which a source that can resume is told how far it is: so many may come again after a crash,
those of such a time if they are fewer."""
_MOMENT_S = 0.005
"""A wait for a payload that is on its way to the bucket."""
_SLICE_S = 0.1
"""Longest single wait: how soon a stop is noticed."""


def run(
    settings: ProductionSettings,
    *,
    source: str | None = None,
    count: int | None = None,
    rate: float | None = None,
    heartbeat: Path | None = None,
) -> int:
    """Publish until the source ends, ``count`` is reached or a signal comes.

    Args:
        settings: what to publish, where and how.
        source: instead of SOURCE.
        count: records at most; None = as many as the source has.
        rate: records a second, 0 = as fast as possible; None = the source's own pace, else PRODUCER_INTERVAL.
        heartbeat: a file to touch about once a second, as long as the broker acknowledges what it is given.

    Returns:
        0 when the broker acknowledged every record, else 1.

    Raises:
        SettingsError: an argument makes no sense.
        SourceError: the source cannot be read.
        BrokerUnavailableError: no broker answered in a minute, or no topic matches KAFKA_TOPIC, which is a pattern.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    _check(count, rate)
    check_codec(settings, source or settings.source)
    beating = Heartbeat(heartbeat)
    with StopRequest() as stop:
        origin = open_source(settings, source or settings.source)
        for topic in settings.subscription.names:
            ensure_topic(settings, topic, is_stopping=stop.is_made)
        backlog = Backlog() if settings.producer_max_lag_bytes else None
        publisher = Publisher(settings, topics_now(settings), backlog=backlog)
        interval_s = _interval_s(settings, origin, rate)
        log.info("Producing %s to %s, %s", source or settings.source, settings.kafka_topic, _pace(interval_s))
        production = Production(
            publisher=publisher,
            limit=_lag_limit(settings, backlog),
            schedule=Schedule(interval_s),
            stop=stop,
            codec=settings.codec,
            form=settings.json_form,
            heartbeat=beating,
            mark=origin.mark if isinstance(origin, Resumable) else None,
            claims=claims(settings),
        )
        with Progress(count) as progress:
            published = production.publish_all(iter(origin), count, progress)
        if production.claims:
            production.claims.close()
        failed = _finish(publisher, published, settings, stop)
        if production.mark and not failed and not production.unpublished:
            production.mark()
        return failed


class Limit(Protocol):
    """What may hold the producer back."""

    def is_reached(self) -> bool:
        """Say whether to wait."""


@dataclass(slots=True)
class Production:
    """One run from the source to Kafka."""

    publisher: Publisher
    limit: Limit | None
    schedule: Schedule
    stop: StopRequest
    codec: Codec
    form: JsonForm = PLAIN_FORM
    """How a value is laid out with CODEC=json."""
    heartbeat: Heartbeat = field(default_factory=Heartbeat)
    mark: Callable[[], None] | None = None
    """Told now and then that all that was published is delivered, so that the next run begins behind it."""
    claims: Claims | None = None
    """Takes payloads that are too large for the topic."""
    _line: deque[tuple[Item, Future[Pointer | None] | None]] = field(default_factory=deque)
    """What is published in this order, each once its payload is in the bucket, if it goes there."""
    _published: int = 0

    def publish_all(self, items: Iterator[Item], count: int | None, progress: Progress) -> int:
        """Publish each item when it is due; return how many were handed to the client."""
        taken = marked = 0
        unmarked = Deadline(_MARK_S)
        while taken != count and self._wait_until_due():
            # Asked for only now, so that what it shows is as old as its timestamp says.
            item = next(items, None)
            if item is NOTHING:
                self._settle()
                marked, unmarked = taken, Deadline(_MARK_S)
                continue
            if item is None or not self._take(item):
                break
            taken += 1
            self.schedule.advance()
            progress.show(taken, self.publisher)
            if self.mark and (taken - marked >= _MARK_EVERY or unmarked.has_passed()):
                self._settle()
                marked, unmarked = taken, Deadline(_MARK_S)
        self._move_up()
        return self._published

    @property
    def unpublished(self) -> int:
        """Count the items that a stop left behind, with their payloads on the way to the bucket."""
        return len(self._line)

    def _settle(self) -> None:
        """Wait until all is delivered, and have the source remember that; not when something never will be."""
        if not self._move_up():
            return
        if self.mark is None:
            self.publisher.poll(0)
            return
        while self.publisher.waiting and not self.stop.is_made():
            self.heartbeat.beat(self.publisher)
            self.publisher.poll(_SLICE_S)
        if not self.publisher.waiting and not self.publisher.failed:
            self.mark()

    def _wait_until_due(self) -> bool:
        """Wait for the schedule and for a group that is too far behind; false when it is time to stop."""
        while not self.stop.is_made():
            self.heartbeat.beat(self.publisher)
            if self.claims and not self._move_up(self.claims.at_once):
                return False
            wait_s = _SLICE_S if self.limit and self.limit.is_reached() else self.schedule.due_in_s()
            if wait_s < 0.001:  # noqa: PLR2004 - a millisecond, the client's shortest wait: the mean pace stays exact
                return True
            self.publisher.poll(min(wait_s, _MOMENT_S if self._line else _SLICE_S))
        return False

    def _take(self, item: Item) -> bool:
        """Publish an item, or have it wait for its payload to be in the bucket, and others behind it for their turn."""
        if self.claims is None:
            return self._publish(item)
        begun = None
        if self.claims.takes(item.payload):
            try:
                begun = self.claims.begin(item.payload)
            except BadRecordError as error:
                self.publisher.refuse(error)
                self._published += 1  # and counted as failed
                return True
        self._line.append((item, begun))
        return self._move_up(self.claims.at_once)

    def _move_up(self, most: int = 0) -> bool:
        """Publish what has come to the head of the line, until no more than ``most`` wait; false at a stop before."""
        while self._line:
            item, begun = self._line[0]
            if begun is not None:
                if not begun.done():
                    if len(self._line) <= most:
                        return True
                    if self.stop.is_made():
                        return False
                    self.heartbeat.beat(self.publisher)
                    self.publisher.poll(_MOMENT_S)
                    continue
                if (pointer := begun.result()) is None:
                    return False
                item = replace(item, metadata={**item.metadata, CLAIM: claim_of(pointer)}, payload=b"")
            if not self._publish(item):
                return False
            self._line.popleft()
        return True

    def _publish(self, item: Item) -> bool:
        identity = item.id or str(time_ordered_uuid())
        value = encode(item, self.codec, self.form, identity)
        headers = [(ID_HEADER, identity.encode()), (CHECKSUM_HEADER, checksum(value)), *item.headers]
        is_handed = self.publisher.publish(value, key=item.key, headers=headers, is_stopping=self.stop.is_made)
        self._published += is_handed
        return is_handed


def encode(item: Item, codec: Codec, form: JsonForm = PLAIN_FORM, identity: str = "") -> bytes:
    """Build a record's value. What the source does not say itself is: made now, unlabelled."""
    known: dict[str, object] = {"timestamp": time.time()}
    if item.dtype == "jpeg":
        known |= {"shape_label": "unknown", "color_label": "unknown"}
    if codec is Codec.FRAMED:
        known["dtype"] = item.dtype
    if form.id_field:
        known[form.id_field] = identity
    return wrap({**known, **item.metadata}, item.payload, codec, form)


def _finish(publisher: Publisher, published: int, settings: ProductionSettings, stop: StopRequest) -> int:
    missing = publisher.flush(Deadline(settings.drain_s), is_urgent=stop.is_urgent)
    if missing:
        log.error("%d records without an answer from Kafka count as failed, though some may be stored", missing)
    failed = publisher.failed + missing
    log.info("Delivered %d of %d records (%d failed)", publisher.delivered, published, failed)
    return 1 if failed else 0


def _lag_limit(settings: ProductionSettings, backlog: Backlog | None) -> LagLimit | None:
    if backlog is None:
        return None
    observer = Observer(settings)
    return LagLimit(settings.producer_max_lag_bytes, backlog, observer.committed)


def _interval_s(settings: ProductionSettings, source: Source, rate: float | None) -> float:
    if rate is not None:
        return 1 / rate if rate else 0.0
    return settings.producer_interval if source.interval_s is None else source.interval_s


def _pace(interval_s: float) -> str:
    return f"one every {interval_s:g} s" if interval_s else "as fast as possible"


def _check(count: int | None, rate: float | None) -> None:
    for name, value in (("--count", count), ("--rate", rate)):
        if value is not None and not 0 <= value < float("inf"):
            msg = f"{name} {value}: must be 0 or more"
            raise SettingsError(msg)
