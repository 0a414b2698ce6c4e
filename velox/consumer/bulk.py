"""Answers that are written together, and what becomes of each of them."""

from collections.abc import Callable, Mapping, Sequence

from velox.errors import BadRecordError, Reason
from velox.records import Answered, Failure, ModelInfo, Outcome, Prediction, Record, Result


class Bulk:
    """Begins with what the models and the parser say; a sink may refuse results after that.

    Where several models look at each record, it has a result of each that can read it, and one dead letter if any
    cannot.
    """

    def __init__(
        self, answered: Sequence[Answered], result: Callable[[Answered, Prediction, ModelInfo], Result]
    ) -> None:
        """Sort the answers; ``result`` makes what sinks store of one that is a prediction."""
        self._answered = [one for each in answered for one in (each, *each.beside)]
        failed: dict[int, tuple[Record, BadRecordError]] = {}
        for each in self._answered:
            if isinstance(each.answer, BadRecordError):
                failed.setdefault(id(each.record), (each.record, each.answer))
        self.bad = [(record, why) for record, why in failed.values() if why.reason.leaves_letter]
        """Records that are dead letters, and why; each once."""
        self.dropped = [(record, why) for record, why in failed.values() if not why.reason.leaves_letter]
        """Records that need no prediction: failures, and nothing else."""
        self.results = [
            result(a, a.answer, a.model)
            for a in self._answered
            if isinstance(a.answer, Prediction) and a.model is not None
        ]

    @property
    def fine(self) -> list[Record]:
        """Answer the records that are no dead letters, each once."""
        bad = {id(record) for record, _ in self.bad}
        records = [result.record for result in self.results] + [record for record, _ in self.dropped]
        return list({id(record): record for record in records if id(record) not in bad}.values())

    def refuse(self, refused: Mapping[str, str]) -> list[tuple[Record, BadRecordError]]:
        """Take out the results that a sink will never take, by id with the reason; answer their dead letters."""
        bad = {id(record) for record, _ in self.bad}
        letters = {
            id(result.record): (result.record, BadRecordError(Reason.RESULT_REFUSED, refused[result.id]))
            for result in self.results
            if result.id in refused and id(result.record) not in bad
        }
        self.results = [result for result in self.results if result.id not in refused]
        self.bad += letters.values()
        return list(letters.values())

    def outcomes(self, now: float) -> list[Outcome]:
        """Answer what became of each record, in the order in which the answers came; ``now`` dates what has no date."""
        # Two records may have one id, but each is an object of its own.
        became: dict[int, Outcome] = {id(result.record): result for result in self.results}
        became |= {id(failed.record): failed for failed in failures(self.bad + self.dropped, now)}
        return [became[id(each.record)] for each in self._answered if id(each.record) in became]


def failures(letters: Sequence[tuple[Record, BadRecordError]], now: float) -> list[Failure]:
    """Say of dead letters what sinks that take outcomes hear."""
    return [Failure(record, error.reason, error.detail, now) for record, error in letters]
