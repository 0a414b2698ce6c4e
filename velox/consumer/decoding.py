"""Decoding: each payload when its batch is due, or ahead of it on threads, while the model computes."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from velox.models.remarks import take_remark


class Decoding:
    """Decodes each payload once. Used by one thread, whatever the number of its own.

    Threads pay where cores have nothing else to do, beside a GPU. A decoder lets the interpreter go on meanwhile.
    """

    def __init__(self, decode: Callable[[bytes], Any], *, threads: int = 1) -> None:
        """Call ``decode`` when its result is asked for or, with more than one thread, as soon as possible on those."""
        self._decode = decode
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None
        self._ahead: dict[int, Future[tuple[Any, str]]] = {}
        self._remarks: list[tuple[int, str]] = []

    def expect(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Begin with payloads, each under the ticket that ``take`` will name."""
        if self._threads is not None:
            for ticket, payload in payloads:
                self._ahead[ticket] = self._threads.submit(self._decoded, payload)

    def take(self, ticket: int, payload: bytes) -> Any:  # noqa: ANN401 - only the model's predict reads it
        """Return what ``decode`` made of a payload, or raise what it raised; once for each ticket.

        Waits for as long as that takes: the fetcher kills a process that is silent for INFERENCE_TIMEOUT_S.
        """
        ahead = self._ahead.pop(ticket, None)
        found, remark = self._decoded(payload) if ahead is None else ahead.result()
        if remark:
            self._remarks.append((ticket, remark))
        return found

    def take_remarks(self) -> tuple[tuple[int, str], ...]:
        """Return what ``decode`` remarked on those taken since the last call, with their tickets."""
        remarks, self._remarks = tuple(self._remarks), []
        return remarks

    def _decoded(self, payload: bytes) -> tuple[Any, str]:
        take_remark()  # it may be of a payload that was refused after all
        return self._decode(payload), take_remark()
