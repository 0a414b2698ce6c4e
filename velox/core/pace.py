"""How many records to predict together, and whether to wait for more: from what batches cost and records come."""

import math
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

_BUSY_AT_MOST: Final = 0.9
"""Share of its time that a process computes, if larger batches can bring it down to that."""
_SLACK: Final = 0.02
"""Share of the capacity that is given away for smaller batches: their first records wait for fewer others."""
_HALF: Final = 0.5
"""Share of the latency target for waiting and computing; fetching, queueing and storing have the rest."""
_TRY_EVERY: Final = 64
"""One batch of so many takes all that waits, so that the cost of large ones is known when it changes."""
_MEMORY_S: Final = 1.0
"""The arrival rate is that of about the last second."""
_NOISE: Final = 0.2
"""Standard deviation of a batch's time, as a share of it."""
_DRIFT: Final = 0.02
"""By which share the cost of batches changes from one to the next; that of one part alone, a tenth of it."""


class Decision(NamedTuple):
    """What a pace has decided for the present, and from what."""

    aim: int
    """Records that it waits for; 1: for none, it predicts what is there."""
    wait_s: float
    """How long it waits for them."""
    batch_s: float
    """Seconds for a batch, besides those for its records."""
    record_s: float
    """Seconds for each record."""
    rate: float
    """Records per second that come."""


UNDECIDED: Final = Decision(1, 0.0, 0.0, 0.0, 0.0)
"""Before there was any record."""


class Curve:
    """What a batch of n takes: ``batch_s + n * record_s`` seconds, learnt from those seen.

    Recursive least squares, as a Kalman filter of the two numbers (Ljung, System Identification, chapter 11). Between
    batches they drift together, as a machine becomes slower or faster, and a little each by itself. So batches of one
    size alone keep the curve's level up to date, and its shape stays until other sizes tell.
    """

    def __init__(self) -> None:
        """Start without measurements: until then every batch seems to cost nothing."""
        self.batch_s = 0.0
        self.record_s = 0.0
        self._variances = (0.0, 0.0, 0.0)
        """Of batch_s, of both together, of record_s."""

    @property
    def is_known(self) -> bool:
        """Say whether any batch has been seen."""
        return self.record_s > 0

    def seconds(self, count: int) -> float:
        """Predict what ``count`` records take together."""
        return self.batch_s + count * self.record_s

    def observe(self, count: int, seconds: float) -> None:
        """Learn from a batch of ``count`` records that took ``seconds`` to compute, without the time it waited.

        The first one is counted half as cost of the batch, half as cost of its records, until others show more.
        """
        if not self.is_known:
            self.batch_s = self.record_s = seconds / (1 + count)
            self._variances = (seconds**2, 0.0, (seconds / count) ** 2)
        expected = self.seconds(count)
        alone = (_DRIFT / 10 * self.seconds(1)) ** 2
        batch, both, record = self._variances
        batch += (_DRIFT * self.batch_s) ** 2 + alone
        both += _DRIFT**2 * self.batch_s * self.record_s
        record += (_DRIFT * self.record_s) ** 2 + alone
        to_batch, to_record = batch + count * both, both + count * record
        spread = to_batch + count * to_record + (_NOISE * expected) ** 2
        error = min(seconds - expected, expected)  # a pause of the machine says little of the model
        self.batch_s = max(0.0, self.batch_s + to_batch / spread * error)
        self.record_s = max(1e-9, self.record_s + to_record / spread * error)
        self._variances = (
            batch - to_batch**2 / spread,
            both - to_batch * to_record / spread,
            record - to_record**2 / spread,
        )

    def fewest(self, rate: float, most: int) -> int:
        """Say how large batches must be to get through ``rate`` records per second; ``most`` when even that fails."""
        spare = 1 - rate * self.record_s
        if spare <= 0:
            return most
        return max(1, min(most, math.ceil(rate * self.batch_s / spare - 1e-9)))


class Pace:
    """Batches as small as they can be, at the rate at which records come, for the model as it is.

    A process that has nothing to do takes what waits: of that, no more than saves compute. It waits for more only
    when it would otherwise compute nearly all the time, and as far as the latency target allows. Where a batch takes as
    long as its records one by one, it never does. Pure but for the injected clock; not thread-safe.
    """

    def __init__(self, *, size: int, target_s: float, clock: Callable[[], float] = monotonic) -> None:
        """Choose batches of at most ``size`` for a latency of ``target_s``, of which half is for the batch."""
        self.curve = Curve()
        self._size = size
        self._target_s = target_s
        self._clock = clock
        self._rate = 0.0
        self._rate_at = clock()
        self._batches = 0

    def arrived(self, count: int) -> None:
        """Note that records have come."""
        self._rate = self.rate() + count / _MEMORY_S
        self._rate_at = self._clock()

    def computed(self, count: int, seconds: float) -> None:
        """Note how many seconds a batch of ``count`` records took to compute."""
        self.curve.observe(count, seconds)

    def rate(self) -> float:
        """Estimate how many records come in a second."""
        return self._rate * math.exp(-max(0.0, self._clock() - self._rate_at) / _MEMORY_S)

    def take(self, waiting: int) -> int:
        """Say how many of those that wait to predict together."""
        most = min(waiting, self._size)
        self._batches += 1
        if self._batches % _TRY_EVERY == 0 or not self.curve.is_known:
            return most
        return self.curve.fewest(self._nearly_best(most), most)

    def wait_s(self, waiting: int) -> float:
        """Say how long the first of those that wait should wait for more to come."""
        decision = self.decide()
        return 0.0 if waiting >= decision.aim else decision.wait_s

    def decide(self) -> Decision:
        """Decide for the present."""
        rate = self.rate()
        aim = self.curve.fewest(min(rate / _BUSY_AT_MOST, self._nearly_best(self._size)), self._size)
        left_s = _HALF * self._target_s - self.curve.seconds(aim)
        wait_s = max(0.0, min((aim - 1) / rate, left_s)) if aim > 1 else 0.0
        return Decision(aim, wait_s, self.curve.batch_s, self.curve.record_s, rate)

    def _nearly_best(self, count: int) -> float:
        """Records per second in batches of ``count``, less the slack; 0 while that is not known."""
        return (1 - _SLACK) * count / self.curve.seconds(count) if self.curve.is_known else 0.0


class FixedPace(Pace):
    """Batches of one size, or fewer after one time, whatever comes; what they cost is learnt for those who ask."""

    def __init__(self, *, size: int, wait_s: float, clock: Callable[[], float] = monotonic) -> None:
        """Cut batches of ``size``, or fewer when the first has waited ``wait_s``."""
        super().__init__(size=size, target_s=0, clock=clock)
        self._wait_s = wait_s

    def take(self, waiting: int) -> int:
        """Return how many to take: all, up to the size."""
        return min(waiting, self._size)

    def decide(self) -> Decision:
        """Return the same decision always, with what was learnt."""
        return Decision(self._size, self._wait_s, self.curve.batch_s, self.curve.record_s, self.rate())
