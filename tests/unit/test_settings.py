"""The settings: defaults that stay, literals as documented, and one clear line for what is wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from confluent_kafka import Consumer
from pydantic import SecretStr, ValidationError

from velox import settings
from velox.core.envelope import Codec
from velox.errors import SettingsError
from velox.kafka.dead_letters import DeadLetters
from velox.kafka.membership import consumer_config
from velox.kafka.publisher import Publisher
from velox.settings import Settings, loading, table

EnvFile = Callable[[str], None]
SECRET = "mongodb://velox:hunter2@db.example:27017/?authSource=admin&tlsCertificateKeyFilePassword=hunter3"  # noqa: S105 - made up

COMPATIBLE = {
    "kafka_bootstrap_server": "localhost:9092",
    "kafka_topic": "image_data",
    "kafka_consumer_group": "gpu_cluster_h100",
    "img_height": 512,
    "img_width": 512,
    "producer_interval": 0.05,
    "colors": {"red": (0, 0, 255), "green": (0, 255, 0)},
    "shapes": ("circle", "square"),
    "max_message_bytes": 10485760,
    "compression_type": "lz4",
    "center": 256,
    "shape_size": 150,
    "batch_size": 8,
    "queue_size": 200,
    "metrics_port": 8000,
    "model_path": Path("model.pth"),
    "classes_path": Path("classes.json"),
    "samples_per_class": 300,
    "epochs": 3,
    "mongo_uri": SecretStr("mongodb://mongo:27017/"),
    "db_name": "lab_discovery_db",
    "mongo_collection": "shapes_found",
    "storage_path": Path("./discoveries"),
    "confidence_threshold": 0.90,
    "max_stored_files": 0,
}
"""What users of the first system of this kind rely on."""


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without `.env` and an environment without settings."""
    known = {name.upper() for name in Settings.model_fields}
    for name in list(os.environ):
        if name.upper() in known or name.upper().startswith(("VELOX_", "COLORS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def env_file(tmp_path: Path) -> EnvFile:
    def write(text: str) -> None:
        (tmp_path / ".env").write_text(text)

    return write


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("field", COMPATIBLE)
def test_the_compatible_defaults_stay(field: str) -> None:
    assert getattr(settings.load(), field) == COMPATIBLE[field]


def test_the_labels_are_color_and_shape_in_order() -> None:
    assert settings.load().labels == ("red_circle", "red_square", "green_circle", "green_square")


def test_settings_cannot_be_changed() -> None:
    loaded = settings.load()
    with pytest.raises(ValidationError, match="frozen"):
        loaded.batch_size = 9  # type: ignore[misc]  # that is what must fail


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SHAPES", '["circle","square","triangle"]', ("circle", "square", "triangle")),
        ("SHAPES", "('circle', 'triangle')", ("circle", "triangle")),
        ("SHAPES", "circle, triangle", ("circle", "triangle")),
        ("SHAPES", "circle", ("circle",)),
        ("TARGET_LABELS", "red_circle,blue_*", ("red_circle", "blue_*")),
        ("SINKS", "sqlite", ("sqlite",)),
        ("SINKS", '["sqlite", "disk"]', ("sqlite", "disk")),
        ("TARGET_LABELS", "3,7", ("3", "7")),
        ("TARGET_LABELS", "3", ("3",)),
        ("TARGET_LABELS", "007, 1.50, 1e3, -1, 0x10, True", ("007", "1.50", "1e3", "-1", "0x10", "True")),
        ("TARGET_LABELS", "[3, 7]", ("3", "7")),
        ("TARGET_LABELS", "(3, 7)", ("3", "7")),
        ("TARGET_LABELS", "[3]", ("3",)),
        ("TARGET_LABELS", "[1.50, -1, 1e3]", ("1.50", "-1", "1e3")),
        ("TARGET_LABELS", '["3", 7, "red_*"]', ("3", "7", "red_*")),
        ("TARGET_LABELS", '["tench, Tinca tinca"]', ("tench, Tinca tinca",)),
        ("TARGET_LABELS", '"red_circle,blue_*"', ("red_circle", "blue_*")),
        ("TARGET_LABELS", '"red_circle", "blue_*"', ("red_circle", "blue_*")),
        ("SHAPES", "8", ("8",)),
        ("SHAPES", "[8, 0]", ("8", "0")),
        ("KAFKA_TOPIC", "2024", "2024"),
        (
            "KAFKA_BOOTSTRAP_SERVER",
            " one:9092 , two.example:9093,[fd00::1]:9094",
            "one:9092,two.example:9093,[fd00::1]:9094",
        ),
        ("BATCH_SIZE", " 16 ", 16),
        ("CONFIDENCE_THRESHOLD", ".5", 0.5),
        ("SOURCE_LOOP", "true", True),
        ("INFERENCE_PROCESSES", "auto", 0),
        ("INFERENCE_PROCESSES", "AUTO", 0),
        ("INFERENCE_PROCESSES", "3", 3),
        ("CODEC", "raw", Codec.RAW),
        ("STORAGE_PATH", "/data/hits", Path("/data/hits")),
    ],
)
def test_values_are_literals_or_plain_text(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(settings.load(), name.lower()) == value


def test_a_literal_means_the_same_in_the_env_file(env_file: EnvFile) -> None:
    env_file('SHAPES=["circle","square","triangle"]\nCOLORS_BLUE=(255, 0, 0)\n')
    loaded = settings.load()
    assert loaded.shapes == ("circle", "square", "triangle")
    assert loaded.colors["blue"] == (255, 0, 0)


def test_a_color_is_added_to_the_default_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_BLUE", "(255, 0, 0)")
    loaded = settings.load()
    assert loaded.colors == {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}
    assert loaded.labels[-2:] == ("blue_circle", "blue_square")


def test_a_default_color_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_RED", "[10, 20, 250]")
    assert settings.load().colors == {"red": (10, 20, 250), "green": (0, 255, 0)}


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_removes_a_color(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("COLORS_GREEN", empty)
    assert settings.load().colors == {"red": (0, 0, 255)}


def test_the_environment_removes_a_color_of_the_env_file(monkeypatch: pytest.MonkeyPatch, env_file: EnvFile) -> None:
    env_file("COLORS_BLUE=(255, 0, 0)\n")
    monkeypatch.setenv("COLORS_BLUE", "")
    assert "blue" not in settings.load().colors


def test_colors_given_in_code_are_not_mixed_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_BLUE", "(255, 0, 0)")
    assert Settings(colors={"red": (1, 2, 3)}).colors == {"red": (1, 2, 3)}


def test_one_color_has_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_RED", "")
    monkeypatch.setenv("COLORS_GREEN", "")
    assert "COLORS" in refusal()


def test_an_empty_value_of_anything_else_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "")
    assert settings.load().batch_size == 8


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, env_file: EnvFile) -> None:
    env_file("BATCH_SIZE=16\nEPOCHS=5\n")
    monkeypatch.setenv("BATCH_SIZE", "32")
    loaded = settings.load()
    assert (loaded.batch_size, loaded.epochs) == (32, 5)


