"""Where results go: the Sink contract and the sinks that obey it, by the name SINKS gives them."""

from typing import Final

PATHS: Final = {
    "disk": "velox.sinks.disk:DiskSink",
    "mongo": "velox.sinks.mongo:MongoSink",
    "sqlite": "velox.sinks.sqlite:SqliteSink",
}
"""In the order they are written: an image is on disk before a document names its path."""
