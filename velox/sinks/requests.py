"""Puts what became of records into the rows of their requests, where the gateway's clients ask for it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import time
from typing import Literal

from velox.errors import SinkUnavailableError, StoreUnavailableError
from velox.records import Outcome, Result
from velox.requests.rows import Request
from velox.requests.store import RequestStore
from velox.settings.readers import FinishingSettings
from velox.sinks.sink import Proof, Stored


class RequestsSink:
    """Takes results and failures. A record that no gateway knows gets a row too, and can be asked for by its id.

    That row is one of the model that PIPELINE names; without it, of the one that answers.
    """

    def __init__(self, settings: FinishingSettings) -> None:
        """Read the address.

        Raises:
            SettingsError: REQUESTS_URL is none, or its driver is not installed.
        """
        self.name = "requests"
        self.takes: Literal["outcomes"] = "outcomes"
        self._pipeline = settings.pipeline
        self._model = settings.pipeline or settings.model
        self._ttl_s = settings.result_ttl_s
        self._store = RequestStore(settings.requests_url.get_secret_value(), timeout_s=settings.sink_timeout_s)
        self._observe: Callable[[str, str, float], None] = lambda _model, _outcome, _seconds: None

    def measure(self, observe: Callable[[str, str, float], None]) -> None:
        """Tell ``observe`` of each outcome how long after its request came it was stored."""
        self._observe = observe

    def open(self) -> None:
        """Create tables where missing, and prove that they can be written.

        Raises:
            SettingsError: they are those of another version of Velox.
        """
        with _translated():
            self._store.open()

    def write(self, batch: Sequence[Outcome]) -> None:
        """Finish requests, in one transaction; a webhook that waits is due with it."""
        if not self._pipeline:
            self._model = next((each.model.name for each in batch if isinstance(each, Result)), self._model)
        with _translated():
            stored = self._store.finish(batch, model=self._model, ttl_s=self._ttl_s)
        now = time()
        for each in stored:
            self._observe(each.model, each.outcome, max(0.0, now - each.created_at))

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def stored(self, prefix: str) -> Iterator[Stored]:
        """Yield the results whose id begins with ``prefix``; the row does not say whether one is a detection."""
        with _translated():
            yield from map(_stored, self._store.completed(prefix))

    def remove(self, prefix: str) -> None:
        """Remove the requests whose id begins with ``prefix``, answered or not; without one the file, or the tables."""
        with _translated():
            self._store.remove(prefix)

    def probe(self) -> Proof:
        """Do what ``open`` does, and take it back."""
        with _translated():
            return Proof(self._store.probe())


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except StoreUnavailableError as error:
        raise SinkUnavailableError(f"requests: {error}") from error


def _stored(request: Request) -> Stored:
    topic, partition, offset = (request.position or "-0-0").rsplit("-", 2)
    return Stored(
        id=request.id,
        label=request.label or "",
        position=(topic, int(partition), int(offset)),
        predicted_at=request.completed_at,
    )
