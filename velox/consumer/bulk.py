"""Answers that are written together, and what becomes of each of them."""

from collections.abc import Callable, Mapping, Sequence

from velox.errors import BadRecordError, Reason
from velox.records import Answered, Failure, ModelInfo, Outcome, Prediction, Record, Result


class Bulk:
    """Begins with what the models and the parser say; a sink may refuse results after that."""

    def __init__(
        self, answered: Sequence[Answered], result: Callable[[Answered, Prediction, ModelInfo], Result]
    ) -> None:
        """Sort the answers; ``result`` makes what sinks store of one that is a prediction."""
        self._answered = answered
        failed = [(a.record, a.answer) for a in answered if isinstance(a.answer, BadRecordError)]
        self.bad = [(record, why) for record, why in failed if why.reason.leaves_letter]
        """Records that are dead letters, and why."""
        self.dropped = [(record, why) for record, why in failed if not why.reason.leaves_letter]
        """Records that need no prediction: failures, and nothing else."""
        self.results = [
            result(a, a.answer, a.model) for a in answered if isinstance(a.answer, Prediction) and a.model is not None
        ]

    def refuse(self, refused: Mapping[str, str]) -> list[tuple[Record, BadRecordError]]:
        """Take out the results that a sink will never take, by id with the reason; answer their dead letters."""
        letters = [
            (result.record, BadRecordError(Reason.RESULT_REFUSED, refused[result.id]))
            for result in self.results
            if result.id in refused
        ]
        if letters:
            self.results = [result for result in self.results if result.id not in refused]
            self.bad += letters
        return letters

    def outcomes(self, now: float) -> list[Outcome]:
        """Answer what became of each record, in the order in which the answers came; ``now`` dates what has no date."""
        # Two records may have one id, but each is an object of its own.
        became: dict[int, Outcome] = {id(result.record): result for result in self.results}
        became |= {id(failed.record): failed for failed in failures(self.bad + self.dropped, now)}
        return [became[id(each.record)] for each in self._answered if id(each.record) in became]


def failures(letters: Sequence[tuple[Record, BadRecordError]], now: float) -> list[Failure]:
    """Say of dead letters what sinks that take outcomes hear."""
    return [Failure(record, error.reason, error.detail, now) for record, error in letters]
