"""What produces records: the Source contract and the sources that obey it, by the name SOURCE gives them."""

from typing import Final

from velox.errors import SettingsError
from velox.loading import load_class
from velox.settings import SourceSettings
from velox.sources.source import Source

PATHS: Final = {
    "keys": "velox.sources.keys:KeysSource",
    "folder": "velox.sources.folder:FolderSource",
    "lines": "velox.sources.lines:LinesSource",
    "reviews": "velox.sources.reviews:ReviewsSource",
    "shapes": "velox.sources.shapes:ShapesSource",
    "video": "velox.sources.video:VideoSource",
}
_PAYLOADS: Final = {"folder", "reviews", "shapes", "video"}
"""What these make can be no keys of objects; the lines of a file can."""


def check_codec(settings: SourceSettings, name: str) -> None:
    """See whether what ``name`` or ``name:path`` means can be published with this CODEC.

    Raises:
        SettingsError: records are to be keys of objects, and the source makes payloads.
    """
    if name.partition(":")[0] in _PAYLOADS:
        settings.refuse_pointers(f"SOURCE={name}")


def open_source(settings: SourceSettings, name: str) -> Source:
    """Build the source that ``name`` or ``name:path`` means.

    Raises:
        SettingsError: there is no such source.
        SourceError: it cannot be read.
    """
    kind, _, path = name.partition(":")
    if kind not in PATHS:
        msg = f"SOURCE={name}: no such source; there are cameras, {', '.join(PATHS)}"
        raise SettingsError(msg)
    source: Source = load_class(PATHS[kind])(settings, path)
    return source
