"""Which dead letters a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from velox.core.letters import Letter, oldest_first
from velox.errors import VeloxError
from velox.kafka.letter_topic import Findings, LetterTopic
from velox.tools.dlq.screen import reading


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for; nothing asked for means all that are not handled yet."""

    records: frozenset[str] = field(default_factory=frozenset)
    """Positions or ids of records."""
    reasons: frozenset[str] = field(default_factory=frozenset)
    limit: int | None = None
    handled_too: bool = False
    """Also those that were replayed or discarded already."""

    def find(self, topic: LetterTopic) -> Sequence[Letter]:
        """Read the topic and choose, oldest first.

        Raises:
            VeloxError: a record was named that has no such letter.
            BrokerUnavailableError: the broker does not answer, or there is no such topic.
        """
        with reading() as on_read:
            return self.among(topic.find(on_read=on_read), topic.name)

    def among(self, findings: Findings, topic_name: str) -> Sequence[Letter]:
        """Choose from what the topic holds, oldest first.

        Raises:
            VeloxError: a record was named that has no such letter.
        """
        letters = [*findings.open, *findings.handled] if self.handled_too else findings.open
        chosen = [letter for letter in letters if self._takes(letter)]
        if missing := self.records - {name for letter in chosen for name in _names(letter)}:
            also = "" if self.handled_too else " (one that was replayed or discarded already needs --all)"
            msg = f"{topic_name} has no dead letter of {', '.join(sorted(missing))}{also}; see velox dlq list"
            raise VeloxError(msg)
        return oldest_first(chosen)[: self.limit]

    def _takes(self, letter: Letter) -> bool:
        if self.reasons and letter.reason not in self.reasons:
            return False
        return not self.records or not self.records.isdisjoint(_names(letter))


def _names(letter: Letter) -> set[str]:
    return {letter.id, letter.origin, str(letter.source)}
