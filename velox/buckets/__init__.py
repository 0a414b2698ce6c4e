"""Object storage: where payloads are that are not in the records themselves."""

from importlib import import_module
from typing import cast

from velox.buckets.bucket import Bucket
from velox.errors import SettingsError
from velox.settings import ObjectSettings
from velox.settings.buckets import BucketSettings


def bucket(settings: ObjectSettings) -> Bucket | None:
    """Make the bucket of BUCKET_URL, not opened yet; None where all payloads are in the records.

    Raises:
        SettingsError: what reads buckets is not installed.
    """
    return _made(settings, f"BUCKET_URL={settings.bucket_url}") if settings.has_objects else None


def bucket_at(url: str, settings: BucketSettings) -> Bucket:
    """Make another bucket with the same credentials, not opened yet; all of it may be read.

    Raises:
        SettingsError: what reads buckets is not installed.
    """
    return _made(settings.model_copy(update={"bucket_url": url, "buckets_allowed": ()}), url)


def _made(settings: BucketSettings, said: str) -> Bucket:
    try:
        store = import_module("velox.buckets.store")  # with the bucket: not everybody has its library
    except ModuleNotFoundError as error:
        msg = f"{said}: {error.name} is not installed; run: pip install 'velox[objects]'"
        raise SettingsError(msg) from error
    return cast("Bucket", store.Store(settings))
