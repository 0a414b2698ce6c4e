"""Every setting: typed, bounded, documented. The only reader of the environment, of ``.env`` and of pipeline files."""

from velox.settings.environment import handed_on, name_pipeline_file
from velox.settings.group import MIB
from velox.settings.kafka import ClientSettings
from velox.settings.loading import load, origins
from velox.settings.readers import (
    FetcherSettings,
    FleetSettings,
    InferenceSettings,
    LetterSettings,
    MemberSettings,
    ObjectSettings,
    ProductionSettings,
    SourceSettings,
    StreamSettings,
    WriterSettings,
)
from velox.settings.settings import Settings
from velox.settings.topics import TopicSettings

__all__ = [
    "MIB",
    "ClientSettings",
    "FetcherSettings",
    "FleetSettings",
    "InferenceSettings",
    "LetterSettings",
    "MemberSettings",
    "ObjectSettings",
    "ProductionSettings",
    "Settings",
    "SourceSettings",
    "StreamSettings",
    "TopicSettings",
    "WriterSettings",
    "handed_on",
    "load",
    "name_pipeline_file",
    "origins",
]
