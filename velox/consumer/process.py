"""One inference process, as the fetcher sees it: its pipe, and the records it is working on."""

import logging
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from itertools import count
from multiprocessing.connection import Connection
from queue import SimpleQueue
from time import monotonic

from velox.consumer import inference, last_words
from velox.consumer.messages import Answers, Reply, Work
from velox.core.idleness import Idleness
from velox.core.pace import UNDECIDED
from velox.errors import BadRecordError
from velox.records import ModelInfo, Prediction, Record
from velox.settings import InferenceSettings

log = logging.getLogger(__name__)

_spawn = multiprocessing.get_context("spawn")
_tickets = count()
_REAP_S = 1.0
"""What has been killed ends within this time, unless the kernel holds it in a driver; then nothing helps."""

_SENT_BYTES = 8 * 1024 * 1024
"""What is sent is copied once; so much of it at a time, or one payload, beside what is in flight."""

Heard = SimpleQueue[tuple["InferenceProcess", Reply | None]]
"""What inference processes say; None is the end of one."""


class InferenceProcess:
    """Starts a process and keeps every record given to it until the answer is here.

    Threads of its own send and receive, so that a process that does not read, or stops in the middle of an answer,
    blocks nobody else. Otherwise not thread-safe: its Dispatcher's lock guards it.
    """

    def __init__(self, settings: InferenceSettings, device: str, heard: Heard, *, for_suspects: bool = False) -> None:
        self.device = device
        self.model: ModelInfo | None = None
        """None until the model is loaded and warm."""
        self.for_suspects = for_suspects
        """It is given only records that a process may have died of, one at a time."""
        self.accused: tuple[Record, BadRecordError] | None = None
        """What the process before it died of, alone with it; blamed once this one has predicted another record."""
        self.batch_limit = settings.batch_size
        self.decision = UNDECIDED
        self.deaths_in_a_row = 0
        """Of the processes before it in its place, since one of them last answered."""
        self.in_flight: dict[int, Record] = {}
        self.active_at = monotonic()
        """When it last answered, or got work after having none; before, when it was started."""
        self.killed_at: float | None = None
        self.idleness: Idleness | None = None
        """From when it is ready."""
        self._heard = heard
        self._pipe: Connection[Work | None, Reply]
        self._pipe, child_end = _spawn.Pipe()
        ear, mouth = _spawn.Pipe(duplex=False)
        self._outbox: SimpleQueue[Work | None] = SimpleQueue()
        self._process = _spawn.Process(
            target=last_words.speak,
            args=(mouth, inference.serve, settings.part(InferenceSettings), device, child_end),
            daemon=True,
        )
        self._process.start()
        # The only other copies are the child's, so that its death is the end of the pipes.
        child_end.close()
        mouth.close()
        last_words.LastWords(ear, self.pid)
        self._threads = [
            threading.Thread(target=target, name=f"{name}-inference-{self.pid}", daemon=True)
            for name, target in (("to", self._send), ("from", self._receive))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int | None:
        """The operating system's number for it."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        # The pipe may report the end a moment before the code can be had.
        self._process.join(_REAP_S)
        return self._process.exitcode

    def give(self, records: Sequence[Record], *, alone: bool = False) -> None:
        """Hand over records; never blocks. Those ``alone`` wait for no company."""
        now = monotonic()
        if not self.in_flight:
            self.active_at = now
            self.note_idle(now)
        payloads = [(next(_tickets), record.payload) for record in records]
        self.in_flight.update((ticket, record) for (ticket, _), record in zip(payloads, records, strict=True))
        self._outbox.put(Work(now, payloads, alone))

    def take_back(self, answers: Answers) -> list[tuple[Record, Prediction | BadRecordError]]:
        """Match the answers with the records they are for."""
        self.active_at = monotonic()
        self.batch_limit = answers.batch_limit
        self.decision = answers.decision
        self.deaths_in_a_row = 0
        matched = [(self.in_flight.pop(ticket), answer) for ticket, answer in answers.answers]
        if self.idleness:
            self.idleness.worked(
                answers.finished_at,
                inference_s=answers.inference_s,
                decode_s=answers.decode_s,
                batch_wait_s=answers.batch_wait_s,
            )
            if not self.in_flight:
                self.idleness.ran_out(self.active_at)
        return matched

    def note_idle(self, now: float) -> None:
        """Bring the account of its idle time up to now, if it has no work."""
        if self.idleness and not self.in_flight:
            self.idleness.starved(now)

    def kill(self) -> None:
        """End it at once; harmless when it has ended already."""
        self.killed_at = self.killed_at or monotonic()
        self._process.kill()

    def close(self, timeout_s: float) -> bool:
        """Let it end by itself within ``timeout_s``, else kill it; False when not even that ends it."""
        self._outbox.put(None)
        self._process.join(timeout_s)
        if self._process.is_alive():
            self.kill()
            self._process.join(_REAP_S)
        for thread in self._threads:  # its death is the end of the pipe, and that is the end of them
            thread.join(_REAP_S)
        if self._process.is_alive() or any(thread.is_alive() for thread in self._threads):
            return False
        self._pipe.close()
        self._process.close()
        return True

    def _send(self) -> None:
        while True:
            work = self._outbox.get()
            try:
                for part in (None,) if work is None else _parts(work):
                    self._pipe.send(part)
            except OSError:  # it has died; its records are in in_flight
                return
            if work is None:
                return

    def _receive(self) -> None:
        reply: Reply | None
        while True:
            try:
                reply = self._pipe.recv()
            except (EOFError, OSError):
                reply = None
            except Exception as error:  # noqa: BLE001 - the top of a thread: what it cannot read is the end of the process
                log.error("An answer of inference process %s cannot be read: %r", self.pid, error)  # noqa: TRY400
                reply = None
            self._heard.put((self, reply))
            if reply is None:
                return


def _parts(work: Work) -> Iterator[Work]:
    """Cut work into messages of a bounded size."""
    part: list[tuple[int, bytes]] = []
    size = 0
    for ticket, payload in work.payloads:
        if part and size + len(payload) > _SENT_BYTES:
            yield work._replace(payloads=part)
            part, size = [], 0
        part.append((ticket, payload))
        size += len(payload)
    yield work._replace(payloads=part)