def test_origins_tell_where_a_value_comes_from(monkeypatch: pytest.MonkeyPatch, env_file: EnvFile) -> None:
    env_file("BATCH_SIZE=16\nEPOCHS=5\n")
    monkeypatch.setenv("BATCH_SIZE", "32")
    monkeypatch.setenv("COLORS_BLUE", "(255, 0, 0)")
    told = settings.origins()
    assert {name: place for name, place in told.items() if place != "default"} == {
        "batch_size": "environment",
        "epochs": ".env",
        "colors": "environment",
    }
    assert set(told) == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "many"),
        ("BATCH_SIZE", "1.5"),
        ("CONFIDENCE_THRESHOLD", "1.01"),
        ("CONFIDENCE_THRESHOLD", "nan"),
        ("PRODUCER_INTERVAL", "-1"),
        ("PRODUCER_INTERVAL", "inf"),
        ("KAFKA_TOPIC", "not/a/topic"),
        ("COMPRESSION_TYPE", "rar"),
        ("CODEC", "avro"),
        ("SINKS", "mongo,oracle"),
        ("SHAPES", "[]"),
        ("SHAPES", "[circle, square]"),
        ("SHAPES", "[true, false]"),
        ("SHAPES", "[[1, 2]]"),
        ("SHAPES", '["circle"'),
        ("SHAPES", '{"circle": 1}'),
        ("SHAPES", "circle,square,circle"),
        ("TARGET_LABELS", "[None]"),
        ("SINKS", "3"),
        ("SINKS", "mongo,mongo"),
        ("SINKS", "my.sinks:Parquet,my.sinks:Parquet"),
        ("KAFKA_TOPIC", "."),
        ("KAFKA_TOPIC", ".."),
        ("KAFKA_TOPIC", "a" * 250),
        ("RESULTS_TOPIC", ".."),
        ("DEAD_LETTER_TOPIC", "not/a/topic"),
        ("COLORS_BLUE", "{[]: 1}"),
        ("COLORS_BLUE", "(" * 10_000),
        ("MODEL", "no_class"),
        ("METRICS_PORT", "65536"),
        ("INFERENCE_PROCESSES", "-1"),
        ("COLORS_BLUE", "(256, 0, 0)"),
        ("COLORS_BLUE", "(0, 0)"),
        ("COLORS_BLUE", "blue"),
        ("SOURCE_LOOP", "perhaps"),
        ("LOG_LEVEL", "chatty"),
    ],
)
def test_an_invalid_value_names_the_variable_and_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    assert f"{name}={text}: " in refusal()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ('"kafka:9092"', '"kafka:9092" has quotes'),
        ("'kafka:9092,other:9092'", "'kafka:9092 has quotes"),
        ("http://kafka:9092", "http://kafka:9092 begins with http://"),
        ("PLAINTEXT://kafka:9092", "PLAINTEXT://kafka:9092 begins with PLAINTEXT://"),
        ("kafka", "kafka has no port"),
        ("kafka:9092,other", "other has no port"),
        ("kafka:9092,", "an address is empty"),
        (",kafka:9092", "an address is empty"),
        ("kafka:9092,,other:9092", "an address is empty"),
        (" ", "an address is empty"),
        ("kafka:9092 other:9092", "kafka:9092 other:9092 is no address"),
        ("kafka: 9092", "kafka: 9092 is no address"),
        ("kafka:9092/topic", "kafka:9092/topic is no address"),
        ("::1:9092", "::1:9092 is no address"),
        (":9092", ":9092 is no address"),
        ("kafka:0", "kafka:0: there is no such port"),
        ("kafka:65536", "kafka:65536: there is no such port"),
    ],
)
def test_an_address_that_is_none_is_shown_with_the_way_to_write_it(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVER", address)
    assert refusal().startswith(f"KAFKA_BOOTSTRAP_SERVER={address}: {said}")
    assert refusal().endswith("; write host:port, and a comma between two")


def test_the_topics_of_dead_letters_and_results_are_named_after_that_of_the_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_TOPIC", "images")
    assert settings.load().topics == {
        "KAFKA_TOPIC": "images",
        "DEAD_LETTER_TOPIC": "images.dlq",
        "RESULTS_TOPIC": "images.results",
    }
    monkeypatch.setenv("DEAD_LETTER_TOPIC", "bad")
    monkeypatch.setenv("RESULTS_TOPIC", "good")
    assert list(settings.load().topics.values()) == ["images", "bad", "good"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RESULTS_TOPIC": "image_data"}, "RESULTS_TOPIC=image_data is KAFKA_TOPIC too: results would be read"),
        ({"DEAD_LETTER_TOPIC": "image_data"}, "DEAD_LETTER_TOPIC=image_data is KAFKA_TOPIC too: dead letters would be"),
        ({"RESULTS_TOPIC": "image_data.dlq"}, "RESULTS_TOPIC=image_data.dlq is DEAD_LETTER_TOPIC too: results would"),
        ({"RESULTS_TOPIC": "both", "DEAD_LETTER_TOPIC": "both"}, "RESULTS_TOPIC=both is DEAD_LETTER_TOPIC too"),
        (
            {"DEAD_LETTER_TOPIC": "image_data.results", "SINKS": "kafka"},
            "RESULTS_TOPIC=image_data.results is DEAD_LETTER_TOPIC too",
        ),
    ],
)
def test_topics_that_must_not_be_one_are_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(said)
    assert refusal().endswith("; name another topic")


