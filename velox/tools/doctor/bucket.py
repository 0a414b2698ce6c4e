"""Whether payloads that are kept in a bucket can be read."""

from collections.abc import Iterator

from velox.buckets import bucket
from velox.errors import BucketUnavailableError
from velox.settings import ObjectSettings
from velox.tools.doctor.findings import Finding, error, ok, warning


def find(settings: ObjectSettings) -> Iterator[Finding]:
    """Open the bucket and look for a first object; nothing is found where payloads are in the records."""
    if (made := bucket(settings)) is None:
        return
    what = f"bucket {made.name}"
    try:
        made.open()
        first = next(made.list(settings.bucket_prefix), None)
    except BucketUnavailableError as problem:
        yield error(
            what,
            str(problem),
            "mount or create it, allow the consumer to read it, or correct BUCKET_URL and, for S3, AWS_ACCESS_KEY_ID",
        )
    else:
        yield ok(what, f"{settings.bucket_url} can be read")
        if first is None and settings.is_apart:  # for claims there may be none yet
            yield warning(what, "it holds no objects", "if it is a mount point, name a folder below it in BUCKET_URL")
    finally:
        made.close()
