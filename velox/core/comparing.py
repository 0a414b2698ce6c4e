"""How two models' answers to the same records differ, kept as a few numbers and the last examples."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final, Literal

from velox.errors import BadRecordError
from velox.records import Prediction

Answer = Prediction | BadRecordError
Outcome = Literal["agreed", "disagreed", "skipped", "failed"]
_EXAMPLES: Final = 20
_LATENCIES: Final = 1000


class Comparing:
    """Counts and averages; not thread-safe. It costs the same however long it runs."""

    def __init__(self) -> None:
        """Begin with nothing compared."""
        self.outcomes: Counter[str] = Counter()
        self._drift = 0.0
        self._predicted = 0
        self._examples: deque[dict[str, Any]] = deque(maxlen=_EXAMPLES)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_LATENCIES)

    def count(self, outcome: Outcome, many: int = 1) -> None:
        """Count records that were not compared."""
        self.outcomes[outcome] += many

    def add(self, record_id: str, answer: Answer, shadows: Answer, latencies: tuple[float, float]) -> Outcome:
        """Compare two answers to a record; ``latencies`` are in seconds from when it was handed to the two."""
        outcome = _judged(answer, shadows)
        self.outcomes[outcome] += 1
        self._latencies.append(latencies)
        if isinstance(answer, Prediction) and isinstance(shadows, Prediction):
            self._predicted += 1
            self._drift += abs(answer.confidence - shadows.confidence)
        if outcome != "agreed":
            self._examples.append({"id": record_id, "answer": _told(answer), "shadow": _told(shadows)})
        return outcome

    def report(self) -> dict[str, Any]:
        """Tell all as JSON can: ``agreement`` a share of those compared, ``drift`` the mean difference of confidence.

        Both are None before anything was compared. Latencies are of the last 1,000 records, in milliseconds.
        """
        compared = self.outcomes["agreed"] + self.outcomes["disagreed"] + self.outcomes["failed"]
        return {
            **{name: self.outcomes[name] for name in ("agreed", "disagreed", "failed", "skipped")},
            "agreement": self.outcomes["agreed"] / compared if compared else None,
            "drift": self._drift / self._predicted if self._predicted else None,
            "answer_ms": _quantiles([own for own, _ in self._latencies]),
            "shadow_ms": _quantiles([shadows for _, shadows in self._latencies]),
            "examples": [*self._examples],
        }


def _judged(answer: Answer, shadows: Answer) -> Outcome:
    if isinstance(shadows, BadRecordError):
        return "agreed" if isinstance(answer, BadRecordError) else "failed"
    return "agreed" if isinstance(answer, Prediction) and answer.label == shadows.label else "disagreed"


def _told(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, BadRecordError):
        return {"error": str(answer.reason)}
    return {"label": answer.label, "confidence": answer.confidence}


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {name: 1000 * ordered[int(q * (len(ordered) - 1))] for name, q in (("p50", 0.5), ("p99", 0.99)) if ordered}
