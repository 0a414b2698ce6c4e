"""Draws figures as SVG for documents, readable on light and on dark pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

_INK: Final = "#7d8590"
"""A grey with enough contrast to white as well as to black; the page shows through where nothing is drawn."""
_COLORS: Final = ("#2f81f7", "#db6d28", "#3fb950", "#a371f7")
_COLUMNS: Final = 3
_PANEL_INCHES: Final = (3.4, 2.5)
_STYLE: Final[dict[RcKeyType, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, and in the reader's font
    "svg.hashsalt": "velox",  # the same figures give the same file
    "font.size": 8,
    "axes.facecolor": "none",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, slots=True)
class Panel:
    """Stacked bars over categories."""

    x_label: str
    y_label: str
    """With its unit."""
    categories: Sequence[str]
    stacks: Mapping[str, Sequence[float]]
    """What is stacked, from the bottom up: a value for each category."""
    notes: Sequence[str] = ()
    """Written above each bar."""


def draw(panels: Sequence[Panel], path: Path) -> None:
    """Write panels of the same stacks side by side into one file."""
    rows = ceil(len(panels) / _COLUMNS)
    with rc_context(_STYLE):
        figure = Figure(figsize=(_PANEL_INCHES[0] * _COLUMNS, _PANEL_INCHES[1] * rows), layout="constrained")
        grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _draw(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _draw(axes: Axes, panel: Panel) -> None:
    bottom = [0.0] * len(panel.categories)
    for (name, values), color in zip(panel.stacks.items(), _COLORS, strict=False):
        bars = axes.bar(panel.categories, values, bottom=bottom, width=0.6, label=name, color=color)
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    if panel.notes:
        axes.bar_label(bars, panel.notes, padding=2, color=_INK)
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, ylim=(0, 1.2 * max(bottom)))
