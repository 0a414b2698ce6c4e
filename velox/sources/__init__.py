"""What produces records: the Source contract and the sources that obey it, by the name SOURCE gives them."""

from typing import Final

PATHS: Final = {
    "folder": "velox.sources.folder:FolderSource",
    "shapes": "velox.sources.shapes:ShapesSource",
    "video": "velox.sources.video:VideoSource",
}
