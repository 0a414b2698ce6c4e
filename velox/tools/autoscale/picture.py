"""Replicas and lag over time, drawn; asks for matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from velox.tools.autoscale.simulation import Outcome

EVERY_S: Final = 15
"""More points than the autoscaler takes decisions would show nothing more."""


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write a picture: a row for each trace, replicas on the left, lag on the right; the suffix says the form."""
    traces = list(dict.fromkeys(outcome.trace for outcome in outcomes))
    figure = Figure(figsize=(12, 2.4 * len(traces)), layout="constrained")
    axes = figure.subplots(len(traces), 2, squeeze=False)
    for row, trace in enumerate(traces):
        for outcome in outcomes:
            if outcome.trace == trace:
                minutes = [second / 60 for second in range(0, len(outcome.replicas), EVERY_S)]
                axes[row, 0].plot(minutes, outcome.replicas[::EVERY_S], label=outcome.policy, linewidth=1)
                axes[row, 1].plot(minutes, outcome.lag[::EVERY_S], linewidth=1)
        axes[row, 0].set_ylabel(f"{trace}\nreplicas")
        axes[row, 1].set_ylabel("records that wait")
    for axis in axes[-1]:
        axis.set_xlabel("minutes")
    axes[0, 0].legend(fontsize="x-small")
    figure.savefig(path)
