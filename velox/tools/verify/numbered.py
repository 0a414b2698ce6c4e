"""The records of a run: numbered, each with an id of its own; some are bad on purpose."""

import random
import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Final, NamedTuple

from velox.core.envelope import CHECKSUM_HEADER, Codec, checksum, wrap
from velox.core.json_values import JsonForm
from velox.core.letters import Content
from velox.errors import Reason
from velox.models import numbered
from velox.records import ID_HEADER, Headers
from velox.sources.source import Source

STORED: Final = "stored"
"""What has to become of a good record."""
KEYS: Final = 64
"""Records share this many keys, in turn; order is looked at within each."""
PAYLOADS: Final = 256
"""Payloads that are taken from a source, and then again: drawing each anew costs as much as predicting it."""
JSON_FORM: Final = JsonForm(payload="base64")
"""How the built-in model's payloads, which are no text, are written with CODEC=json."""
_METADATA: Final = {"color_label": "numbered", "dtype": "jpeg"}
_DIGITS: Final = re.compile("[0-9]{8}")


@dataclass(slots=True)
class Records:
    """Builds the record with each number, and says what has to become of it."""

    run: str
    codec: Codec
    poison: float
    """The share of records that are bad."""
    source: Source | None
    """What the payloads are; None = what the built-in model reads."""
    reads_images: bool = False
    """Whether the model that reads the source's payloads is the one that Velox trains: what it refuses is known."""
    form: JsonForm = JSON_FORM
    """How a value is laid out with CODEC=json."""
    poisoned: int = 0
    """Bad records among those built so far."""
    _ways: bytearray = field(default_factory=bytearray)
    """By number: 0 = a good record, else how it is bad. One byte a record, up to the last bad one."""
    _payloads: list[bytes] = field(default_factory=list)
    _more: Iterator[bytes] | None = None
    _draw: random.Random = field(default_factory=random.Random)

    @property
    def shares_keys(self) -> bool:
        """Say whether records share keys, so that there is an order among them."""
        return True

    @property
    def prefix(self) -> str:
        """How all ids of the run begin."""
        return f"verify-{self.run}-"

    def id(self, number: int) -> str:
        """Name a record."""
        return f"{self.prefix}{number:08d}"

    def number(self, identity: str) -> int | None:
        """Tell which record an id names; None when it is of another form."""
        digits = identity.removeprefix(self.prefix)
        return int(digits) if _DIGITS.fullmatch(digits) and identity.startswith(self.prefix) else None

    def series(self, number: int) -> int:
        """Tell in which of KEYS series a record is; those of one share a key, a topic and a partition."""
        return number % KEYS

    def key(self, number: int) -> bytes:
        """Choose the key, and so the partition."""
        return b"key %d" % self.series(number)

    def label(self, number: int) -> str | None:
        """Say what has to be stored as its label; None when only the model knows."""
        return numbered.label(number) if self.source is None else None

    def is_detection(self, number: int) -> bool | None:
        """Say whether the model's answer has to be a detection; None when only the model knows."""
        return numbered.label(number) == numbered.LABELS[0] if self.source is None else None

    def due(self, number: int) -> str | None:
        """Say what has to become of a record: ``STORED``, or the reason of its dead letter.

        None when only the model knows: whether it can read a payload of the source, or one that is no image.
        """
        poison = self._poison_of(number)
        if poison is None:
            return STORED if self.source is None else None
        is_known = self.source is None or self.reads_images or poison.payload is None
        return poison.reason.value if is_known else None

    def twin(self, number: int) -> int:
        """Choose one number for all records with the same payload: whatever a model says of one, it has to of all."""
        if poison := self._poison_of(number):
            return -1 - self._all_ways().index(poison)
        return number if self.source is None else number % max(1, len(self._payloads))

    def usual_bytes(self) -> int:
        """Say how large values are, going by a good one."""
        return len(self._good(0))

    def build(self, number: int) -> tuple[bytes, Headers]:
        """Build a record's value and headers; a share of them is bad, in several ways in turn."""
        value = self._good(number)
        headers = [(ID_HEADER, self.id(number).encode()), (CHECKSUM_HEADER, checksum(value))]
        if self._draw.random() >= self.poison:
            return value, headers
        poison = self._poison(number)
        return (_flipped(value), headers) if poison.value is None else (poison.value, headers[:1])

    def payload(self, number: int) -> bytes:
        """Answer what the model reads of a record, if it comes to that."""
        poison = self._poison_of(number)
        return poison.payload if poison and poison.payload is not None else self._good_payload(number)

    def is_whole(self, number: int, content: Content) -> bool:
        """Say whether this is still the record that was built, going by its checksum where it has one."""
        value, headers = content.value or b"", dict(content.headers)
        if content.key != self.key(number) or headers.get(ID_HEADER) != self.id(number).encode():
            return False
        poison = self._poison_of(number)
        if poison is not None and poison.value is not None:
            return value == poison.value
        return bool(value) and headers.get(CHECKSUM_HEADER) == checksum(_flipped(value) if poison else value)

    def _poison(self, number: int) -> "Poison":
        """Make a record bad."""
        ways = self._all_ways()
        self.poisoned += 1
        way = self.poisoned % len(ways)
        self._ways.extend(bytes(max(0, number + 1 - len(self._ways))))
        self._ways[number] = way + 1
        return ways[way]

    def _poison_of(self, number: int) -> "Poison | None":
        way = self._ways[number] if number < len(self._ways) else 0
        return self._all_ways()[way - 1] if way else None

    def _all_ways(self) -> "tuple[Poison, ...]":
        """List the ways in which a record can be bad."""
        return _ways(self.codec, self.form)

    def _good(self, number: int) -> bytes:
        payload = self._good_payload(number)
        shape = numbered.label(number).partition("_")[2] if self.source is None else "unknown"
        metadata = {**_METADATA, "shape_label": shape, "timestamp": time.time(), "number": number}
        return wrap(metadata, payload, self.codec, self.form)

    def _good_payload(self, number: int) -> bytes:
        if self.source is None:
            return numbered.payload(number)
        if self._more is None:
            self._more = (item.payload for item in islice(self.source, PAYLOADS))
        # They come as they are needed: those of a video take a while.
        if len(self._payloads) <= number % PAYLOADS and (drawn := next(self._more, None)) is not None:
            self._payloads.append(drawn)
        return self._payloads[number % len(self._payloads)]


