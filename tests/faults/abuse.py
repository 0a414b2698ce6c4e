"""What strangers send: good records, odd ones and bad ones, each with what has to become of it."""

import json
import random
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from itertools import count

from confluent_kafka import Message, Producer

from tests.e2e.pipeline import PATIENCE_S
from tests.e2e.test_pictures import PICTURES, PLAIN
from velox.core.envelope import frame
from velox.records import Headers, Position, record_id

MIB = 1024 * 1024
PUBLISHED_S = 300.0


class Due(Enum):
    """What has to become of a record."""

    STORED = auto()
    DEAD_LETTER = auto()
    EITHER = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Sent:
    """One record."""

    due: Due
    value: bytes | None
    headers: Headers = ()
    key: bytes | None = None
    timestamp_ms: int = 0
    """0: now."""


def small(own: Sequence[bytes]) -> list[Sent]:
    """One of each kind that costs its sender little; ``own`` are more payloads, of which nobody knows what is due."""
    png_bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0) + bytes(9)
    jpeg_bomb = PLAIN.replace(struct.pack(">BHH", 8, 512, 512), struct.pack(">BHH", 8, 65_000, 65_000), 1)
    good = frame({"timestamp": time.time()}, PLAIN)
    return [
        *(
            Sent(Due.DEAD_LETTER if picture.reason else Due.STORED, frame({}, picture.payload))
            for picture in PICTURES.values()
        ),
        *(Sent(Due.EITHER, frame({}, payload)) for payload in own),
        *(Sent(Due.DEAD_LETTER, frame({}, payload)) for payload in (b"", b"\xff\xd8", b"<svg/>", png_bomb, jpeg_bomb)),
        *(Sent(Due.DEAD_LETTER, value) for value in (b"", None, b"\0", b"\xff" * 4, bytes(4), b"\0\0\0\5nope!")),
        *(Sent(Due.DEAD_LETTER, _framed(text)) for text in (b"[]", b"null", b'"text"', b"\xff\xfe", b"{" * 5000)),
        Sent(Due.DEAD_LETTER, _framed(b'{"a":"' + b"x" * 70_000 + b'"}')),
        Sent(Due.EITHER, _framed(b'{"color_label":' + b"[" * 990 + b"]" * 990 + b"}")),
        *(Sent(Due.STORED, _framed(b'{"timestamp":%s}' % date)) for date in (b"0", b"-1e308", b"1" * 400, b'"now"')),
        Sent(Due.STORED, frame({"color_label": "\n2026 - ERROR - lie\x1b[2J", "shape_label": {"a": [1]}}, PLAIN)),
        Sent(Due.NOTHING, None, key=b"deleted"),
        *(Sent(Due.STORED, good, timestamp_ms=stamp) for stamp in (-1, 1, int(time.time() * 1000) + 3_000_000)),
        Sent(Due.STORED, good, [("velox-id", b"../../etc/passwd\n")]),
        Sent(Due.STORED, good, [("velox-id", b"x" * 100_000)]),
        Sent(Due.DEAD_LETTER, good, [("velox-crc32", b"0")]),
        Sent(Due.DEAD_LETTER, good, [("velox-crc32", b"x\n2026 - ERROR - lie")]),
        Sent(Due.STORED, good, [("velox-dlq-attempts", b"9" * 5000), ("velox-dlq-handled", b"yes")]),
        Sent(Due.STORED, good, [("traceparent", b"\0" * 100), ("tracestate", b"a" * 100_000)]),
    ]


def large() -> list[Sent]:
    """One of each kind that is small on the wire only: compressed."""
    empties = b'{"a":[[]%s]}' % (b",[]" * (9_900_000 // 3))
    return [
        Sent(Due.DEAD_LETTER, _framed(empties)),
        Sent(Due.DEAD_LETTER, bytes(64 * MIB)),
        Sent(Due.DEAD_LETTER, frame({}, b"\xff\xd8\xff" + bytes(9 * MIB))),
        Sent(Due.DEAD_LETTER, frame({}, PLAIN), [("large", bytes(12 * MIB))]),
        Sent(Due.STORED, frame({}, PLAIN), [("large", bytes(9 * MIB))]),
        Sent(Due.STORED, frame({}, PLAIN), [(f"header {number % 10}", b"x") for number in range(10_000)]),
        Sent(Due.STORED, frame({}, PLAIN), key=bytes(3 * MIB)),
        Sent(Due.DEAD_LETTER, frame({}, PLAIN), key=bytes(12 * MIB)),
    ]


def mixture(own: Sequence[bytes], seed: int = 7) -> Iterator[Sent]:
    """Mostly good records, of the others as many as a consumer takes without opening its circuit, large ones rarely."""
    draw = random.Random(seed)  # noqa: S311 - the same again
    odd, heavy = small(own), large()
    for number in count():
        if number % 400 == 399:
            yield heavy[number // 400 % len(heavy)]
        elif number % 2:
            yield draw.choice(odd)
        else:
            header = json.dumps({"timestamp": time.time(), "color_label": "blue", "shape_label": "circle"}).encode()
            yield Sent(Due.STORED, _framed(header), [("velox-id", b"abuse-%d" % number)])


@dataclass
class Strangers:
    """Publishes a mixture at a steady rate on a thread of its own; knows what was acknowledged, and what is due."""

    bootstrap: str
    topic: str
    own: Sequence[bytes] = ()
    rate: float = 40.0
    due: dict[str, Due] = field(default_factory=dict)
    """By the id that a record's result has."""
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        config = {"bootstrap.servers": self.bootstrap, "enable.idempotence": True, "compression.type": "zstd"}
        limits = {"message.max.bytes": 1_000_000_000, "message.timeout.ms": int(PUBLISHED_S * 1000), "linger.ms": 5}
        self._producer = Producer({**config, **limits, "log_level": 0})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Publish until ``end``."""
        self._thread.start()

    def end(self) -> None:
        """Publish no more; what is on its way arrives."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(PATIENCE_S) == 0
        assert not self.refused, self.refused[:5]

    def _run(self) -> None:
        started = time.monotonic()
        for number, sent in enumerate(mixture(self.own)):
            while (early_s := started + number / self.rate - time.monotonic()) > 0 and not self._stop.is_set():
                self._producer.poll(min(early_s, 0.05))
            if self._stop.is_set():
                return
            while True:
                try:
                    self._producer.produce(
                        self.topic,
                        sent.value,
                        sent.key,
                        headers=list(sent.headers),
                        timestamp=sent.timestamp_ms,
                        on_delivery=partial(self._delivered, sent),
                    )
                    break
                except BufferError:
                    self._producer.poll(0.1)

    def _delivered(self, sent: Sent, error: object, message: Message) -> None:
        if error is not None:
            self.refused.append(str(error))
            return
        position = Position(message.topic() or "", message.partition() or 0, message.offset() or 0)
        self.due[record_id(position, sent.headers)] = sent.due


def _framed(metadata: bytes) -> bytes:
    return struct.pack(">I", len(metadata)) + metadata + PLAIN
