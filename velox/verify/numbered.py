"""The records of a run: numbered, each with an id of its own; some are bad on purpose."""

import random
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Final

from velox.core.envelope import CHECKSUM_HEADER, Codec, checksum, frame
from velox.models import numbered
from velox.records import ID_HEADER, Headers
from velox.sources.source import Source

KEYS: Final = 64
"""Records share this many keys, in turn; order is looked at within each."""
PAYLOADS: Final = 256
"""Payloads that are taken from a source, and then again: drawing each anew costs as much as predicting it."""
_METADATA: Final = {"color_label": "numbered", "dtype": "jpeg"}


@dataclass(slots=True)
class Records:
    """Builds the record with each number."""

    run: str
    codec: Codec
    poison: float
    source: Source | None
    """What the payloads are; None = what the built-in model reads."""
    poisoned: set[int] = field(default_factory=set)
    """The numbers of bad records among those built so far."""
    _payloads: Iterator[bytes] | None = None
    _draw: random.Random = field(default_factory=random.Random)

    @property
    def prefix(self) -> str:
        """How all ids of the run begin."""
        return f"verify-{self.run}-"

    def id(self, number: int) -> str:
        """Name a record."""
        return f"{self.prefix}{number:08d}"

    def key(self, number: int) -> bytes:
        """Choose the key, and so the partition."""
        return b"key %d" % (number % KEYS)

    def label(self, number: int) -> str | None:
        """Say what has to be stored as its label; None when only the model knows."""
        return numbered.label(number) if self.source is None else None

    def usual_bytes(self) -> int:
        """Say how large values are, going by a good one."""
        return len(self._good(0))

    def build(self, number: int) -> tuple[bytes, Headers]:
        """Build a record's value and headers; a share of them is bad, each in one of several ways."""
        value = self._good(number)
        headers = [(ID_HEADER, self.id(number).encode()), (CHECKSUM_HEADER, checksum(value))]
        if self._draw.random() >= self.poison:
            return value, headers
        self.poisoned.add(number)
        ways = _POISON if self.codec is Codec.FRAMED else _RAW_POISON
        way = ways[len(self.poisoned) % len(ways)]
        if way is None:
            return value[:-1] + bytes([value[-1] ^ 1]), headers
        return way, headers[:1]

    def _good(self, number: int) -> bytes:
        payload = numbered.payload(number) if self.source is None else self._next()
        if self.codec is Codec.RAW:
            return payload
        shape = numbered.label(number).partition("_")[2] if self.source is None else "unknown"
        return frame({**_METADATA, "shape_label": shape, "timestamp": time.time(), "number": number}, payload)

    def _next(self) -> bytes:
        if self._payloads is None:
            self._payloads = cycle(item.payload for item in islice(self.source or (), PAYLOADS))
        return next(self._payloads)


_POISON: Final = (
    b"\x00\x00",
    struct.pack(">I", 5) + b"{nope",
    frame(_METADATA, b""),
    frame(_METADATA, b"<html>no image</html>"),
    frame(_METADATA, numbered.payload(0)[:400]),
    None,
)
"""Bad envelope, bad metadata, empty, not an image, truncated; None = a bit that flipped after the checksum."""
_RAW_POISON: Final = (b"", b"<html>no image</html>", None)
