"""How figures are shown: a table, a line, or JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from velox.tools.top.figures import Figures
from velox.tools.top.topics import Topic
from velox.tools.top.verdict import Verdict

_DOES: Final = {
    "download": "an object, from the bucket",
    "queue": "waits for a process",
    "decode": "bytes to inputs",
    "inference": "predicts",
    "sink": "stores, in bulk",
}
_LEAST: Final = 0.005
"""A share that would be shown as 0 % is not."""
_MOST_TOPICS: Final = 20
"""So many are shown where nothing else limits them."""
_FRAME_LINES: Final = 4
"""An empty line, the titles and the line about the others; and the cursor has one."""
_NUMBERS_WIDE: Final = 40
"""Columns of a topic's numbers: the rest is for its name."""


@dataclass(frozen=True, slots=True)
class _Screen:
    """What is always shown, and below it as many topics as the terminal has lines for."""

    fixed: Group
    topics: Sequence[Topic]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        yield self.fixed
        room = _MOST_TOPICS
        if console.is_terminal:
            above = len(console.render_lines(self.fixed, options.update(height=None)))
            room = max(1, min(room, console.height - above - _FRAME_LINES))
        yield Text()
        yield _topics(self.topics[:room], widest_name=max(1, options.max_width - _NUMBERS_WIDE))
        if len(self.topics) > room:
            yield Text(f"and {len(self.topics) - room} more")


def table(figures: Figures, verdict: Verdict, absent: Mapping[str, str]) -> RenderableType:
    """Draw it all; ``absent`` are consumers that are not at work, and why. Topics are shown when there are several."""
    stages = Table("stage", "a batch", box=box.SIMPLE_HEAD)
    for title in ("busy", "mean time", "batches/s", "now"):
        stages.add_column(title, justify="right")
    now = {
        "download": _downloads(figures),
        "queue": f"{figures.in_flight_records} of {figures.in_flight_limit_records} in flight",
        "inference": f"{_number(figures.batch_records)} records a batch",
    }
    for stage in figures.stages:
        row = (stage.name, _DOES[stage.name], _share(stage.busy), _time(stage.mean_s), f"{stage.batches_per_s:.1f}")
        stages.add_row(*map(Text, (*row, now.get(stage.name, ""))))
    parts: list[RenderableType] = [
        Text(f"velox top · {headline(figures)}"),
        stages,
        Text(f"devices: {_account(figures)}"),
    ]
    parts += [Text(verdict.says, "bold"), Text(f"→ {verdict.remedy}")]
    parts.extend(Text(f"{address}: {why}", "yellow") for address, why in absent.items())
    fixed = Group(*parts)
    return _Screen(fixed, figures.topics) if len(figures.topics) > 1 else fixed


def line(figures: Figures, verdict: Verdict, absent: Mapping[str, str]) -> str:
    """Say it in one line."""
    missing = "".join(f"; {address}: {why}" for address, why in absent.items())
    return f"{headline(figures)}; {_account(figures)}; {verdict.says}{_first(figures.topics)}{missing}"


def as_json(figures: Figures, verdict: Verdict, absent: Mapping[str, str]) -> str:
    """Write everything as one JSON object on one line."""
    return json.dumps({**asdict(figures), "verdict": asdict(verdict), "absent": dict(absent)})


def headline(figures: Figures) -> str:
    """Say how fast it goes and what waits."""
    lag = f"lag {figures.lag_records:,} records"
    if figures.lag_records and figures.drain_s is not None:
        lag += f", {_duration(figures.drain_s)} at this pace"
    return (
        f"{_count(figures.consumers, 'consumer')}, {_count(figures.inference_processes, 'inference process')} · "
        f"{figures.records_per_s:.1f} records/s · {lag}{_bucket(figures)}"
    )


def _downloads(figures: Figures) -> str:
    return f"{_count(figures.objects_in_progress, 'object')} under way{_bucket(figures)}"


def _bucket(figures: Figures) -> str:
    """Say that a bucket is down, and for how many, if not for all."""
    if not figures.buckets_down:
        return ""
    of = f" for {figures.buckets_down} of them" if figures.buckets_down < figures.consumers else ""
    return f" · bucket down{of}"


def _topics(shown: Sequence[Topic], *, widest_name: int) -> Table:
    topics = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    topics.add_column("topic", overflow="ellipsis", no_wrap=True, max_width=widest_name)
    for title in ("records/s", "lag", "dead letters"):
        topics.add_column(title, justify="right", no_wrap=True)
    for topic in shown:
        row = (topic.name, f"{topic.records_per_s:.1f}", f"{topic.lag_records:,}", f"{topic.dead_letters:,}")
        topics.add_row(*map(Text, row))
    return topics


def _first(topics: Sequence[Topic]) -> str:
    """Name the one that would be at the top of the table."""
    if len(topics) < 2:  # noqa: PLR2004 - of one alone, the headline says it all
        return ""
    first = topics[0]
    return f"; {len(topics)} topics, first {first.name}: {first.records_per_s:.1f} records/s, lag {first.lag_records:,}"


def _account(figures: Figures) -> str:
    idle = sorted(figures.idle.items(), key=lambda item: -item[1])
    shares = [f"{cause} {share:.0%}" for cause, share in idle if share >= _LEAST]
    return f"predict {figures.predicting:.0%}, idle: {', '.join(shares) or 'never'}"


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{number} {what}{'' if number == 1 else plural}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def _number(number: float | None) -> str:
    return "–" if number is None else f"{number:.1f}"


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
