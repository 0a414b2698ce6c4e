"""How often each client may ask: counted in this process, so that two gateways allow twice as much."""

import math
import time
from http import HTTPStatus
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from velox.core.rates import Rate
from velox.gateway.problems import Problem, unprocessable

_LEAST_S: Final = 1


class Rates:
    """Counts for all clients, without a moment at which all of them may begin anew. Thread-safe."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def take(self, rate: Rate, who: str, count: int = 1) -> None:
        """Count something that a client does ``count`` times at once; what is refused does not count.

        Raises:
            Problem: 429: it was too often, try again then; 422: it is more than the rate allows at any time.
        """
        item = RateLimitItemPerSecond(rate.most, rate.seconds)
        if count > rate.most:
            detail = f"{count} at once never fit into {rate.most} in {rate.seconds} s; send fewer at a time"
            raise unprocessable(detail)
        if not self._limiter.hit(item, who, cost=count):
            wait_s = math.ceil(self._limiter.get_window_stats(item, who).reset_time - time.time())
            detail = f"more than {rate.most} requests in {rate.seconds} s; try again in a while"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=max(_LEAST_S, wait_s))
