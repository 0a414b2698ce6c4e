"""How long one step takes: repeated until it can be told."""

from collections.abc import Callable


def seconds_each(step: Callable[[], object], *, clock: Callable[[], float], least_s: float) -> float:
    """Repeat a step for at least ``least_s`` seconds on ``clock``, after once to warm up; answer what one takes."""
    step()
    times, began = 0, clock()
    while (used_s := clock() - began) < least_s:
        step()
        times += 1
    return used_s / times
