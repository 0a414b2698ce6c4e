"""A record's payload, by its stored result: from the folder of detections, the bucket, or Kafka."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from velox.core.envelope import PARSERS
from velox.core.image_formats import JPEG, recognise
from velox.dashboard.queries import Row
from velox.errors import BadRecordError, VeloxError
from velox.kafka.lag import Extent, Observer
from velox.records import Partition, Pointer
from velox.settings.kafka import KafkaSettings

_MOST_BYTES: Final = 32 * 1024 * 1024
_KAFKA_S: Final = 5.0
_KINDS: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}
GetObject = Callable[[Pointer, int], bytes]


class Payload(NamedTuple):
    """What a model read."""

    kind: str
    """Its media type: of an image that browsers show, or plain text."""
    payload: bytes


class Media:
    """Finds payloads. Blocks; any thread may ask, and one at a time reads from Kafka."""

    def __init__(
        self,
        settings: KafkaSettings,
        observe: Callable[[], Observer],
        *,
        folder: Path | None,
        get_object: GetObject | None = None,
    ) -> None:
        """Know where to look; ``folder`` is that of the sink ``disk``, if that is one."""
        self._settings = settings
        self._observe = observe
        self._observer: Observer | None = None
        self._kafka = threading.Lock()
        self._folder = folder.resolve() if folder else None
        self._get_object = get_object

    def of(self, row: Row) -> Payload | None:
        """Answer a record's payload; None where it is nowhere any more.

        Raises:
            VeloxError: where it may be does not answer.
        """
        payload = self._on_disk(row) or self._in_bucket(row.object_key) or self._in_kafka(row)
        return None if payload is None else _typed(payload)

    def close(self) -> None:
        """Let go of the connection."""
        with self._kafka:
            observer, self._observer = self._observer, None
            if observer is not None:
                observer.close()

    def _on_disk(self, row: Row) -> bytes | None:
        """Read it from the folder; a path in the store that leads elsewhere is not followed."""
        if self._folder is None or not row.file_path:
            return None
        path = Path(row.file_path).resolve()
        try:
            return path.read_bytes() if path.is_relative_to(self._folder) else None
        except OSError:
            return None

    def _in_bucket(self, key: str, pointer: Pointer | None = None) -> bytes | None:
        if self._get_object is None or not (key or pointer):
            return None
        try:
            return self._get_object(pointer or Pointer(key=key), _MOST_BYTES)
        except BadRecordError:
            return None

    def _in_kafka(self, row: Row) -> bytes | None:
        return self._payload(self.value(row.topic, row.partition, row.offset))

    def _payload(self, value: bytes | None) -> bytes | None:
        if value is None:
            return None
        try:
            taken = PARSERS[self._settings.codec](value, self._settings.json_form)
        except BadRecordError:
            return None
        return self._in_bucket("", taken.pointer) if taken.pointer else taken.payload

    def newest(self, topic: str) -> bytes | None:
        """Answer the payload of a topic's last record, of a topic with one partition; None where there is none.

        Raises:
            BrokerUnavailableError: it does not answer, or there is no such topic.
        """
        with self._kafka:
            self._observer = self._observer or self._observe()
            high = max((extent.high for extent in self._observer.extents(topic).values()), default=0)
        payload = self._payload(self.value(topic, 0, high - 1)) if high else None
        return payload if payload is not None and recognise(payload) is JPEG else None

    def value(self, topic: str, partition: int, offset: int) -> bytes | None:
        """Read a record's value; None where Kafka no longer has it.

        Raises:
            BrokerUnavailableError: it does not answer.
        """
        with self._kafka:
            self._observer = self._observer or self._observe()
            try:
                of = {Partition(topic, partition): Extent(offset, offset + 1)}
                messages = list(self._observer.read(of, patience_s=_KAFKA_S))
            except VeloxError:
                self._observer.close()
                self._observer = None
                raise
        return next((message.value() for message in messages if message.offset() == offset), None)


def _typed(payload: bytes) -> Payload:
    form = recognise(payload)
    return Payload(_KINDS[form.name], payload) if form else Payload("text/plain; charset=utf-8", payload)
