"""How long to wait before the next try: exponential back-off with full jitter."""

import random
from collections.abc import Iterator

# Source of the scheme: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.


def backoff_s(*, first_s: float = 0.1, cap_s: float = 10.0, rng: random.Random | None = None) -> Iterator[float]:
    """Yield waits in seconds for ever, each drawn from [half, whole] of a ceiling that doubles up to ``cap_s``.

    Never less than half the ceiling, so that a failing system is not hit at once by unlucky draws.
    """
    draw = rng or random.Random()  # noqa: S311 - spreads retries, guards no secret
    ceiling = first_s
    while True:
        yield draw.uniform(ceiling / 2, ceiling)
        ceiling = min(cap_s, ceiling * 2)
