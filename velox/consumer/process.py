"""One inference process, as the fetcher sees it: its pipe, and the records it is working on."""

import multiprocessing
import threading
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from time import monotonic

from velox.consumer import inference
from velox.consumer.messages import Answers, Reply, Work
from velox.errors import BadRecordError
from velox.records import ModelInfo, Prediction, Record
from velox.settings import Settings

_spawn = multiprocessing.get_context("spawn")
_tickets = count()
_REAP_S = 1.0


class InferenceProcess:
    """Starts a process and keeps every record given to it until the answer is here.

    A thread of its own sends, so that a process that does not read never blocks the caller. Otherwise not
    thread-safe: its Dispatcher's lock guards it.
    """

    def __init__(self, settings: Settings, device: str, *, for_suspects: bool = False) -> None:
        self.device = device
        self.model: ModelInfo | None = None
        """None until the model is loaded and warm."""
        self.for_suspects = for_suspects
        """It is given only records that were in flight when a process died, one at a time."""
        self.deaths_in_a_row = 0
        """Of the processes before it in its place, since one of them last answered."""
        self.in_flight: dict[int, Record] = {}
        self.active_at = monotonic()
        """When it last answered, or got work after having none."""
        self.pipe: Connection[Work, Reply]
        self.pipe, child_end = _spawn.Pipe()
        self._outbox: SimpleQueue[Work | None] = SimpleQueue()
        self._process = _spawn.Process(target=inference.serve, args=(settings, device, child_end), daemon=True)
        self._process.start()
        # The only other copy is the child's, so that its death is the end of the pipe.
        child_end.close()
        self._sender = threading.Thread(target=self._send, name=f"to-inference-{self.pid}", daemon=True)
        self._sender.start()

    @property
    def pid(self) -> int | None:
        """The operating system's number for it."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What ``multiprocessing.connection.wait`` reports when the process has ended."""
        return self._process.sentinel

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        # The sentinel may report the end a moment before the code can be had.
        self._process.join(_REAP_S)
        return self._process.exitcode

    def give(self, records: Sequence[Record]) -> None:
        """Hand over records; never blocks."""
        now = monotonic()
        if not self.in_flight:
            self.active_at = now
        payloads = [(next(_tickets), record.payload) for record in records]
        self.in_flight.update((ticket, record) for (ticket, _), record in zip(payloads, records, strict=True))
        self._outbox.put(Work(now, payloads))

    def take_back(self, answers: Answers) -> list[tuple[Record, Prediction | BadRecordError]]:
        """Match the answers with the records they are for."""
        self.active_at = monotonic()
        self.deaths_in_a_row = 0
        return [(self.in_flight.pop(ticket), answer) for ticket, answer in answers.answers]

    def kill(self) -> None:
        """End it at once; harmless when it has ended already."""
        self._process.kill()

    def close(self, timeout_s: float) -> None:
        """Let it end by itself within ``timeout_s``, else kill it, and let go of the pipe."""
        self._outbox.put(None)
        self._sender.join(timeout_s)
        if self._sender.is_alive():
            self.kill()
            self._sender.join()
        self.pipe.close()
        self._process.join(timeout_s)
        if self._process.is_alive():
            self.kill()
        self._process.join()
        self._process.close()

    def _send(self) -> None:
        while (work := self._outbox.get()) is not None:
            try:
                self.pipe.send(work)
            except OSError:  # it has died; its records are in in_flight
                return
