"""Which predictions are detections."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from velox.records import Prediction


class TargetRule:
    """A label pattern and a confidence threshold: together they make a prediction a detection."""

    def __init__(self, patterns: Sequence[str], threshold: float) -> None:
        """Match labels against shell patterns such as ``red_circle`` or ``blue_*``."""
        self._threshold = threshold
        self._matches = lru_cache(maxsize=1024)(lambda label: any(fnmatchcase(label, p) for p in patterns))

    def is_detection(self, prediction: Prediction) -> bool:
        """Say whether the label is a target and its confidence reaches the threshold."""
        return prediction.confidence >= self._threshold and self._matches(prediction.label)

    def can_match(self, labels: Sequence[str]) -> bool:
        """Say whether one of the labels is a target, however confident."""
        return any(map(self._matches, labels))
