"""Which brokers cannot be reached, logged with what to do about it, and not too often."""

import logging
import re
from collections.abc import Callable
from time import monotonic
from typing import Final

from confluent_kafka import KafkaError

from velox.core.seldom import Seldom
from velox.settings import ClientSettings

log = logging.getLogger(__name__)

_TELL_EVERY_S: Final = 15.0
_TOLD = Seldom(_TELL_EVERY_S)
"""Which addresses were told of, by whichever client of this process: several meet the same at once."""
_RECENT_S: Final = 30.0
_CONNECTING: Final = re.compile(
    r"(?:\w+: )?(?:\w+://)?(?P<address>[^\s/]+:\d+)(?:/(?P<node>\d+|bootstrap))?: (?P<why>.*?)(?: \(after .*)?"
)
"""How the driver begins what it says of a connection: whose it is, and what the broker at its end is to the cluster."""
_CODES: Final = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})


def unreachable(error: KafkaError, bootstrap: str) -> str | None:
    """Say which address cannot be reached, and why; None for an error that is not about that.

    An address that the cluster gave, and that nobody here has configured, is the broker's to correct.
    """
    found = _CONNECTING.fullmatch(error.str())
    if error.code() not in _CODES or found is None:
        return None
    address, why = found["address"], found["why"]
    if found["node"] == "bootstrap" or address in bootstrap.replace(" ", "").split(","):
        return f"{address} cannot be reached: {why}"
    return (
        f"{address} cannot be reached, and that is the address which the cluster at {bootstrap} gives for one of its "
        f"brokers: {why}; correct advertised.listeners of the broker, or make the address known here"
    )


def is_due(problem: str) -> bool:
    """Say whether no client of this process has told of a problem for a while, and take it for told.

    One cause, however the driver words it: the address with which it begins.
    """
    return _TOLD.is_due(problem.partition(" ")[0])


class Reachability:
    """Receives a client's connection errors and logs them: each address once in a while. Any thread may use it."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        meanwhile: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Start with everything reachable; ``meanwhile`` is added to each message: what this means for the client."""
        self._bootstrap = settings.kafka_bootstrap_server
        self._meanwhile = meanwhile
        self._clock = clock
        self._last: tuple[float, str] | None = None

    def heard(self, error: KafkaError) -> bool:
        """Handle what the driver reports; False when it is about something else."""
        problem = unreachable(error, self._bootstrap)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            if self.problem is not None:  # what is wrong with each has been said
                return True
            problem = f"{self._bootstrap} does not answer"
        if problem is None:
            return False
        self._last = (self._clock(), problem)
        if is_due(problem):
            log.warning("Kafka: %s%s", problem, self._meanwhile())
        return True

    @property
    def problem(self) -> str | None:
        """What was heard within the last half minute; None when nothing was."""
        last = self._last
        return last[1] if last is not None and self._clock() - last[0] < _RECENT_S else None
