"""What `velox dlq` shows: bars on a terminal, and times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

_PLAIN_WIDTH: Final = 160


def console() -> Console:
    """Answer where tables go: as wide as they need to be when nobody looks at them on a terminal."""
    made = Console()
    return made if made.is_terminal else Console(width=_PLAIN_WIDTH)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of how much is done, on a terminal only."""
    err = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Show how much of the topic is read."""
    with bar("reading dead letters") as show:
        yield show


def when(unix_s: float) -> str:
    """Write a time as the logs do."""
    return datetime.fromtimestamp(unix_s, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
