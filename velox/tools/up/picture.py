"""The live view of a run as an SVG file, as the README shows it."""

import logging
import re
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console

from velox.errors import VeloxError
from velox.tools.up.view import Snapshot, View, render

log = logging.getLogger(__name__)

_WIDTH: Final = 100
"""Characters in a line."""
_FONT: Final = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(snapshot: Snapshot, places: str) -> str:
    """Return the panel of one moment as the text of an SVG file; equal moments give equal files."""
    console = Console(width=_WIDTH, record=True, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(snapshot, places))
    svg = console.export_svg(title="velox up", unique_id="velox-up")
    svg = _FONT.sub("", svg)  # a browser would fetch it from somebody's server; without it, it takes one of its own
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


class Recorded:
    """Another view, whose last picture of the running pipeline is written to a file when it ends."""

    def __init__(self, view: View, path: Path, places: str) -> None:
        """Show everything in ``view`` as well; ``places`` says where results are."""
        self._view = view
        self._path = path
        self._places = places
        self._last: Snapshot | None = None

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            VeloxError: there is no folder for the file.
        """
        if not self._path.parent.is_dir():
            msg = f"--record {self._path}: there is no folder {self._path.parent}; create it, or name another file"
            raise VeloxError(msg)
        self._view.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, and write the file if the pipeline has run. A file that cannot be written is logged, not raised."""
        self._view.__exit__(kind, error, trace)
        if self._last is None:
            log.warning("--record %s: not written, as nothing ran", self._path)
            return
        try:
            self._path.write_text(draw(self._last, self._places), encoding="utf-8")
        except OSError as failure:
            log.error("--record %s: %s", self._path, failure.strerror)  # noqa: TRY400 - the cause says all
        else:
            log.info("The picture is in %s", self._path)

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state, and remember it while the pipeline runs."""
        if snapshot.state == "running":
            self._last = snapshot
        self._view.show(snapshot)