@pytest.mark.parametrize(
    ("characters", "given", "refused"),
    [
        (245, {}, None),
        (246, {}, ("DEAD_LETTER_TOPIC", ".dlq", 250)),
        (249, {"DEAD_LETTER_TOPIC": "bad"}, None),
        (241, {"SINKS": "kafka"}, None),
        (242, {"SINKS": "kafka"}, ("RESULTS_TOPIC", ".results", 250)),
        (245, {"SINKS": "kafka"}, ("RESULTS_TOPIC", ".results", 253)),
        (245, {"SINKS": "kafka", "RESULTS_TOPIC": "good"}, None),
    ],
)
def test_a_name_that_is_too_long_with_what_is_added_to_it_is_refused(
    monkeypatch: pytest.MonkeyPatch, characters: int, given: dict[str, str], refused: tuple[str, str, int] | None
) -> None:
    topic = "t" * characters
    for name, value in {"KAFKA_TOPIC": topic, **given}.items():
        monkeypatch.setenv(name, value)
    if refused is None:
        assert settings.load().kafka_topic == topic
        return
    setting, suffix, length = refused
    assert refusal() == (
        f"{setting}={topic}{suffix} has {length} characters, and Kafka takes 249; "
        f"shorten KAFKA_TOPIC, or name another topic with {setting}"
    )


