"""Every setting: typed, bounded, documented. The only reader of the environment, of ``.env`` and of pipeline files."""

from velox.settings.environment import handed_on, name_pipeline_file
from velox.settings.group import MIB
from velox.settings.kafka import ClientSettings
from velox.settings.loading import load, origins
from velox.settings.settings import InferenceSettings, Settings

__all__ = [
    "MIB",
    "ClientSettings",
    "InferenceSettings",
    "Settings",
    "handed_on",
    "load",
    "name_pipeline_file",
    "origins",
]
