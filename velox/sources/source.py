"""The Source contract: what the producer publishes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

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


class Source(Protocol):
    """One class of this form is a source; it knows nothing of Kafka."""

    interval_s: float | None
    """The source's own pace, such as a video's frame rate; None = PRODUCER_INTERVAL."""

    def __init__(self, settings: SourceSettings, path: str) -> None:
        """Keep what is needed; ``path`` is what follows the colon in ``SOURCE=folder:PATH``, else empty."""

    def __iter__(self) -> Iterator[Item]:
        """Yield items until the source ends; ``shapes`` never does.

        Raises:
            SourceError: the path is missing, or holds nothing that can be read.
        """
