"""What the page is made of."""

from dataclasses import dataclass

from velox.dashboard.feed import Feed
from velox.dashboard.letters import Letters
from velox.dashboard.media import Media
from velox.dashboard.queries import Results
from velox.dashboard.wall import Cameras, Wall
from velox.settings.dashboard import DashboardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts, connected."""

    settings: DashboardSettings
    results: Results | None
    feed: Feed
    media: Media
    letters: Letters
    wall: Wall
    cameras: Cameras
