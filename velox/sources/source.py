"""The Source contract: what the producer publishes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from velox.records import Metadata
from velox.settings import SourceSettings


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to publish: the payload (JPEG bytes for images), what is known of it, and the key or None."""

    key: bytes | None
    metadata: Metadata
    payload: bytes
    dtype: Literal["jpeg", "text"] = "jpeg"
    """What the payload is: a JPEG file, or text in UTF-8."""
    id: str = ""
    """Where the same thing, published again, is to have the same id; empty = a new one each time."""
    headers: tuple[tuple[str, bytes], ...] = ()
    """What the record gets besides the id and the checksum."""


NOTHING: Final = Item(key=None, metadata={}, payload=b"")
"""Yielded while there is nothing for now; it is not published."""


class Source(Protocol):
    """One class of this form is a source; it knows nothing of Kafka."""

    interval_s: float | None
    """The source's own pace, such as a video's frame rate; None = PRODUCER_INTERVAL."""

    def __init__(self, settings: SourceSettings, path: str) -> None:
        """Keep what is needed; ``path`` is what follows the colon in ``SOURCE=folder:PATH``, else empty."""

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the source ends; ``shapes`` never does.

        One that waits for what comes yields ``NOTHING`` at least once a second meanwhile.

        Raises:
            SourceError: the path is missing, or holds nothing that can be read.
        """


@runtime_checkable
class Resumable(Source, Protocol):
    """A source that also has this begins where it ended, also when the producer was killed."""

    def mark(self) -> None:
        """Remember that all items that were yielded until now are delivered."""
