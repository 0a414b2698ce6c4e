"""Which version of the model predicts a record, where there are several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from time import time

from velox.consumer.comparison import Shadow
from velox.consumer.dispatch import Dispatcher
from velox.core.deadline import Deadline
from velox.core.idleness import Cause
from velox.core.shares import Shares
from velox.errors import BadRecordError, Reason, VeloxError
from velox.probes import Report
from velox.records import Answered, ModelInfo, Record, asked_version

Answer = Callable[[list[Answered]], None]


class Router:
    """Hands each record to the dispatcher of one version; to the others it is a dispatcher itself.

    A record has one answer and one offset, whichever version gives it: no change of shares can lose or double one.
    What asks for a version that there is not is dead-lettered. The results name the version, in the place of the
    model's own identity.

    All versions share QUEUE_SIZE: one that is slow holds up the others once its records fill it. One that cannot go on
    ends the consumer, as a single model does. The shadow does neither.
    """

    def __init__(
        self, dispatchers: Mapping[str, Dispatcher], shares: Mapping[str, float], default: str, shadow: Shadow | None
    ) -> None:
        """Take a dispatcher for each version that answers; none is started yet."""
        self._answered: Answer
        self._dispatchers = dispatchers
        self._shares = Shares(shares)
        self._default = default
        self.shadow = shadow
        self._named: dict[str, ModelInfo] = {}

    @property
    def reads_objects(self) -> bool:
        """Payloads are downloaded before they come here."""
        return False

    @property
    def reports(self) -> dict[str, Report]:
        """What the shadow's answers were like."""
        return {"/comparison": self.shadow.report} if self.shadow else {}

    def start(self, answered: Answer) -> None:
        """Start all versions; ``answered`` takes what they answer, and is called by a thread of each."""
        self._answered = answered
        # Who starts last is seen in the metrics of which there can be only one.
        for name in sorted(self._dispatchers, key=lambda each: each == self._default):
            self._dispatchers[name].start(partial(self._hear, name))
        if self.shadow:
            self.shadow.start()

    @property
    def failure(self) -> VeloxError | None:
        """Why a version can predict no more; None while all can."""
        for name, dispatcher in self._dispatchers.items():
            if failure := dispatcher.failure:
                return type(failure)(f"version {name}: {failure}")
        return None

    @property
    def ready_processes(self) -> int:
        """Count the ready processes of the version that has the fewest."""
        return min(each.ready_processes for each in self._dispatchers.values())

    @property
    def is_warm(self) -> bool:
        """Say whether every process of every version is ready."""
        return all(each.is_warm for each in self._dispatchers.values())

    def stuck(self) -> str | None:
        """Say what cannot go on and would after a restart of the consumer."""
        return next((why for each in self._dispatchers.values() if (why := each.stuck())), None)

    def submit(self, records: Sequence[Record]) -> None:
        """Take records in; never blocks."""
        chosen: dict[str, list[Record]] = {}
        unknown: list[Answered] = []
        for record in records:
            name = asked_version(record.headers) or self._shares.choose(record.key or record.id.encode())
            if name in self._dispatchers:
                chosen.setdefault(name, []).append(record)
            else:
                unknown.append(Answered(record, self._refusal(name), at=time()))
        if self.shadow:
            self.shadow.offer([record for each in chosen.values() for record in each])
        for name, own in chosen.items():
            self._dispatchers[name].submit(own)
        if unknown:
            self._answered(unknown)

    def is_behind(self) -> bool:
        """Say whether records wait that a version has no room for."""
        return any(each.is_behind() for each in self._dispatchers.values())

    @property
    def in_hand(self) -> int:
        """Count the records that wait for a process, or for a process's answer."""
        return sum(each.in_hand for each in self._dispatchers.values())

    def lacks_because(self, cause: Cause) -> None:
        """Hear why no more is submitted from now on. For one thread."""
        for each in self._dispatchers.values():
            each.lacks_because(cause)

    def close(self, deadline: Deadline) -> bool:
        """End the processes of all versions; False when something did not end."""
        ended = [each.close(deadline) for each in self._dispatchers.values()]
        return (self.shadow is None or self.shadow.close(deadline)) and all(ended)

    def _hear(self, name: str, answers: list[Answered]) -> None:
        model = answers[0].model if answers else None
        if model is not None:
            known = self._named.get(name)
            if known is None or known.device != model.device:
                known = self._named[name] = replace(model, version=name)
            answers = [each._replace(model=known) for each in answers]
        if self.shadow:
            self.shadow.compare(answers)
        self._answered(answers)

    def _refusal(self, name: str) -> BadRecordError:
        return BadRecordError(
            Reason.UNKNOWN_VERSION, f"{name[:100]!r} is asked for, and there are {', '.join(self._dispatchers)}"
        )
