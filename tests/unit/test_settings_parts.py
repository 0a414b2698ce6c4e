"""A reader gets the settings it needs; an inference process, no secret."""

import pickle
from typing import Any

from pydantic import SecretStr

from velox.settings import InferenceSettings, Settings
from velox.settings.buckets import BucketSettings
from velox.settings.secrets import secret_fields

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


def test_a_part_has_the_values_of_the_whole_and_what_follows_from_them() -> None:
    whole = Settings(batch_size=3, colors={"blue": (255, 0, 0)}, shapes=("square",))
    part = pickle.loads(pickle.dumps(whole.part(InferenceSettings)))  # noqa: S301 - as it comes to a process of ours
    assert part.batch_size == 3
    assert part.labels == ("blue_square",)
    assert part.is_model_ours
