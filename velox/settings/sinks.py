"""What becomes of answers: detections, dead letters, and where they go."""

import re
from pathlib import Path
from typing import ClassVar, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from velox.settings.buckets import check_s3
from velox.settings.group import Group
from velox.settings.literals import Names, Topic

_SINKS: Final = ("mongo", "disk", "sqlite", "postgres", "kafka", "requests")


class DeadLetterSettings(Group):
    """Where bad records go, and when so much is bad that going on makes no sense."""

    title: ClassVar = "Dead letters"

    dead_letter_topic: Topic = Field("auto", description="Topic of bad records; `auto` = `<KAFKA_TOPIC>.dlq`.")
    dead_letter_ratio: float = Field(
        0.5, ge=0, le=1, description="Consuming stops at this share of bad records in the window; 0 = never."
    )
    dead_letter_window: int = Field(
        1000, ge=10, le=1_000_000, description="The last records, of all partitions, that `DEAD_LETTER_RATIO` is of."
    )
    dead_letter_run: int = Field(
        200,
        ge=0,
        le=1_000_000,
        description="Consuming stops at so many bad records in a row in a partition; 0 = never.",
    )


class DetectionSettings(Group):
    """Which predictions are looked for."""

    title: ClassVar = "Detections"

    target_labels: Names = Field(("red_circle",), description="Labels or patterns (`blue_*`) that are detections.")
    confidence_threshold: float = Field(0.90, ge=0, le=1, description="A detection has at least this confidence.")


class StoreSettings(Group):
    """What every sink is told."""

    sinks: Names = Field(
        ("mongo", "disk"),
        min_length=1,
        description="Where results go: any of `mongo`, `disk`, `sqlite`, `postgres`, `kafka`, `requests`, or your "
        "`package.module:ClassName`.",
    )
    store: Literal["detections", "all"] = Field("detections", description="What the database sinks take.")
    result_id: Literal["record", "model"] = Field(
        "record",
        description="Key of a result in every sink: `record` = the record's id; `model` = `<id>/<model>`, where "
        "pipelines with other models predict the same records into the same store.",
    )
    store_timings: bool = Field(
        False,
        description="Store with each result how long its batch waited, was decoded and was predicted, and its size.",
    )
    store_text: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Store so many characters of the payload with each result, for models that read text; 0 = none.",
    )
    sink_timeout_s: float = Field(10.0, ge=0.1, le=600, description="A write to a sink that takes longer has failed.")

    @field_validator("sinks")
    @classmethod
    def _sinks_exist(cls, sinks: tuple[str, ...]) -> tuple[str, ...]:
        for name in sinks:
            if not re.fullmatch(rf"{'|'.join(_SINKS)}|[\w.]+:\w+", name):
                msg = f"{name!r} is no sink: {', '.join(_SINKS)}, or a class as package.module:ClassName"
                raise ValueError(msg)
        return sinks


class MongoSettings(StoreSettings):
    """What the sink ``mongo`` gets."""

    mongo_uri: SecretStr = Field(SecretStr("mongodb://mongo:27017/"), description="MongoDB connection string.")
    db_name: str = Field("lab_discovery_db", pattern=r'^[^/\\. "$*<>:|?\x00]{1,63}$', description="MongoDB database.")
    mongo_collection: str = Field(
        "shapes_found", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$", description="MongoDB collection."
    )


class SqliteSettings(StoreSettings):
    """What the sink ``sqlite`` gets."""

    sqlite_path: Path = Field(Path("velox.db"), description="File of the SQLite sink.")


class PostgresSettings(StoreSettings):
    """What the sink ``postgres`` gets."""

    postgres_dsn: SecretStr = Field(
        SecretStr("postgresql://postgres@localhost/my_db"),
        description="PostgreSQL database of the sink `postgres`, `postgresql://USER:PASSWORD@HOST/NAME`.",
    )


class ResultsTopicSettings(StoreSettings):
    """What the sink ``kafka`` gets, besides what every client of Kafka does."""

    results_topic: Topic = Field("auto", description="Topic of the sink `kafka`; `auto` = `<KAFKA_TOPIC>.results`.")


class DiskSettings(StoreSettings):
    """What the sink ``disk`` gets."""

    storage_path: Path = Field(
        Path("./discoveries"),
        description="Folder of the detections' images, or a bucket, `s3://NAME/PREFIX`, asked as `S3_ENDPOINT` and "
        "the credentials say.",
    )
    max_stored_files: int = Field(0, ge=0, description="Images kept in the folder, oldest deleted first; 0 = keep all.")

    @field_validator("storage_path", mode="before")
    @classmethod
    def _is_a_folder_or_a_bucket(cls, place: object) -> object:
        url = as_url(place) if isinstance(place, str | Path) else ""
        if url:
            check_s3(url)
        elif isinstance(place, str) and place.startswith("file:"):
            return unquote(urlsplit(place).path)
        return url or place

    @model_validator(mode="after")
    def _a_bucket_looks_after_its_age(self) -> Self:
        if self.storage_url and self.max_stored_files:
            msg = f"MAX_STORED_FILES={self.max_stored_files} is about a folder, and STORAGE_PATH={self.storage_url} is"
            raise ValueError(f"{msg} a bucket: set it to 0, and let a lifecycle rule of the bucket remove old images")
        return self

    @property
    def storage_url(self) -> str:
        """Answer the URL of the bucket where images go; empty when they go into a folder.

        As a path it has one slash less; so what is appended to the path is in the URL, too.
        """
        return as_url(self.storage_path)

    @property
    def storage_place(self) -> str:
        """Say where images go, for documents and people: a path or a URL, with no ``/`` at the end."""
        return self.storage_url or str(self.storage_path)


def as_url(place: str | Path) -> str:
    """Write a path as the URL of a bucket of S3, if that is what it was; else answer nothing."""
    begin, _, rest = str(place).partition(":/")
    return f"s3://{rest.strip('/')}" if begin == "s3" else ""


class SinkSettings(DiskSettings, ResultsTopicSettings, PostgresSettings, SqliteSettings, MongoSettings):
    """Where results are stored. The last base comes first in the section: pydantic's order of fields."""

    title: ClassVar = "Sinks"
