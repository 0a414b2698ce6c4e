"""The Sink contract: where results are stored."""

from collections.abc import Sequence
from typing import Literal, Protocol

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

        Raises:
            SinkUnavailableError: not now; the writer tries the same batch again with back-off.
        """

    def close(self) -> None:
        """Let go of everything. Safe to call twice, and without ``open``."""