def test_an_invalid_value_in_the_env_file_names_the_variable_too(env_file: EnvFile) -> None:
    env_file("BATCH_SIZE=none\n")
    assert refusal().startswith("BATCH_SIZE=none: ")


def test_all_invalid_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "0")
    monkeypatch.setenv("EPOCHS", "0")
    message = refusal()
    assert "BATCH_SIZE=0" in message
    assert "EPOCHS=0" in message


def test_a_colors_name_has_to_fit_into_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORS_DARK_BLUE", "(128, 0, 0)")
    assert "dark_blue" in refusal()


def test_the_bytes_in_flight_have_to_hold_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_BYTES", "2048")
    message = refusal()
    assert "QUEUE_BYTES=2048" in message
    assert "MAX_MESSAGE_BYTES=10485760" in message


@pytest.mark.parametrize(
    ("url", "name", "folder"),
    [
        ("file:///data/photos", "photos", "/data/photos"),
        ("file:///data/my%20photos/", "my photos", "/data/my photos"),
        ("file:data/photos", "photos", "data/photos"),
        ("memory:///", "memory", ""),
        ("s3://imagenet-files", "imagenet-files", ""),
        ("s3://imagenet-files/val/2012/", "imagenet-files", ""),
        ("", "", ""),
    ],
)
def test_a_bucket_is_a_folder_memory_or_of_s3(
    monkeypatch: pytest.MonkeyPatch, url: str, name: str, folder: str
) -> None:
    monkeypatch.setenv("BUCKET_URL", url)
    loaded = settings.load()
    assert (loaded.bucket_name, loaded.bucket_folder) == (name, folder and str(Path(folder).absolute()))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://", "write s3://name"),
        ("s3://Photos", "write s3://name"),
        ("s3://key:secret@photos", "write s3://name"),
        ("s3://photos/a/../b", "write s3://name"),
        ("s3://photos?region=x", "write s3://name"),
        ("/data/photos", "file:///folder"),
        ("file://data/photos", "file:///folder"),
        ("file:///", "file:///folder"),
        ("file:///a?b", "file:///folder"),
        ("memory:///a", "memory:///"),
        ("ftp://a/b", "is no bucket"),
    ],
)
def test_what_is_no_bucket_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch, url: str, told: str) -> None:
    monkeypatch.setenv("BUCKET_URL", url)
    message = refusal()
    assert message.startswith(f"BUCKET_URL={url}: ")
    assert told in message


def test_keys_need_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEC", "key")
    assert refusal() == "CODEC=key: where are the objects? Set BUCKET_URL, as in file:///data/photos"
    monkeypatch.setenv("BUCKET_URL", "file:///data/photos")
    assert settings.load().codec is Codec.KEY


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, "where to? Set BUCKET_URL, as in file:///data/photos"),
        ({"BUCKET_URL": "s3://photos", "CODEC": "raw"}, "only with CODEC=framed can a record say where its payload is"),
        ({"BUCKET_URL": "s3://photos", "MAX_MESSAGE_BYTES": "2000"}, "larger ones do not fit into a record"),
        (
            {"BUCKET_URL": "s3://photos/a", "BUCKETS_ALLOWED": "photos/a/red"},
            "consumers may not read them; add photos/a/claims to BUCKETS_ALLOWED",
        ),
    ],
)
def test_large_payloads_can_only_go_where_consumers_find_them(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], why: str
) -> None:
    for name, value in {"CLAIM_OVER_BYTES": "3000", **told}.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(f"CLAIM_OVER_BYTES=3000: {why}")


