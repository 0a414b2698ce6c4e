"""Every setting: typed, bounded, documented. The only reader of the environment and of ``.env``."""

from velox.settings.group import MIB
from velox.settings.loading import load, origins
from velox.settings.settings import InferenceSettings, Settings

__all__ = ["MIB", "InferenceSettings", "Settings", "load", "origins"]
