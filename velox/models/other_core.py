"""Work in a process beside this one: threads that compute in Python would wait for each other."""

import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from types import TracebackType
from typing import Self, TypeVar

from velox import logs
from velox.settings import InferenceSettings
from velox.tether import tie_to

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class OtherCore:
    """One process, which begins with its first work, logs as this one does, and dies with it. For the main thread."""

    def __init__(self, settings: InferenceSettings) -> None:
        """Start nothing yet."""
        given = (os.getpid(), settings.log_level, settings.log_format)
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=given)

    def begin(self, work: Callable[..., Result], *given: object) -> Callable[[], Result]:
        """Begin ``work(*given)``; return a function that waits for the result, or does it here if the process died."""
        here = partial(work, *given)
        try:
            there = self._pool.submit(work, *given)
        except BrokenExecutor:
            return here

        def result() -> Result:
            try:
                return there.result()
            except BrokenExecutor as error:
                log.warning("The process beside this one ended, so that it takes longer: %s", error)
                return here()

        return result

    def __enter__(self) -> Self:
        """Use it within a block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, when what it has begun is done."""
        self._pool.shutdown(cancel_futures=True)


def _begin(parent_pid: int, log_level: str, log_format: logs.Form) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; when to end, the other one decides
    tie_to(parent_pid)
    logs.configure(level=log_level, form=log_format)