def test_large_payloads_are_in_a_part_of_the_bucket_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIM_OVER_BYTES", "3000")
    monkeypatch.setenv("BUCKET_URL", "s3://photos/a/")
    assert settings.load().claims_prefix == "a/claims"
    assert settings.load().payload_limit[0] == "MAX_OBJECT_BYTES"
    monkeypatch.setenv("BUCKET_URL", "s3://photos")
    assert settings.load().claims_prefix == "claims"


@pytest.mark.parametrize(
    ("allowed", "is_right"),
    [("photos", True), ("photos/red,photos/green/", True), ("red", False), ("photos/../x", False), ("other/a", False)],
)
def test_only_places_in_the_bucket_can_be_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: str, is_right: bool
) -> None:
    monkeypatch.setenv("BUCKET_URL", "file:///data/photos")
    monkeypatch.setenv("BUCKETS_ALLOWED", allowed)
    if is_right:
        assert settings.load().buckets_allowed == tuple(allowed.split(","))
    else:
        assert f"BUCKETS_ALLOWED={allowed} is not in BUCKET_URL=file:///data/photos" in refusal()


@pytest.mark.parametrize(
    ("url", "allowed", "places"),
    [
        ("s3://photos", "", ()),
        ("s3://photos/red", "", ("photos/red",)),
        ("s3://photos/red", "photos/green", ("photos/green",)),
        ("file:///data/photos", "", ()),
    ],
)
def test_a_part_of_a_bucket_is_all_that_may_be_read_unless_more_is_allowed(
    monkeypatch: pytest.MonkeyPatch, url: str, allowed: str, places: tuple[str, ...]
) -> None:
    monkeypatch.setenv("BUCKET_URL", url)
    monkeypatch.setenv("BUCKETS_ALLOWED", allowed)
    assert settings.load().places_allowed == places


def test_the_bytes_in_flight_have_to_hold_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_BYTES", "11000000")
    assert settings.load().queue_bytes == 11_000_000, "without a bucket there are no objects"
    monkeypatch.setenv("BUCKET_URL", "file:///data/photos")
    assert refusal() == "QUEUE_BYTES=11000000 holds no object of MAX_OBJECT_BYTES=20971520"


@pytest.mark.parametrize(
    ("name", "hint"), [("VELOX_BATCHSIZE", "BATCH_SIZE"), ("VELOX_KAFKA_TOPIC", "KAFKA_TOPIC"), ("VELOX_X", "velox")]
)
def test_an_unknown_name_with_our_prefix_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.setenv(name, "1")
    message = refusal()
    assert message.startswith(f"{name}: unknown setting")
    assert hint in message


def test_an_unknown_name_in_the_env_file_stops_the_start(env_file: EnvFile) -> None:
    env_file("BATCH_SIZ=1\n")
    assert refusal() == "BATCH_SIZ: unknown setting; did you mean BATCH_SIZE?"


def test_names_of_other_programs_may_stand_in_the_environment_and_composes_own_in_the_env_file(
    monkeypatch: pytest.MonkeyPatch, env_file: EnvFile
) -> None:
    monkeypatch.setenv("BATCH_SIZ", "1")
    env_file("COMPOSE_PROFILES=a\nDOCKER_UID=1000\nGF_SECURITY_ADMIN_PASSWORD=x\n")
    assert settings.load().batch_size == 8


def test_the_password_of_mongodb_is_never_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MONGO_URI", SECRET)
    loaded = settings.load()
    table.show()
    shown = capsys.readouterr().out
    for text in (repr(loaded), str(loaded), str(loaded.model_dump()), loaded.model_dump_json(), shown):
        assert "hunter" not in text
    assert "mongodb://velox:*****@db.example:27017/" in shown


def test_the_password_is_not_printed_beside_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", SECRET)
    monkeypatch.setenv("QUEUE_BYTES", "2048")
    assert "hunter" not in refusal()
    monkeypatch.setenv("BATCH_SIZE", "0")
    assert "hunter" not in refusal()


def test_the_password_would_not_be_printed_were_it_the_invalid_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URI", SECRET)
    message = loading._describe({"loc": ("mongo_uri",), "msg": "is no URI", "input": SECRET})
    assert message == "MONGO_URI: is no URI"


