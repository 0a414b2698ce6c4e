"""The Predictor contract: what the rest of a consumer asks of whatever predicts its records."""

from collections.abc import Callable, Sequence
from typing import Protocol

from velox.core.deadline import Deadline
from velox.core.idleness import Cause
from velox.errors import VeloxError
from velox.probes import Report
from velox.records import Answered, Record


class Predictor(Protocol):
    """Takes records and gives answers, in any order; each record is answered once.

    ``submit`` may be called by any thread once it is started. How many records may be in flight, the fetcher decides.
    """

    @property
    def reads_objects(self) -> bool:
        """Say whether it reads payloads by their pointers itself; if not, it is given records that have theirs."""

    @property
    def failure(self) -> VeloxError | None:
        """Why no more can be predicted, once that is so; the consumer should end."""

    @property
    def ready_processes(self) -> int:
        """Count what could predict now; 0 makes the consumer unready."""

    @property
    def is_warm(self) -> bool:
        """Say whether all that is to predict is there."""

    @property
    def in_hand(self) -> int:
        """Count the records that are not answered yet."""

    @property
    def reports(self) -> dict[str, Report]:
        """What it tells over HTTP beside the metrics, by path."""

    def start(self, answered: Callable[[list[Answered]], None]) -> None:
        """Begin; ``answered`` takes the answers, and is called by threads of the predictor's own."""

    def stuck(self) -> str | None:
        """Say what cannot go on and would after a restart of the consumer; None while all is well, or ends anyway."""

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks."""

    def is_behind(self) -> bool:
        """Say whether records wait that nothing has room for yet."""

    def lacks_because(self, cause: Cause) -> None:
        """Hear why no more is submitted from now on. For one thread."""

    def close(self, deadline: Deadline) -> bool:
        """Predict no more, dropping what is in hand; False when something did not end."""
