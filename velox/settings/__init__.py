"""Every setting: typed, bounded, documented. The only reader of the environment and of ``.env``."""

from velox.settings.loading import load, origins
from velox.settings.settings import MIB, Settings

__all__ = ["MIB", "Settings", "load", "origins"]
