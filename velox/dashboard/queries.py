"""The read model: stored results, a page at a time, whatever the store."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, cast

from velox.errors import SettingsError
from velox.records import UNLABELLED
from velox.settings.sinks import SinkSettings

MOST_ROWS: Final = 200
"""A page has no more."""
SUMMARISED: Final = 10_000
"""Labels and confidence are counted over the newest so many that match: bounded, whatever the store holds."""
BINS: Final = 20
QUERY_S: Final = 3.0
"""A query that takes longer is given up; narrower filters help."""
_READERS: Final = {
    "sqlite": "velox.dashboard.sqlite:SqliteResults",
    "postgres": "velox.dashboard.postgres:PostgresResults",
}
"""By the sink whose results they read; the first that a pipeline has is asked."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which results are asked for; what is empty or None narrows nothing."""

    label: str = ""
    least: float | None = None
    """Confidence, in [0, 1]."""
    most: float | None = None
    since: float | None = None
    """Unix seconds."""
    until: float | None = None
    version: str = ""
    camera: str = ""
    agreed: bool | None = None
    """True: the label is the ground truth; False: it is another. None: both, and where nobody says."""
    detections: bool = False


class Cursor(NamedTuple):
    """Where a page ended: its last row by time and key."""

    at: float
    key: str | int

    def __str__(self) -> str:
        """Write it for a URL."""
        return urlsafe_b64encode(json.dumps([self.at, self.key]).encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor | None":
        """Read it back; None where it is none."""
        try:
            at, key = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(float(at), key) if isinstance(key, str | int) else None
        except (ValueError, TypeError, RecursionError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One stored result. What a store does not keep is None."""

    id: str
    at: float | None
    """Unix seconds, by which results are in order: when it was produced, or where only that is kept, predicted."""
    label: str
    confidence: float | None
    truth: str | None = None
    is_detection: bool = False
    topic: str
    partition: int
    offset: int
    model: str = ""
    version: str = ""
    file_path: str = ""
    """Where the sink ``disk`` keeps the payload; never shown."""
    object_key: str = ""
    text: str | None = None
    camera: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the store has of it."""

    @property
    def is_wrong(self) -> bool | None:
        """Say whether the label is another than the ground truth; None where nobody knows."""
        return None if self.truth in {None, "", UNLABELLED} else self.truth != self.label

    def shown(self) -> dict[str, Any]:
        """Answer what a tile shows."""
        return {
            "id": self.id,
            "at": self.at,
            "label": self.label,
            "confidence": self.confidence,
            "truth": None if self.is_wrong is None else self.truth,
            "wrong": self.is_wrong,
            "detection": self.is_detection,
            "text": self.text,
            "camera": self.camera,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "model": self.model,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, newest first."""

    rows: Sequence[Row]
    next: Cursor | None
    """Where to go on; None at the end."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the newest results that match are, ``SUMMARISED`` of them at most."""

    labels: Mapping[str, int]
    confidence: Sequence[int]
    """How many have a confidence in each twentieth of [0, 1]."""
    of: int


class Results(Protocol):
    """Stored results, read. Any thread may ask, several at a time; all calls block.

    Raises, all of them:
        StoreUnavailableError: not now, or not within ``QUERY_S``.
    """

    name: str
    absent: frozenset[str]
    """Filters that this store has no column for."""

    def newest(self, limit: int) -> Sequence[Row]:
        """Answer the rows stored last, the newest first. Nothing is there before the first is stored."""

    def page(self, wanted: Wanted, after: Cursor | None, limit: int) -> Page:
        """Answer the next rows, by time, the newest first."""

    def summary(self, wanted: Wanted) -> Summary:
        """Count the newest that match."""

    def find(self, identity: str) -> Row | None:
        """Answer one; None where there is none."""

    def beside(self, row: Row) -> tuple[str | None, str | None]:
        """Name the next newer and the next older one."""

    def close(self) -> None:
        """Let go."""


class Columns(NamedTuple):
    """What a table calls what is filtered by; empty where it has none."""

    label: str
    at: str
    truth: str
    camera: str
    mark: str
    """Stands for a value in a statement."""
    moment: str
    """As ``mark``, of a time."""


def conditions(wanted: Wanted, columns: Columns) -> tuple[str, list[object]]:
    """Write a filter as conditions of SQL, ``TRUE`` at the least, and the values in them."""
    mark = columns.mark
    asked: list[tuple[str, object]] = [
        (f"{columns.label} = {mark}", wanted.label or None),
        (f"confidence >= {mark}", wanted.least),
        (f"confidence <= {mark}", wanted.most),
        (f"{columns.at} >= {columns.moment}", wanted.since),
        (f"{columns.at} <= {columns.moment}", wanted.until),
        (f"model_version = {mark}", wanted.version or None),
        (f"{columns.camera} = {mark}", (wanted.camera or None) if columns.camera else None),
    ]
    parts = ["TRUE", *(text for text, value in asked if value is not None)]
    if wanted.agreed is not None and columns.truth:
        parts.append(f"{columns.truth} <> '{UNLABELLED}'")
        parts.append(f"{columns.truth} {'=' if wanted.agreed else '<>'} {columns.label}")
    if wanted.detections:
        parts.append("is_detection")
    return " AND ".join(parts), [value for _, value in asked if value is not None]


def summarise(counted: Sequence[tuple[str, int | None, int]]) -> Summary:
    """Add up groups of (label, twentieth of the confidence, rows)."""
    labels: dict[str, int] = {}
    bins = [0] * BINS
    for label, twentieth, rows in counted:
        labels[label] = labels.get(label, 0) + rows
        if twentieth is not None:
            bins[min(BINS - 1, max(0, int(twentieth)))] += rows
    ordered = dict(sorted(labels.items(), key=lambda item: (-item[1], item[0])))
    return Summary(ordered, bins, sum(labels.values()))


def results(settings: SinkSettings) -> Results | None:
    """Make what reads the store that a pipeline has; None where it has none that can be read.

    Raises:
        SettingsError: what reads it is not installed.
    """
    for sink in settings.sinks:
        if sink in _READERS:
            module, _, name = _READERS[sink].partition(":")
            try:
                made = cast("Callable[[SinkSettings], Results]", getattr(import_module(module), name))
            except ModuleNotFoundError as error:
                msg = f"SINKS={','.join(settings.sinks)}: {error.name} is not installed; pip install 'velox[dashboard]'"
                raise SettingsError(msg) from error
            return made(settings)
    return None
