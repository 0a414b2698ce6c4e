"""Where payloads are that are not in the records themselves, and how they are read."""

from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from velox.settings.group import MIB, Group
from velox.settings.literals import Names


class BucketSettings(Group):
    """Which bucket, what of it may be read, and how much at a time."""

    title: ClassVar = "Objects"

    bucket_url: str = Field(
        "",
        description="Bucket of the payloads: `file:///folder`, or `memory:///` for tests; empty = payloads are in the "
        "records.",
    )
    buckets_allowed: Names = Field(
        (), description="What may be read, as `bucket/prefix` (whole path segments); empty = all of `BUCKET_URL`."
    )
    downloads: int = Field(16, ge=1, le=256, description="Objects that are read at the same time, per consumer.")
    max_object_bytes: int = Field(
        20 * MIB,
        ge=1024,
        le=1024 * MIB,
        description="A larger object is dead-lettered, unread. In flight there may be `DOWNLOADS` of these beyond "
        "`QUEUE_BYTES`.",
    )
    object_timeout_s: float = Field(
        10.0,
        ge=0.1,
        le=600,
        description="When all `DOWNLOADS` have been reading for longer than this, the bucket counts as down.",
    )
    object_retry_s: float = Field(
        5.0,
        ge=0,
        le=600,
        description="A missing object is looked for again for this long before its record is dead-lettered: its key "
        "may have come before it.",
    )

    @field_validator("bucket_url")
    @classmethod
    def _is_a_bucket(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme == "s3":
            msg = "s3:// is not supported yet; write file:///folder, also for a bucket that is mounted as one"
            raise ValueError(msg)
        is_folder = parts.scheme == "file" and not parts.netloc and unquote(parts.path).strip("/")
        is_memory = parts.scheme == "memory" and not parts.netloc and not parts.path.strip("/")
        if parts.query or parts.fragment or not (is_folder or is_memory):
            msg = "is no bucket: write file:///folder with the whole path of a folder, or memory:///"
            raise ValueError(msg)
        return url

    @model_validator(mode="after")
    def _allowed_is_in_the_bucket(self) -> Self:
        for place in self.buckets_allowed:
            bucket, _, prefix = place.partition("/")
            if bucket != self.bucket_name or ".." in prefix.split("/"):
                given = f"BUCKET_URL={self.bucket_url}"
                msg = f"BUCKETS_ALLOWED={place} is not in {given}; write {self.bucket_name or 'bucket'}/prefix"
                raise ValueError(msg)
        return self

    @property
    def bucket_name(self) -> str:
        """Name the bucket: a folder by the last part of its path."""
        parts = urlsplit(self.bucket_url)
        return unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.scheme

    @property
    def bucket_folder(self) -> str:
        """Answer the path of the folder that is the bucket; empty when it is none."""
        parts = urlsplit(self.bucket_url)
        return unquote(parts.path) if parts.scheme == "file" else ""
