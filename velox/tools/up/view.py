"""What ``velox up`` shows: a live view on a terminal, else a line every few seconds."""

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from velox import logs
from velox.core.text import printable
from velox.settings.operations import OperationsSettings
from velox.tools.up.results import Detection, Judged

log = logging.getLogger(__name__)

_LINE_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the pipeline at one moment."""

    state: str
    running_s: float
    produced: int = 0
    predicted: int = 0
    dead_lettered: int = 0
    detections: int = 0
    unread: int = 0
    restarts: int = 0
    rates: tuple[float, float] = (0.0, 0.0)
    """Records a second: produced, predicted."""
    latency_s: tuple[float | None, float | None] = (None, None)
    """From the producer's timestamp until stored: p50, p95."""
    recent: Sequence[Detection] = ()
    texts: Sequence[Judged] = ()

    def line(self) -> str:
        """Say it in one line."""
        last = "".join(f', last "{_one_line(t.text)}": {t.label} {t.confidence:.2f}' for t in self.texts[:1])
        return (
            f"{self.state}: produced {self.produced} ({self.rates[0]:.1f}/s), predicted {self.predicted} "
            f"({self.rates[1]:.1f}/s), unread {self.unread}, {self.latency()}, detections {self.detections}, "
            f"dead letters {self.dead_lettered}{last}"
        )

    def latency(self) -> str:
        """Say the latencies."""
        p50, p95 = ("–" if s is None else f"{s * 1000:.0f} ms" for s in self.latency_s)
        return f"latency p50 {p50}, p95 {p95}"


class View(Protocol):
    """Where snapshots are shown while it is entered; log lines appear as well."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state; may be called many times a second."""


def choose(settings: OperationsSettings, places: str) -> View:
    """Make the view that suits standard output; ``places`` says where results are."""
    return LiveView(settings, places) if sys.stdout.isatty() else PlainView()


class PlainView:
    """Logs a line every few seconds, and whenever the state changes."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        """Begin with the first snapshot."""
        self._clock = clock
        self._shown: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Self:
        """Need nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Log it when it is time to."""
        state, at = self._shown
        now = self._clock()
        if snapshot.state != state or now - at >= _LINE_EVERY_S:
            self._shown = (snapshot.state, now)
            log.info("%s", snapshot.line())


class LiveView:
    """Redraws a panel in place; log lines scroll above it."""

    def __init__(self, settings: OperationsSettings, places: str) -> None:
        """Prepare the terminal."""
        self._settings = settings
        self._places = places
        self._live = Live(console=Console(), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        """Take the terminal over."""
        self._live.start()
        self._log_anew()  # to what standard output is now: a stream that prints above the panel
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._live.stop()
        self._log_anew()

    def show(self, snapshot: Snapshot) -> None:
        """Draw it."""
        self._live.update(render(snapshot, self._places), refresh=True)

    def _log_anew(self) -> None:
        logs.configure(level=self._settings.log_level, form=self._settings.log_format)


def render(snapshot: Snapshot, places: str) -> Panel:
    """Build the panel."""
    facts = Table.grid(padding=(0, 3))
    facts.add_row("produced", f"{snapshot.produced}", f"{snapshot.rates[0]:.1f}/s")
    facts.add_row("predicted", f"{snapshot.predicted}", f"{snapshot.rates[1]:.1f}/s")
    facts.add_row("unread", f"{snapshot.unread}", snapshot.latency())
    facts.add_row("detections", f"{snapshot.detections}", "")
    facts.add_row("dead letters", f"{snapshot.dead_lettered}", f"consumer restarts {snapshot.restarts}")
    latest = Table.grid(padding=(0, 3))
    what = "texts" if snapshot.texts else "detections"
    shown = [(each.label, each.confidence, _one_line(each.text)) for each in snapshot.texts]
    for label, confidence, told in shown or snapshot.recent:
        # As text: a name in brackets would be read as markup.
        last = Text(printable(told), no_wrap=bool(shown), overflow="ellipsis" if shown else None)
        latest.add_row(Text(printable(label), "bold"), f"{confidence:.2f}", last)
    if not latest.row_count:
        latest.add_row("[dim]no detections yet[/dim]")
    title = f"velox up · {snapshot.state} · {snapshot.running_s:.0f} s"
    foot = Text(f"results in {places} · Ctrl-C drains and stops")
    return Panel(Group(facts, Text(f"\nlast {what}"), latest), title=title, subtitle=foot, title_align="left")


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
