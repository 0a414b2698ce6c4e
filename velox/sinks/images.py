"""The sink ``disk``: detections' images, in a folder or in a bucket, as STORAGE_PATH says."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from velox.settings.readers import ImageBucketSettings
from velox.sinks.bucket import BucketSink
from velox.sinks.disk import DiskSink, file_name


@runtime_checkable
class Images(Protocol):
    """What ``velox verify`` looks into images with."""

    def image(self, record_id: str) -> bytes:
        """Answer the image that is stored of a record.

        Raises:
            SinkUnavailableError: none is, or it cannot be read now.
        """


def image_sink(settings: ImageBucketSettings) -> DiskSink | BucketSink:
    """Make the sink; it connects to nothing yet.

    Raises:
        SettingsError: it is a bucket, and what writes buckets is not installed.
    """
    return BucketSink(settings) if settings.storage_url else DiskSink(settings)


def image_path(place: str | Path, record_id: str) -> str:
    """Say where that sink keeps the payload of a record, if ``place`` is where it stores.

    An id too long for a file name (a position in a topic with a very long name) is replaced by its SHA-256.
    """
    return f"{place}/{file_name(record_id)}"
