"""Handling dead letters: back to their topic, or off the list."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from velox import logs
from velox.core.letters import Content, Letter, keeps_its_id
from velox.core.schedule import Schedule
from velox.kafka.letter_topic import LetterTopic
from velox.kafka.replayer import Replayer
from velox.records import Position
from velox.settings import MIB, LetterSettings
from velox.signals import StopRequest
from velox.tools.dlq.choice import Choice
from velox.tools.dlq.screen import bar

log = logging.getLogger(__name__)

_BATCH: Final = 100
_BATCH_BYTES: Final = 16 * MIB
"""So much is published before Kafka's acknowledgement is waited for, and noted."""


def replay(settings: LetterSettings, choice: Choice, *, rate: float, dry_run: bool) -> int:
    """Publish the records of the chosen letters again, at most ``rate`` a second.

    Returns:
        0 when every one was acknowledged; 1 when some were not, or a signal came first.

    Raises:
        BrokerUnavailableError: Kafka does not answer; what was acknowledged before is noted.
    """
    logs.configure(level=settings.log_level, form=settings.log_format)
    with StopRequest() as stop, LetterTopic(settings) as topic:
        letters = choice.find(topic)
        records = len({letter.source for letter in letters})
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(x.reason for x in letters).most_common())
        if dry_run or not letters:
            log.info("Would replay %d records to %s (%s)", records, topic.source, reasons or "no such dead letters")
            return 0
        with bar("replaying") as show:
            replayed = again(settings, topic, letters, rate=rate, stop=stop, show=show)
    log.info("Replayed %d of %d records to %s (%s)", replayed, records, topic.source, reasons)
    return 0 if replayed == records else 1


def again(
    settings: LetterSettings,
    topic: LetterTopic,
    letters: Sequence[Letter],
    *,
    rate: float,
    stop: StopRequest,
    show: Callable[[int, int], None],
) -> int:
    """Publish the records of these letters again, each once; answer how many Kafka has.

    Raises:
        BrokerUnavailableError: Kafka does not answer; what was acknowledged before is noted.
    """
    twins: dict[Position, list[Letter]] = defaultdict(list)
    for letter in letters:
        twins[letter.source].append(letter)
    run = _Run(Replayer(settings), Schedule(1 / rate), stop, twins)
    run.all(topic, show)
    return run.replayed


def discard(settings: LetterSettings, choice: Choice, *, dry_run: bool) -> int:
    """Take the chosen letters off the list; Kafka keeps them as long as its retention says."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    with LetterTopic(settings) as topic:
        letters = choice.find(topic)
    if not dry_run:
        Replayer(settings).mark(letters, "discarded")
    log.info("%s %d dead letters of %s", "Would discard" if dry_run else "Discarded", len(letters), topic.source)
    return 0


@dataclass(slots=True)
class _Run:
    """One replay. A record that has several letters, since letters are at least once, is published once."""

    replayer: Replayer
    schedule: Schedule
    stop: StopRequest
    twins: dict[Position, list[Letter]]
    replayed: int = 0
    _waiting: int = 0
    _waiting_bytes: int = 0
    _met: set[Position] = field(default_factory=set)

    def all(self, topic: LetterTopic, show: Callable[[int, int], None]) -> None:
        for letter, content in topic.contents([letters[0] for letters in self.twins.values()]):
            self._met.add(letter.source)
            if not self._wait_until_due():
                log.warning("Stopped; the rest stays as it was")
                break
            self._publish(letter, content)
            if self._waiting >= _BATCH or self._waiting_bytes >= _BATCH_BYTES:
                self._settle()
            show(len(self._met), len(self.twins))
        else:
            for source in self.twins.keys() - self._met:
                log.error("%s: its dead letter has gone: the retention of %s removed it", source, topic.name)
        self._settle()

    def _publish(self, letter: Letter, content: Content | None) -> None:
        if content is None:
            log.error("%s: the letter left its value behind, and Kafka no longer has the record", letter.source)
        elif not keeps_its_id(letter):
            log.error("%s: the header velox-id cannot carry its id %s", letter.source, letter.id)
        else:
            self.replayer.publish(letter, content)
            self.schedule.advance()
            self._waiting += 1
            self._waiting_bytes += len(content.value or b"")

    def _settle(self) -> None:
        """Wait for Kafka's acknowledgement; only then the letters are handled."""
        settled = self.replayer.settle()
        for letter, why in settled.refused:
            log.error("%s: not replayed: %s", letter.source, why)
        if settled.acknowledged:
            handled: Sequence[Letter] = [twin for done in settled.acknowledged for twin in self.twins[done.source]]
            self.replayer.mark(handled, "replayed")
        self.replayed += len(settled.acknowledged)
        self._waiting = self._waiting_bytes = 0

    def _wait_until_due(self) -> bool:
        while not self.stop.is_made():
            wait_s = self.schedule.due_in_s()
            if wait_s < 0.001:  # noqa: PLR2004 - a millisecond, the client's shortest wait
                return True
            self.replayer.wait(wait_s)
        return False