def test_a_sink_is_a_known_name_or_a_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINKS", "sqlite,my.sinks:Parquet")
    assert settings.load().sinks == ("sqlite", "my.sinks:Parquet")
    monkeypatch.setenv("SINKS", "disc")
    with pytest.raises(SettingsError, match=r"SINKS=disc: 'disc' is no sink: mongo, disk, sqlite"):
        settings.load()


def test_an_empty_variable_is_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "")
    assert settings.origins()["batch_size"] == "default"
    monkeypatch.setenv("COLORS_GREEN", "")
    assert settings.origins()["colors"] == "environment"


def test_the_poll_loop_may_stand_still_no_less_than_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_POLL_INTERVAL_MS", "8000")
    monkeypatch.setenv("SESSION_TIMEOUT_MS", "9000")
    assert refusal() == "MAX_POLL_INTERVAL_MS=8000 is less than SESSION_TIMEOUT_MS=9000"


@pytest.mark.parametrize(("told", "shortest"), [({}, 6000), ({"VELOX_TESTING": "1"}, 1000)], ids=["user", "test"])
def test_only_tests_of_velox_may_have_shorter_sessions_than_users(
    told: dict[str, str], shortest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VELOX_TESTING", raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    for taken in (shortest, 6000, 300_000):
        monkeypatch.setenv("SESSION_TIMEOUT_MS", str(taken))
        assert settings.load().session_timeout_ms == taken
    for refused in (shortest - 1, 300_001):
        monkeypatch.setenv("SESSION_TIMEOUT_MS", str(refused))
        assert refusal().startswith(f"SESSION_TIMEOUT_MS={refused}: Input should be ")


@pytest.mark.parametrize("protocol", ["cooperative-sticky", "range", "consumer"])
@pytest.mark.parametrize("name", ["none", "consumer-0"])
def test_every_way_to_be_a_member_is_one_that_the_driver_takes(
    protocol: Literal["cooperative-sticky", "range", "consumer"], name: str
) -> None:
    config = consumer_config(
        Settings(kafka_bootstrap_server="127.0.0.1:9", group_protocol=protocol, group_instance_id=name),
        on_commit=print,
        on_error=print,
    )
    assert config.get("group.instance.id") == (None if name == "none" else name)
    Consumer(config).close()


@pytest.mark.parametrize("max_message_bytes", [1024, 100_000_000])
@pytest.mark.parametrize("sink_timeout_s", [0.1, 600])
@pytest.mark.parametrize("session_timeout_ms", [6000, 300_000])
def test_every_client_can_be_built_at_the_bounds(
    max_message_bytes: int, sink_timeout_s: float, session_timeout_ms: int
) -> None:
    extreme = Settings(
        kafka_bootstrap_server="127.0.0.1:9",
        max_message_bytes=max_message_bytes,
        sink_timeout_s=sink_timeout_s,
        session_timeout_ms=session_timeout_ms,
    )
    DeadLetters(extreme).close()
    Publisher(extreme, ["image_data"])
    assert consumer_config(extreme, on_commit=print, on_error=print)["session.timeout.ms"] == session_timeout_ms
    Consumer(consumer_config(extreme, on_commit=print, on_error=print)).close()


@pytest.mark.parametrize("sinks", [("disk",), ("sqlite", "disk")])
def test_texts_and_the_sink_for_images_do_not_go_together(sinks: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="leave disk out, or set JSON_PAYLOAD=base64"):
        Settings.model_validate({"codec": "json", "sinks": sinks})
    assert Settings.model_validate({"codec": "json", "sinks": sinks, "json_payload": "base64"}).sinks == sinks
    assert Settings.model_validate({"codec": "raw", "sinks": sinks}).sinks == sinks


@pytest.mark.parametrize(
    ("text", "written", "names"),
    [
        ("a, b", "a,b", ("a", "b")),
        ('["a", "b"]', "a,b", ("a", "b")),
        ("camera_{1..3}", "camera_{1..3}", ("camera_1", "camera_2", "camera_3")),
        (r"^camera_\d+$", r"^camera_\d+$", ()),
    ],
)
def test_the_topic_may_be_several_or_a_pattern(
    monkeypatch: pytest.MonkeyPatch, text: str, written: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setenv("KAFKA_TOPIC", text)
    monkeypatch.setenv("DEAD_LETTER_TOPIC", "bad")
    loaded = settings.load()
    assert (loaded.kafka_topic, loaded.subscription.names) == (written, names)
    assert loaded.topics == {"KAFKA_TOPIC": written, "DEAD_LETTER_TOPIC": "bad"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "KAFKA_TOPIC=a,b is several topics: name the topic of their dead letters with DEAD_LETTER_TOPIC"),
        (
            {"KAFKA_TOPIC": "^a"},
            "KAFKA_TOPIC=^a is a pattern: name the topic of their dead letters with DEAD_LETTER_TOPIC",
        ),
        (
            {"DEAD_LETTER_TOPIC": "bad", "SINKS": "kafka"},
            "KAFKA_TOPIC=a,b is several topics: name the topic of their results with RESULTS_TOPIC",
        ),
        (
            {"DEAD_LETTER_TOPIC": "b"},
            "DEAD_LETTER_TOPIC=b is among KAFKA_TOPIC=a,b too: dead letters would be read as records for ever; name",
        ),
        (
            {"KAFKA_TOPIC": "^b", "DEAD_LETTER_TOPIC": "bad"},
            "DEAD_LETTER_TOPIC=bad is among KAFKA_TOPIC=^b too: dead letters would be read as records for ever; "
            "name another topic, or narrow the pattern",
        ),
        (
            {"KAFKA_TOPIC": "^g", "DEAD_LETTER_TOPIC": "bad", "RESULTS_TOPIC": "good"},
            "RESULTS_TOPIC=good is among KAFKA_TOPIC=^g too: results would be read as records for ever",
        ),
        ({"DEAD_LETTER_TOPIC": "bad", "RESULTS_TOPIC": "bad"}, "RESULTS_TOPIC=bad is DEAD_LETTER_TOPIC too"),
        ({"KAFKA_TOPIC": "^a("}, "KAFKA_TOPIC=^a(: is no pattern: "),
        ({"KAFKA_TOPIC": "a,a"}, "KAFKA_TOPIC=a,a: names a twice"),
    ],
)
def test_the_other_topics_of_several_have_names_that_are_not_among_them(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in {"KAFKA_TOPIC": "a,b", **given}.items():
        monkeypatch.setenv(name, value)
    assert refusal().startswith(said)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"delivery": "exactly_once", "sinks": ("kafka",)}, "DELIVERY=exactly_once is about one result a record"),
        ({"sinks": ("sqlite", "requests")}, "SINKS=sqlite,requests: requests has one answer each"),
        ({"sinks": ("disk",), "codec": "key", "bucket_url": "file:frames"}, "the consumer never has the images"),
        ({"model_versions": ("v2=model/v2.pth",), "sinks": ("sqlite",)}, "each is a deployment of config.yaml"),
    ],
)
def test_what_takes_one_result_a_record_is_refused_where_there_are_several(given: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ValidationError, match=refusal):
        Settings(predictor="serve", **given)
    assert Settings(**given).predictor == "local"


