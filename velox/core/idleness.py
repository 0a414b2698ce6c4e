"""Where the time of an inference process goes: it predicts, or it is idle for a cause.

Who tells which cause, and when:

- An inference process measures, of each batch, how long its records waited for others (BATCH_WAIT) and for the decoder
  while the device did nothing (DECODE); both come with the batch's answers.
- The dispatcher tells an ``Idleness``, one for each process, when a process has had work all the time (``worked``: what
  neither of the two explains is HAND_OVER), when its last answer has come (``ran_out``), and, every quarter of a second
  and before it is given work again, that it has had none (``starved``).
- Why there was no work, only the fetcher knows. At each step ``core/admission.py`` decides it (DOWNLOAD, SINK,
  QUEUE_SIZE, CIRCUIT, FETCH, NO_WORK or LAG_UNKNOWN), and the dispatcher keeps it in the one ``Lack`` that all
  processes share; a starved process takes from it what has been lacking since it ran out.
- What is told goes to ``velox_device_idle_seconds_total``. The dispatcher's lock guards all of this.
"""

from collections.abc import Callable
from enum import StrEnum


class Cause(StrEnum):
    """Why an inference process, and with it its device, does not predict. Each is its metric's label."""

    NO_WORK = "no_work"
    """Kafka holds no more records, or no more are to be read: the consumer drains."""
    LAG_UNKNOWN = "lag_unknown"
    """Nobody says whether Kafka holds more records."""
    FETCH = "fetch"
    """Kafka holds records, and they are not here yet."""
    QUEUE_SIZE = "queue_size"
    """Nothing more may be fetched: other inference processes have all that may be in flight."""
    SINK = "sink"
    """Nothing more may be fetched: what is predicted has not been stored yet, or a sink is down."""
    DOWNLOAD = "download"
    """Records are here, and their payloads are still in the bucket, or the bucket is down."""
    CIRCUIT = "circuit"
    """Nothing more is fetched: too much of it was bad."""
    HAND_OVER = "hand_over"
    """Records or answers are on their way between the processes."""
    BATCH_WAIT = "batch_wait"
    """Records are here, and wait for others to be predicted with them."""
    DECODE = "decode"
    """Records are decoded while the device waits for them."""


class Lack:
    """Adds up what kept the fetcher from giving out more; at any moment exactly one cause. Not thread-safe.

    Times here are monotonic seconds; one clock serves all processes of a machine.
    """

    def __init__(self, cause: Cause, *, since: float) -> None:
        """Begin with this cause."""
        self.cause = cause
        self._since = since
        self._ended: dict[Cause, float] = {}

    def turn_to(self, cause: Cause, *, now: float) -> None:
        """Note that from now on it is this one."""
        self._ended = self.seconds(now)
        self._since = now
        self.cause = cause

    def seconds(self, now: float) -> dict[Cause, float]:
        """Return the seconds that each of them held; their sum is the time since the beginning."""
        return {**self._ended, self.cause: self._ended.get(self.cause, 0.0) + now - self._since}


class Idleness:
    """Accounts for the time in which one inference process is idle, from when it is ready. Not thread-safe.

    The seconds reported by cause and the seconds it predicted add up to the time since then, except for what it is
    doing now.
    """

    def __init__(self, lack: Lack, tell: Callable[[Cause, float], None], *, since: float) -> None:
        """Begin without work; ``tell`` is called with a cause and its seconds."""
        self._lack = lack
        self._tell = tell
        self._told_until = since
        self._lacked = lack.seconds(since)

    def starved(self, now: float) -> None:
        """Report what was lacking: it has had no work until ``now``."""
        lacked = self._lack.seconds(now)
        for cause, seconds in lacked.items():
            if passed := seconds - self._lacked.get(cause, 0.0):
                self._tell(cause, passed)
        self._lacked = lacked
        self._told_until = now

    def worked(self, until: float, *, inference_s: float, decode_s: float, batch_wait_s: float) -> None:
        """Report a batch that was finished at ``until``, by the seconds of its own that each part took.

        It had work all the time: what none of them accounts for went into handing records and answers over.
        """
        self._tell(Cause.DECODE, decode_s)
        self._tell(Cause.BATCH_WAIT, batch_wait_s)
        self._tell(Cause.HAND_OVER, max(0.0, until - self._told_until - inference_s - decode_s - batch_wait_s))
        self._told_until = until

    def ran_out(self, now: float) -> None:
        """Report how long its last answer was on its way; from ``now`` on it is without work."""
        self._tell(Cause.HAND_OVER, max(0.0, now - self._told_until))
        self._lacked = self._lack.seconds(now)
        self._told_until = now
