"""The KeyTable contract: rows that name objects, read from where the last reader was."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from velox.records import Pointer


class Place(NamedTuple):
    """How far a reader is: behind the row that this is of. Compares as the rows' order."""

    added: int
    """In which transaction the row came, or 0."""
    id: int
    by: tuple[str, ...] = ()
    """Where the table has no such columns: its primary key, as text."""

    @property
    def name(self) -> str:
        """Name the row; the same for the same row, and for no other of the table."""
        return "\0".join(self.by) if self.by else str(self.id)


START = Place(0, 0)


class Row(NamedTuple):
    """One row of ``image_info``."""

    place: Place
    key: str
    size_bytes: int | None = None
    sha256: str = ""


class Holder(NamedTuple):
    """A transaction that keeps rows from being final."""

    who: str
    """For people: process, application, user and state."""
    age_s: float | None = None
    """For how long it has been open; None when nobody says."""
    end: str = ""
    """The statement that ends it."""


class KeyTable(Protocol):
    """A table of keys in a database. One thread uses it; every call may be tried again after it failed.

    All methods raise ``StoreUnavailableError`` when the database does not answer.
    """

    address: str
    """For people: without its password."""

    def open(self) -> None:
        """Connect, and make what is missing."""

    def place(self) -> Place:
        """Answer what was marked last; ``START`` before that."""

    def read(self, after: Place, *, prefix: str, most: int) -> list[Row]:
        """Answer the next rows in order, of those whose key begins so.

        No row comes later that belongs before one that was answered: what is not final yet is not answered yet.
        """

    def mark(self, place: Place) -> None:
        """Remember how far the reader is, for its next start."""

    def wait(self, timeout_s: float) -> None:
        """Return when there may be new rows, after the time at the latest."""

    def known(self, keys: Sequence[str]) -> dict[str, Row]:
        """Answer what is known of keys that have a row; of several of one key, the newest."""

    def add(self, pointers: Sequence[Pointer]) -> None:
        """Add a row for each."""

    def probe(self) -> str:
        """Say what is there, and change nothing."""

    def held_up_by(self) -> Holder | None:
        """Name what may keep rows from being answered: the oldest transaction that has written and is still open."""

    def close(self) -> None:
        """Disconnect. Safe twice."""
