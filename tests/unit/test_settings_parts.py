"""A reader gets the settings it needs; an inference process, no secret."""

import json
import pickle
from typing import Any

import pytest
from pydantic import SecretStr

from velox.settings import (
    ClientSettings,
    FetcherSettings,
    InferenceSettings,
    LetterSettings,
    ObjectSettings,
    ProductionSettings,
    Settings,
    SourceSettings,
    WriterSettings,
)
from velox.settings.buckets import BucketSettings
from velox.settings.group import Group
from velox.settings.readers import DeliverySettings
from velox.settings.secrets import secret_fields
from velox.settings.sinks import DiskSettings, MongoSettings, ResultsTopicSettings, SqliteSettings

SECRET = "hunter2"  # noqa: S105 - made up


def test_what_inference_processes_get_holds_no_secret_and_no_address() -> None:
    secrets: dict[str, Any] = {name: SecretStr(SECRET) for name in secret_fields(Settings)}
    whole = Settings(kafka_bootstrap_server="broker.example:9092").model_copy(update=secrets)
    part = whole.part(InferenceSettings)
    assert not secret_fields(InferenceSettings)
    assert SECRET.encode() not in pickle.dumps(part)
    assert b"broker.example" not in pickle.dumps(part)


def test_what_inference_processes_get_says_nothing_of_buckets() -> None:
    part = Settings(codec="key", bucket_url="file:///data/photos").part(InferenceSettings)
    assert set(BucketSettings.model_fields).isdisjoint(InferenceSettings.model_fields)
    assert b"photos" not in pickle.dumps(part)


def test_what_connects_to_nothing_is_told_no_secret() -> None:
    assert not secret_fields(WriterSettings)


@pytest.mark.parametrize("reader", [ClientSettings, FetcherSettings, LetterSettings])
def test_what_connects_to_kafka_is_told_none_but_those_of_kafka(reader: type[Group]) -> None:
    assert secret_fields(reader) == {"kafka_sasl_password", "kafka_ssl_key_password"}


def test_what_reads_objects_is_told_none_but_those_of_s3() -> None:
    assert secret_fields(ObjectSettings) == {"aws_secret_access_key", "aws_session_token"}


def test_a_source_is_told_none_but_those_of_the_table_of_keys_and_of_s3_and_a_producer_those_of_kafka_too() -> None:
    of_source = {"keys_url", "aws_secret_access_key", "aws_session_token"}
    assert secret_fields(SourceSettings) == of_source
    assert secret_fields(ProductionSettings) == of_source | {"kafka_sasl_password", "kafka_ssl_key_password"}


def test_a_webhook_worker_is_told_of_no_secret_but_its_own_and_the_databases() -> None:
    assert secret_fields(DeliverySettings) == {"requests_url", "webhook_proxy", "webhook_secret"}


@pytest.mark.parametrize(
    ("sink", "secrets"),
    [(MongoSettings, {"mongo_uri"}), (SqliteSettings, set()), (DiskSettings, set()), (ResultsTopicSettings, set())],
)
def test_a_sink_is_told_its_own_secrets_alone(sink: type[Group], secrets: set[str]) -> None:
    assert secret_fields(sink) == secrets


@pytest.mark.parametrize("reader", [InferenceSettings, FetcherSettings, ProductionSettings, WriterSettings])
def test_a_part_can_be_made_and_written_out_though_it_validates_nothing(reader: type[Group]) -> None:
    part = Settings(batch_size=3).part(reader)
    assert set(json.loads(part.model_dump_json())) == set(reader.model_fields)


def test_a_part_has_the_values_of_the_whole_and_what_follows_from_them() -> None:
    whole = Settings(batch_size=3, colors={"blue": (255, 0, 0)}, shapes=("square",))
    part = pickle.loads(pickle.dumps(whole.part(InferenceSettings)))  # noqa: S301 - as it comes to a process of ours
    assert part.batch_size == 3
    assert part.labels == ("blue_square",)
    assert part.is_model_ours