@pytest.mark.parametrize(
    ("given", "place", "folder"),
    [
        ("./discoveries", "discoveries", "discoveries"),
        ("file:///data/hits", "/data/hits", "/data/hits"),
        ("s3://hits", "s3://hits", "s3:/hits"),
        ("s3://hits/a/b/", "s3://hits/a/b", "s3:/hits/a/b"),
        ("s3:/hits/a", "s3://hits/a", "s3:/hits/a"),
    ],
)
def test_images_go_into_a_folder_or_a_bucket(
    monkeypatch: pytest.MonkeyPatch, given: str, place: str, folder: str
) -> None:
    """The last is what a process that Velox starts is told: a path has one slash less."""
    monkeypatch.setenv("STORAGE_PATH", given)
    loaded = settings.load()
    assert (loaded.storage_place, loaded.storage_path) == (place, Path(folder))
    assert loaded.storage_url == (place if given.startswith("s3") else "")
    below = loaded.model_copy(update={"storage_path": loaded.storage_path / "verify-1"})
    assert below.storage_place == f"{place}/verify-1"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"STORAGE_PATH": "s3://x/../y"}, "is no bucket: write s3://name, or s3://name/prefix"),
        (
            {"STORAGE_PATH": "s3://hits", "MAX_STORED_FILES": "5"},
            "let a lifecycle rule of the bucket remove old images",
        ),
    ],
)
def test_a_bucket_for_images_is_one_and_looks_after_its_age(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], why: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert why in refusal()
