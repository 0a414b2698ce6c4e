"""The Sink contract: where results are stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from velox.records import Result
from velox.settings import Settings


class Sink(Protocol):
    """One class of this form is a sink. One thread, the writer, uses it."""

    name: str
    takes: Literal["detections", "all"]
    """Whether it is given every result or only detections."""

    def __init__(self, settings: Settings) -> None:
        """Keep what is needed; connect to nothing yet."""

    def open(self) -> None:
        """Connect and prove that writing works. May be called again after it failed.

        Raises:
            SinkUnavailableError: not now; the writer tries again with back-off.
        """

    def write(self, batch: Sequence[Result]) -> None:
        """Store the whole batch or raise. The same result twice, in one batch or in two, is stored once.

        A batch has 1 to about 500 results, plus those of one hand-over (4 × BATCH_SIZE) at most, in no order. What a
        sink accepts has to survive a crash: the offsets are committed next. There is no deadline of the writer's own,
        so bound every call, as SINK_TIMEOUT_S does for Velox's sinks.

        Raises:
            SinkUnavailableError: not now; the writer tries the same batch again with back-off.
            RefusedResultsError: all is stored but what this names, which can never be: its records are dead-lettered.
        """

    def close(self) -> None:
        """Close everything. Safe to call twice, and without ``open``."""


class Stored(NamedTuple):
    """A result as a sink shows it to whoever asks; what the sink does not keep stays empty."""

    id: str
    label: str = ""
    is_detection: bool = True
    position: tuple[str, int, int] | None = None
    """Topic, partition and offset of its record."""
    predicted_at: float | None = None


@runtime_checkable
class Readable(Sink, Protocol):
    """A sink that also has these can be checked by ``velox verify``. They need no ``open``."""

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the results whose id begins with ``prefix``, each as often as a user would find it.

        Raises:
            SinkUnavailableError: it cannot be read now.
        """

    def remove(self, prefix: str) -> None:
        """Remove the results whose id begins with ``prefix``; an empty one means the whole collection, file or folder.

        Raises:
            SinkUnavailableError: not now.
        """


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found where a sink stores."""

    value: str
    problem: str = ""
    """What could be better; the sink works nevertheless."""
    fix: str = ""


@runtime_checkable
class Probed(Protocol):
    """A sink that ``velox doctor`` can look into. Not part of the contract: your own sink may do without."""

    def probe(self) -> Proof:
        """Prove that writing would work, and leave nothing behind.

        Raises:
            SinkUnavailableError: it would not; the message says why, and after a semicolon what to do.
        """
