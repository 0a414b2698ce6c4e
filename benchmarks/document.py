"""Parts of documents that commands write: between the lines ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.report import REPOSITORY

PERFORMANCE: Final = REPOSITORY / "docs" / "performance.md"


def write_section(name: str, markdown: str, *, page: Path = PERFORMANCE) -> None:
    """Replace what a section of ``page`` contains; its markers and all around them stay.

    Raises:
        ValueError: the page does not have exactly one section of that name; it stays as it was.
    """
    before, _, after = _parts(page, name)
    page.write_text(f"{before}\n{markdown.strip()}\n{after}")


def read_section(name: str, *, page: Path = PERFORMANCE) -> str:
    """Answer what a section of ``page`` contains, without the line breaks around it.

    Raises:
        ValueError: the page does not have exactly one section of that name.
    """
    return _parts(page, name)[1].strip()


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Write the lines of a Markdown table."""
    head, *body = ("| " + " | ".join(cells) + " |" for cells in (titles, *rows))
    return [head, "|" + "---|" * len(titles), *body]


def _parts(page: Path, name: str) -> tuple[str, str, str]:
    """Cut the page in three: up to the first marker, between the two, and from the second on."""
    text = page.read_text()
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        msg = f"{page}: one section {name} is expected, between the lines {begin} and {end}"
        raise ValueError(msg)
    start, stop = text.index(begin) + len(begin), text.index(end)
    return text[:start], text[start:stop], text[stop:]
