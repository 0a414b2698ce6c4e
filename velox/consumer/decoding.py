"""Decoding: each payload when its batch is due, or ahead of it on threads, while the model computes."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Decoding:
    """Decodes each payload once. Used by one thread, whatever the number of its own.

    Threads pay where cores have nothing else to do, beside a GPU. A decoder lets the interpreter go on meanwhile.
    """

    def __init__(self, decode: Callable[[bytes], Any], *, threads: int = 1) -> None:
        """Call ``decode`` when its answer is asked for or, with more than one thread, as soon as possible on those."""
        self._decode = decode
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None
        self._ahead: dict[int, Future[Any]] = {}

    def expect(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        """Begin with payloads, each under the ticket that ``take`` will name."""
        if self._threads is not None:
            for ticket, payload in payloads:
                self._ahead[ticket] = self._threads.submit(self._decode, payload)

    def take(self, ticket: int, payload: bytes) -> Any:  # noqa: ANN401 - only the model's predict reads it
        """Answer what has become of a payload, once; raises what ``decode`` has raised."""
        ahead = self._ahead.pop(ticket, None)
        return self._decode(payload) if ahead is None else ahead.result()
