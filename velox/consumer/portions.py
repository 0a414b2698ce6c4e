"""Predicting within memory: a batch that does not fit is predicted in parts."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from velox.errors import BadRecordError, Reason
from velox.models.model import Model
from velox.records import Prediction

log = logging.getLogger(__name__)

_FITS_BEFORE_MORE = 100
"""Parts of the present size that fit before twice as many are tried: an attempt that fails then costs 1 %."""
_OUT_OF_MEMORY = re.compile(r"out of memory|insufficient memory|can.t allocate memory|ALLOC_FAILED", re.IGNORECASE)


def is_out_of_memory(error: Exception) -> bool:
    """Recognise Python's error and those of the frameworks, by name and text: none of them is imported here."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or _OUT_OF_MEMORY.search(str(error)) is not None


class Portions:
    """How many inputs are predicted at once: BATCH_SIZE, or fewer since memory ran out."""

    def __init__(self, size: int) -> None:
        """Begin with ``size``, and never try more."""
        self.limit = size
        self._size = size
        self._fitted = 0

    def predict(self, model: Model, inputs: Sequence[Any]) -> list[Prediction | BadRecordError]:
        """Return one prediction for each input, in their order; an input that does not fit alone is a bad record.

        Raises:
            ValueError: the model gave more or fewer predictions than it got inputs.
        """
        answers: list[Prediction | BadRecordError] = []
        limit = self.limit
        failed: list[range] = []
        blamed: list[int] = []
        while (start := len(answers)) < len(inputs):
            part = inputs[start : start + self.limit]
            refusal = self._extend(answers, model, part)
            if refusal and len(part) == 1:
                answers.append(BadRecordError(Reason.OUT_OF_MEMORY, refusal))
                blamed.append(start)
            elif refusal:
                failed.append(range(start, start + len(part)))
                self.limit, self._fitted = len(part) // 2, 0
                log.warning("Out of memory with a batch of %d (%s); %d at once for now", len(part), refusal, self.limit)
        if blamed:  # where such an input was, it was not their number; elsewhere it was
            self.limit = min([limit, *(len(part) // 2 for part in failed if not any(at in part for at in blamed))])
        return answers

    def _extend(self, answers: list[Prediction | BadRecordError], model: Model, part: Sequence[Any]) -> str | None:
        """Predict a part; when memory runs out, say how. Here, so that what the error holds is free before the next."""
        try:
            predictions = model.predict(part)
        except Exception as error:
            if is_out_of_memory(error):
                return f"{type(error).__name__}: {error}".partition("\n")[0]
            raise
        if len(predictions) != len(part):
            msg = f"{type(model).__name__}.predict returned {len(predictions)} predictions for {len(part)} inputs"
            raise ValueError(msg)
        answers.extend(predictions)
        self._note_fit(len(part))
        return None

    def _note_fit(self, count: int) -> None:
        if count < self.limit or self.limit == self._size:
            return
        self._fitted += 1
        if self._fitted >= _FITS_BEFORE_MORE:
            self.limit, self._fitted = min(2 * self.limit, self._size), 0
            log.info("Memory has sufficed for a while: %d at once again", self.limit)
