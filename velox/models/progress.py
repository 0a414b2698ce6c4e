"""Shows how a training goes: a bar on a terminal, one log line an epoch elsewhere."""

import logging
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from velox.models.fitting import Step

log = logging.getLogger(__name__)

_MEMORY = 0.9
"""Weight of the past in the loss that is shown: single batches jump."""


def shown(steps: Iterable[Step], *, as_lines: bool = False) -> Iterator[Step]:
    """Pass the steps on, and show each; ``as_lines`` on a terminal too."""
    console = Console()
    return _on_bar(steps, console) if console.is_terminal and not as_lines else _in_log(steps)


def _on_bar(steps: Iterable[Step], console: Console) -> Iterator[Step]:
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=None, epoch=1, loss=0.0)
        for step, loss in _smoothed(steps):
            progress.update(task, completed=step.number, total=step.total, epoch=step.epoch, loss=loss)
            yield step


def _in_log(steps: Iterable[Step]) -> Iterator[Step]:
    for step, loss in _smoothed(steps):
        if step.ends_epoch:
            log.info("Epoch %d done: step %d of %d, loss %.3f", step.epoch, step.number, step.total, loss)
        yield step


def _smoothed(steps: Iterable[Step]) -> Iterator[tuple[Step, float]]:
    loss = None
    for step in steps:
        loss = step.loss if loss is None else _MEMORY * loss + (1 - _MEMORY) * step.loss
        yield step, loss
