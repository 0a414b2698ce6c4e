"""Object storage: where payloads are that are not in the records themselves."""

from importlib import import_module
from typing import cast

from velox.buckets.bucket import Bucket
from velox.errors import SettingsError
from velox.settings import ObjectSettings


def bucket(settings: ObjectSettings) -> Bucket | None:
    """Make the bucket of BUCKET_URL, not opened yet; None where all payloads are in the records.

    Raises:
        SettingsError: what reads buckets is not installed.
    """
    if not settings.has_objects:
        return None
    try:
        store = import_module("velox.buckets.store")  # with the bucket: not everybody has its library
    except ModuleNotFoundError as error:
        msg = f"BUCKET_URL={settings.bucket_url}: {error.name} is not installed; run: pip install 'velox[objects]'"
        raise SettingsError(msg) from error
    return cast("Bucket", store.Store(settings))
