"""What produces records: the Source contract and the sources that obey it, by the name SOURCE gives them."""

from typing import Final

from velox.errors import SettingsError
from velox.loading import load_class
from velox.settings import SourceSettings
from velox.sources.source import Source

PATHS: Final = {
    "folder": "velox.sources.folder:FolderSource",
    "lines": "velox.sources.lines:LinesSource",
    "reviews": "velox.sources.reviews:ReviewsSource",
    "shapes": "velox.sources.shapes:ShapesSource",
    "video": "velox.sources.video:VideoSource",
}


def open_source(settings: SourceSettings, name: str) -> Source:
    """Build the source that ``name`` or ``name:path`` means.

    Raises:
        SettingsError: there is no such source.
        SourceError: it cannot be read.
    """
    kind, _, path = name.partition(":")
    if kind not in PATHS:
        msg = f"SOURCE={name}: no such source; there are {', '.join(PATHS)}"
        raise SettingsError(msg)
    source: Source = load_class(PATHS[kind])(settings, path)
    return source
