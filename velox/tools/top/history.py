"""What one consumer counted in the last seconds."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from time import monotonic

from velox.metrics.consumer import ConsumerMetrics
from velox.tools.up.scraping import Page, by


class History:
    """The pages of one consumer of the last ``width_s`` seconds. Not thread-safe."""

    def __init__(self, width_s: float = 10.0, *, clock: Callable[[], float] = monotonic) -> None:
        """Know nothing yet."""
        self._width_s = width_s
        self._clock = clock
        self._pages: deque[tuple[float, Page]] = deque()

    def saw(self, page: Page | None) -> None:
        """Take the newest page in. None, or one of a consumer started anew: what was before does not count any more."""
        now = self._clock()
        if self._pages and (page is None or _start(page) != _start(self._pages[-1][1])):
            self._pages.clear()
        if page is not None:
            self._pages.append((now, page))
        while len(self._pages) > 2 and self._pages[0][0] < now - self._width_s:  # noqa: PLR2004 - growth has two ends
            self._pages.popleft()

    @property
    def is_known(self) -> bool:
        """Say whether it answered the last time."""
        return bool(self._pages)

    @property
    def seconds(self) -> float:
        """The time between the first and the last page; 0 with fewer than two."""
        return self._pages[-1][0] - self._pages[0][0] if self._pages else 0.0

    def now(self, name: str) -> float:
        """Answer what a gauge, all its labels together, says now."""
        return sum(self._pages[-1][1].get(name, {}).values()) if self._pages else 0.0

    def now_by(self, name: str, label: str) -> Mapping[str, float]:
        """Answer what a gauge or counter says now, by the value of one label."""
        return by(label, self._pages[-1][1].get(name, {})) if self._pages else {}

    def growth(self, name: str, label: str) -> Mapping[str, float]:
        """Answer by how much a counter grew between the first and the last page, by the value of one label."""
        if not self._pages:
            return {}
        first, last = (by(label, page.get(name, {})) for _, page in (self._pages[0], self._pages[-1]))
        return {of: value - first.get(of, 0.0) for of, value in last.items()}

    def growths(self, name: str, *labels: str) -> Mapping[tuple[str, ...], float]:
        """Answer by how much a counter grew between the first and the last page, by the values of several labels."""
        if not self._pages:
            return {}
        sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for page, sign in ((self._pages[0][1], -1), (self._pages[-1][1], 1)):
            for of, value in page.get(name, {}).items():
                said = dict(of)
                sums[tuple(said.get(label, "") for label in labels)] += sign * value
        return sums

    def latest(self, name: str, *labels: str) -> Mapping[tuple[str, ...], float]:
        """Answer what a gauge says now, by the values of several labels."""
        samples = self._pages[-1][1].get(name, {}) if self._pages else {}
        return {tuple(dict(of).get(label, "") for label in labels): value for of, value in samples.items()}


def _start(page: Page) -> float:
    """Answer when a consumer was started; 0 of other processes."""
    return sum(page.get(ConsumerMetrics.started.name, {}).values())
