"""Lines at which tests make a process die, stop, fail or wait: ``VELOX_FAILPOINT=name:nth:action``. Inert otherwise."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from velox.errors import SettingsError
from velox.settings.environment import is_test, variables

CATALOGUE: Final = {
    "after_fetch": "records fetched, nobody knows of them yet",
    "after_dispatch": "records handed over to inference, or as bad ones to the writer",
    "before_load": "inference process started, model not loaded",
    "mid_batch": "batch decoded, not predicted",
    "after_predict": "batch predicted, not answered",
    "after_dead_letters": "dead letters acknowledged, neither stored nor committed what came with them",
    "after_sink": "one sink has the bulk, the next has not",
    "after_sinks": "every sink has the bulk, the fetcher does not know",
    "before_commit": "the fetcher knows what is done, the broker does not",
    "before_transaction_offsets": "results are in a transaction, their offsets are not",
    "before_transaction_commit": "results and offsets are in a transaction, which is open",
    "in_revoke": "partitions go, what is done in them is not committed",
    "after_claim": "a webhook is claimed, not sent",
    "after_post": "a webhook is sent, and nobody has noted it",
    "while_draining": "asked to stop, records in flight",
    "after_enter": "the gateway has entered a request in the store, its record is not in Kafka",
    "after_ack": "Kafka has acknowledged a request's record, the client has no answer",
}
"""What has happened where, and what has not."""

SLEEP_S: Final = 8.0
"""Longer than the shortest session time-out."""


def _raise() -> None:
    msg = "a failpoint was reached"
    raise RuntimeError(msg)


ACTIONS: Final[Mapping[str, Callable[[], None]]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "raise": _raise,
    "sleep": lambda: time.sleep(SLEEP_S),
}


class _Failpoint:
    """Acts once in a folder: processes that are started again find the file that says so, and go on."""

    def __init__(self, text: str) -> None:
        self.name, nth, action = (*text.split(":"), "", "")[:3]
        if self.name not in CATALOGUE or not nth.isdecimal() or int(nth) < 1 or action not in ACTIONS:
            msg = (
                f"VELOX_FAILPOINT={text}: write name:nth:action, nth from 1, one of the actions {', '.join(ACTIONS)} "
                f"and of the names {', '.join(CATALOGUE)}"
            )
            raise SettingsError(msg)
        self._left = int(nth)
        self._act = ACTIONS[action]

    def count_down(self) -> None:
        self._left -= 1
        if self._left == 0:
            with suppress(FileExistsError):
                Path(f"failpoint-{self.name}").touch(exist_ok=False)
                self._act()


_armed: _Failpoint | None = None


def arm() -> None:
    """Read what this process is to do; once, when it starts.

    Raises:
        SettingsError: the failpoint is unknown, or this is no test.
    """
    global _armed  # noqa: PLW0603 - one per process, as the environment it comes from
    text = variables().get("VELOX_FAILPOINT")
    if text and not is_test():
        msg = f"VELOX_FAILPOINT={text}: breaks Velox on purpose; unset it, or say VELOX_TESTING=1 in a test of Velox"
        raise SettingsError(msg)
    _armed = _Failpoint(text) if text else None


def reach(name: str) -> None:
    """Pass a line of the CATALOGUE; as a rule, nothing happens."""
    if _armed is not None and _armed.name == name:
        _armed.count_down()
