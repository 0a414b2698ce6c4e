"""What tables of keys have in common, whichever database they are in: a connection that is made when it is needed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from velox.errors import StoreUnavailableError


class Closable(Protocol):
    """A connection of any driver."""

    def close(self) -> None:
        """Disconnect."""


Open = TypeVar("Open", bound=Closable)


class Connecting(Generic[Open]):
    """Connects by itself, and again after a failure, which it tells in its own words."""

    def __init__(
        self, address: str, *, errors: tuple[type[Exception], ...], explain: Callable[[Exception], str]
    ) -> None:
        """Take the driver's errors, and what puts one in a line."""
        self.address = address
        self._errors = errors
        self._explain = explain
        self._connection: Open | None = None

    def open(self) -> None:
        """Connect, and set ``_connection``."""
        raise NotImplementedError

    def close(self) -> None:
        """Disconnect. Safe twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def _opened(self) -> Open:
        if self._connection is None:
            self.open()
        if self._connection is None:
            raise StoreUnavailableError(f"{self.address} is not open")
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            self.close()  # the next call connects again
            raise StoreUnavailableError(f"image_info in {self.address}: {self._explain(error)}") from error
