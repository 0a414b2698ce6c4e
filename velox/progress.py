"""How far a run is that publishes records: a bar on a terminal, else a line every ten seconds."""

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Final, Self

from rich import progress as bars
from rich.console import Console

from velox.heartbeat import Deliveries

log = logging.getLogger(__name__)

_EVERY_S: Final = 10.0
_BAR_S: Final = 0.1


class Progress:
    """Shows how many records are delivered, and how fast."""

    def __init__(self, count: int | None, *, what: str = "produced", clock: Callable[[], float] = monotonic) -> None:
        """Expect ``count`` records, ``what`` being said of them; a bar needs that number, and a terminal."""
        self._count = count
        self._what = what
        self._clock = clock
        self._exit = ExitStack()
        self._bar: bars.Progress | None = None
        self._shown_at = clock()
        self._shown = 0

    def __enter__(self) -> Self:
        """Start the bar, if there is to be one."""
        console = Console(stderr=True)
        if self._count and console.is_terminal and sys.stdout.isatty():
            columns = (*bars.Progress.get_default_columns(), bars.MofNCompleteColumn())
            self._bar = self._exit.enter_context(bars.Progress(*columns, console=console))
            self._bar.add_task(self._what, total=self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the bar."""
        self._exit.close()

    def show(self, published: int, deliveries: Deliveries) -> None:
        """Show the state when it is time to; cheap when it is not."""
        now = self._clock()
        passed_s = now - self._shown_at
        if passed_s < (_BAR_S if self._bar else _EVERY_S) and published != self._count:
            return
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=published)
        elif passed_s >= _EVERY_S:
            rate = (deliveries.delivered - self._shown) / passed_s
            log.info("Delivered %d records, %.1f/s (%d failed)", deliveries.delivered, rate, deliveries.failed)
        self._shown_at, self._shown = now, deliveries.delivered
