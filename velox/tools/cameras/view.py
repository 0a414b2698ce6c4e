"""How cameras are shown: a table, or a line."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from velox.core.cameras import State
from velox.tools.cameras.figures import Row

_COLORS: Final = {State.LIVE: "green", State.PAUSED: "dim", State.OFFLINE: "bold red"}
_LEAST: Final = 0.05


def table(rows: Sequence[Row], *, most: int | None) -> RenderableType:
    """Draw the table, of ``most`` cameras; None = of all."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column("camera", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    for title in ("in/s", "published/s", "predicted/s"):
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_column("dropped/s", no_wrap=True)
    drawn.add_column("age", justify="right", no_wrap=True)
    drawn.add_column("seen", no_wrap=True, overflow="ellipsis")
    shown = rows if most is None else rows[: max(1, most)]
    for row in shown:
        causes = sorted(row.dropped_per_s.items(), key=lambda cause: -cause[1])
        drawn.add_row(
            Text(row.camera),
            Text(row.state.value, _COLORS.get(row.state, "yellow")),
            *(f"{rate:.1f}" for rate in (row.decoded_per_s, row.published_per_s, row.predicted_per_s)),
            Text(", ".join(f"{cause} {rate:.1f}" for cause, rate in causes if rate >= _LEAST)),
            "" if row.age_s is None else f"{row.age_s:.1f} s",
            Text(row.label),
        )
    parts: list[RenderableType] = [Text(line(rows), "bold"), drawn]
    if len(shown) < len(rows):
        parts.append(Text(f"and {len(rows) - len(shown)} more"))
    return Group(*parts)


def line(rows: Sequence[Row]) -> str:
    """Say it in one line."""
    states = Counter(row.state for row in rows)
    counts = ", ".join(f"{states[state]} {state.value}" for state in State if states[state])
    published, predicted = sum(row.published_per_s for row in rows), sum(row.predicted_per_s for row in rows)
    dropped = sum(sum(row.dropped_per_s.values()) for row in rows)
    return (
        f"{len(rows)} cameras: {counts} · {published:.1f} frames/s published, {predicted:.1f} predicted, "
        f"{dropped:.1f} dropped"
    )
