"""Where results go: the Sink contract and the sinks that obey it, by the name SINKS gives them."""

from collections.abc import Sequence
from typing import Final

PATHS: Final = {
    "disk": "velox.sinks.images:image_sink",
    "mongo": "velox.sinks.mongo:MongoSink",
    "postgres": "velox.sinks.postgres:PostgresSink",
    "sqlite": "velox.sinks.sqlite:SqliteSink",
    "kafka": "velox.sinks.kafka:KafkaSink",
    "requests": "velox.sinks.requests:RequestsSink",
}
"""In the order they are written: an image is on disk before a document names its path."""


def paths(names: Sequence[str]) -> list[str]:
    """Name the classes for what SINKS says, in the order they are written; a user's own come last, as given."""
    return [path for name, path in PATHS.items() if name in names] + [name for name in names if name not in PATHS]