class Poison(NamedTuple):
    """A way in which a record is bad."""

    reason: Reason
    value: bytes | None
    """None = its good value, with a bit that flipped after the checksum."""
    payload: bytes | None = None
    """What the model reads, when nobody before it can find it bad."""


def _flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


HTML: Final = b"<html>no image</html>"
TRUNCATED: Final = numbered.payload(0)[:400]


@cache
def _ways(codec: Codec, form: JsonForm) -> tuple[Poison, ...]:
    """List the ways in which a record of a codec can be bad."""

    def wrapped(payload: bytes) -> bytes:
        return wrap(_METADATA, payload, codec, form)

    before = {
        Codec.FRAMED: (
            Poison(Reason.BAD_ENVELOPE, b"\x00\x00"),
            Poison(Reason.BAD_METADATA, struct.pack(">I", 5) + b"{nope"),
        ),
        Codec.RAW: (),
        Codec.JSON: (
            Poison(Reason.BAD_ENVELOPE, b"{nope"),
            Poison(Reason.BAD_METADATA, b'{"": "not the field of the payload"}'),
        ),
    }
    is_text = codec is Codec.JSON and form.payload == "text"
    return (
        *before[codec],
        Poison(Reason.EMPTY, wrapped(b"")),
        Poison(Reason.NOT_AN_IMAGE, wrapped(HTML), HTML),
        *(() if is_text else (Poison(Reason.UNDECODABLE, wrapped(TRUNCATED), TRUNCATED),)),
        Poison(Reason.CHECKSUM_MISMATCH, None),
    )
