"""Where payloads are that are not in the records themselves, and how they are read."""

import re
from pathlib import Path
from typing import ClassVar, Final, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from velox.settings.group import MIB, Group
from velox.settings.literals import Names

_CLAIMS: Final = "claims"
_S3_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_s3(url: str) -> None:
    """See that this names a bucket of S3, or a part of one.

    Raises:
        ValueError: it does not.
    """
    parts = urlsplit(url)
    clean = not {"", ".", ".."} & set(parts.path.strip("/").split("/")) or not parts.path.strip("/")
    if not (_S3_NAME.fullmatch(parts.netloc) and clean) or parts.query or parts.fragment:
        msg = "is no bucket: write s3://name, or s3://name/prefix; credentials are in AWS_ACCESS_KEY_ID"
        raise ValueError(msg)


class BucketSettings(Group):
    """Which bucket, what of it may be read, and how much at a time."""

    title: ClassVar = "Objects"

    bucket_url: str = Field(
        "",
        description="Bucket of the payloads: `s3://NAME`, `s3://NAME/PREFIX`, or `file:///folder` (`file:folder`, seen "
        "from here); `memory:///` is for tests; empty = payloads are in the records.",
    )
    s3_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/?#]+/?)?$",
        description="Address of an S3 server, `https://host:port`; empty = Amazon's.",
    )
    s3_region: str = Field(
        "", description="Region of the bucket; empty = as `AWS_REGION` or `AWS_DEFAULT_REGION` say, else us-east-1."
    )
    aws_access_key_id: str = Field(
        "", description="Who asks S3; empty = as the credentials file says, else by the role of the machine."
    )
    aws_secret_access_key: SecretStr = Field(SecretStr(""), description="The secret of that key.")
    aws_session_token: SecretStr = Field(SecretStr(""), description="Goes with keys that are valid for a time.")
    aws_profile: str = Field("default", min_length=1, description="Section of the credentials file.")
    aws_shared_credentials_file: Path = Field(
        Path("~/.aws/credentials"), description="File of keys that Amazon's tools share."
    )
    buckets_allowed: Names = Field(
        (), description="What may be read, as `bucket/prefix` (whole path segments); empty = what `BUCKET_URL` names."
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

    claim_over_bytes: int = Field(
        0,
        ge=0,
        le=1024 * MIB,
        description="With CODEC=`framed`, the producer puts larger payloads into the bucket, and the record says where "
        "they are; 0 = all travel in their records.",
    )

    @field_validator("bucket_url")
    @classmethod
    def _is_a_bucket(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme == "s3":
            check_s3(url)
            return url
        is_folder = parts.scheme == "file" and not parts.netloc and unquote(parts.path).strip("/.")
        is_memory = parts.scheme == "memory" and not parts.netloc and not parts.path.strip("/")
        if parts.query or parts.fragment or not (is_folder or is_memory):
            msg = "is no bucket: write s3://name, file:///folder with the whole path of a folder, or memory:///"
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
    def is_s3(self) -> bool:
        """Say whether the bucket speaks S3's protocol."""
        return self.bucket_url.startswith("s3://")

    @property
    def bucket_prefix(self) -> str:
        """Answer how keys begin in a bucket of which BUCKET_URL names a part; no ``/`` at the end."""
        return urlsplit(self.bucket_url).path.strip("/") if self.is_s3 else ""

    @property
    def claims_prefix(self) -> str:
        """Answer how the keys of payloads begin that the producer puts into the bucket; no ``/`` at the end."""
        return f"{self.bucket_prefix}/{_CLAIMS}".lstrip("/")

    @property
    def places_allowed(self) -> tuple[str, ...]:
        """What may be read, as ``bucket/prefix``; nothing named = everything."""
        if self.buckets_allowed or not self.bucket_prefix:
            return self.buckets_allowed
        return (f"{self.bucket_name}/{self.bucket_prefix}",)

    @property
    def bucket_name(self) -> str:
        """Name the bucket: a folder by the last part of its path."""
        parts = urlsplit(self.bucket_url)
        if self.is_s3:
            return parts.netloc
        return unquote(parts.path).rstrip("/").rpartition("/")[2] or parts.scheme

    def object_url(self, key: str) -> str:
        """Say where an object is, for whoever reads a result: `s3://bucket/key`, or the path of a file."""
        if self.is_s3:
            return f"s3://{self.bucket_name}/{key}"
        return f"{self.bucket_folder}/{key}" if self.bucket_folder else f"memory:///{key}"

    @property
    def bucket_folder(self) -> str:
        """Answer the path of the folder that is the bucket; empty when it is none."""
        parts = urlsplit(self.bucket_url)
        return str(Path(unquote(parts.path)).absolute()) if parts.scheme == "file" else ""
