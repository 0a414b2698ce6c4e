"""Watches over actors that run until they are told to stop."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from typing import Any, Final

import ray
from ray.exceptions import RayError

from velox.core.deadline import Deadline
from velox.core.retries import backoff_s
from velox.errors import VeloxError
from velox.signals import StopRequest

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_MARGIN_S: Final = 15.0
"""Beyond its own deadline, so long may an actor take to end."""
_FIRST_S, _LONGEST_S = 1.0, 30.0


def watch(actors: Sequence[Any], stop: StopRequest, *, drain_s: float) -> int:
    """Keep ``run`` of each actor going until told to stop, then have them finish.

    Ray itself starts again what dies. One that gives up, as it cannot go on, is told to begin anew, with back-off.

    Returns:
        0 when each of them has finished all that it had begun, else 1.
    """
    running = {actor.run.remote(): actor for actor in actors}
    waits: dict[Any, Iterator[float]] = {actor: backoff_s(first_s=_FIRST_S, cap_s=_LONGEST_S) for actor in actors}
    due: dict[Any, Deadline] = {}
    while not stop.is_made():
        if not running:
            sleep(_LOOK_S)
        ended, _ = ray.wait(list(running), timeout=_LOOK_S) if running else ([], [])
        for run in ended:
            actor = running.pop(run)
            log.error("An actor ended: %s; it is told to begin anew", _why(run))
            due[actor] = Deadline(next(waits[actor]))
        for actor in [each for each, deadline in due.items() if deadline.has_passed()]:
            del due[actor]
            running[actor.run.remote()] = actor
    return _drain(running, stop, most_s=drain_s + _MARGIN_S)


def _drain(running: Mapping[Any, Any], stop: StopRequest, *, most_s: float) -> int:
    deadline = Deadline(most_s)
    asked = 0
    left: Sequence[Any] = list(running)
    while left and not deadline.has_passed():
        while asked < min(2, stop.count):
            asked += 1
            for run in left:
                running[run].stop.remote()
        _, left = ray.wait(left, num_returns=len(left), timeout=_LOOK_S)
    codes = [_code(run) for run in running if run not in left]
    return 0 if not left and not any(codes) else 1


def _code(run: Any) -> int:  # noqa: ANN401 - a reference, of a library without types
    try:
        return int(ray.get(run))
    except (RayError, VeloxError):
        return 1


def _why(run: Any) -> str:  # noqa: ANN401 - a reference, of a library without types
    try:
        return f"code {ray.get(run)}"
    except (RayError, VeloxError) as error:
        return str(error).strip().splitlines()[-1]
