"""Settings by the names of two other systems: what the API's commands make of them; others do not know them."""

import logging
import os
import re
from pathlib import Path
from typing import get_args

import pytest

from velox import settings
from velox.commands import renamed
from velox.errors import SettingsError
from velox.settings import Settings
from velox.settings.old_names import MODEL_NAME, NAMES, OURS, TEXT_CLASSIFIER, WITHOUT_EFFECT, Command, adopt

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
ALL = {*OURS, *(name for names in WITHOUT_EFFECT.values() for name in names), MODEL_NAME}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment and a folder without settings; what the code sets there is undone."""
    monkeypatch.chdir(tmp_path)
    known = {*ALL, *(name.upper() for name in Settings.model_fields), "VELOX_ENV_FILE"}
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in known})


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What is logged; the handlers of pytest stay."""
    monkeypatch.setattr("velox.logs.configure", lambda **_options: None)
    caplog.set_level(logging.INFO)
    return caplog


def give(**variables: str) -> None:
    os.environ.update(variables)


def test_every_old_name_stands_for_a_setting_and_every_command_says_what_it_takes() -> None:
    assert {ours.lower() for ours in OURS.values()} <= set(Settings.model_fields)
    assert set(NAMES) == set(WITHOUT_EFFECT) == set(get_args(Command))
    assert {name for name in ALL if name.lower() in Settings.model_fields} == set()


def test_the_page_lists_every_old_name() -> None:
    listed = set(re.findall(r"`([A-Z_]+)`", PAGE.read_text().partition("### Settings by their old names")[2]))
    assert ALL - listed == set()


def test_a_gateway_takes_the_names_of_the_sentiment_service_and_says_so_once(log: pytest.LogCaptureFixture) -> None:
    give(GW_HOST="127.0.0.2", GW_PORT="9000", GW_LOG_LEVEL="DEBUG", GW_SERVICE_NAME="gw", MLW_LOG_LEVEL="ERROR")
    give(GW_KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    loaded = renamed.load("gateway")
    assert (loaded.gateway_host, loaded.gateway_port) == ("127.0.0.2", 9000)
    assert (loaded.log_level, loaded.pipeline) == ("DEBUG", "gw")
    assert loaded.kafka_bootstrap_server == "kafka:9092"
    assert "GW_PORT is called GATEWAY_PORT here" in log.messages
    assert len(log.messages) == 5
    assert renamed.load("gateway") == loaded
    assert len(log.messages) == 5, "once"


def test_a_worker_takes_those_of_both_systems_and_those_it_starts_find_ours() -> None:
    give(MLW_MODEL_DEVICE="cpu", MLW_MODEL_BATCH_SIZE="4", MLW_METRICS_PORT="8001", NUM_WORKERS="2")
    give(KAFKA_BOOTSTRAP_SERVERS="kafka:9092", MLW_KAFKA_CONSUMER_GROUP="workers")
    loaded = renamed.load("consume --models")
    assert (loaded.device, loaded.batch_size, loaded.metrics_port) == ("cpu", 4, 8001)
    assert (loaded.inference_processes, loaded.kafka_consumer_group) == (2, "workers")
    assert os.environ["KAFKA_BOOTSTRAP_SERVER"] == "kafka:9092"
    assert {name for name in os.environ if name in ALL} == set()


def test_a_consumer_by_itself_knows_only_names_that_no_other_program_has(log: pytest.LogCaptureFixture) -> None:
    give(NUM_WORKERS="7", KAFKA_BOOTSTRAP_SERVERS="kafka:1", KAFKA_REQUEST_TOPIC="a", MLW_MODEL_BATCH_SIZE="4")
    loaded = renamed.load("consume")
    assert (loaded.inference_processes, loaded.kafka_bootstrap_server) == (0, "localhost:9092")
    assert log.messages == ["MLW_MODEL_BATCH_SIZE is called BATCH_SIZE here"]
    assert loaded.batch_size == 4


def test_a_command_of_another_kind_knows_none_of_them(log: pytest.LogCaptureFixture) -> None:
    give(GW_PORT="9000", MLW_MODEL_BATCH_SIZE="4")
    loaded = settings.load()
    assert (loaded.gateway_port, loaded.batch_size, log.messages) == (8000, 8, [])


def test_our_name_wins_in_the_environment_and_not_in_a_file(log: pytest.LogCaptureFixture) -> None:
    Path(".env").write_text("GATEWAY_PORT=7000\nLOG_LEVEL=ERROR\n")
    give(GW_PORT="9000", GW_LOG_LEVEL="INFO", LOG_LEVEL="WARNING", gw_host="127.0.0.3")
    loaded = renamed.load("gateway")
    assert (loaded.gateway_port, loaded.log_level, loaded.gateway_host) == (9000, "WARNING", "127.0.0.3")
    (ignored,) = (record for record in log.records if record.levelno == logging.WARNING)
    assert ignored.getMessage() == "GW_LOG_LEVEL is ignored: LOG_LEVEL is set, too"


def test_an_empty_old_name_counts_as_not_given(log: pytest.LogCaptureFixture) -> None:
    give(GW_PORT="", GW_VERSION="")
    assert (renamed.load("gateway").gateway_port, log.messages) == (8000, [])


@pytest.mark.parametrize("command", get_args(Command))
def test_what_means_nothing_here_is_accepted_and_said(command: Command) -> None:
    give(**dict.fromkeys(WITHOUT_EFFECT[command], "1"))
    before = settings.load()
    assert [each.text.split(" has no effect: ")[0] for each in adopt(command)] == [*WITHOUT_EFFECT[command]]
    assert settings.load() == before
    assert adopt(command) == []


def test_a_value_that_is_wrong_is_told_by_the_name_that_is_documented() -> None:
    give(GW_PORT="none")
    with pytest.raises(SettingsError, match="GATEWAY_PORT=none: "):
        renamed.load("gateway")


def test_an_old_name_in_a_file_is_refused_with_the_one_to_write() -> None:
    Path(".env").write_text("GW_PORT=9000\n")
    with pytest.raises(SettingsError, match="GW_PORT: is called GATEWAY_PORT here; write that"):
        renamed.load("gateway")


TEXTS = {"CODEC": "json", "SINKS": "requests"}


def test_the_model_that_is_named_is_that_of_the_process_for_texts() -> None:
    give(**{MODEL_NAME: "org/some-model"})
    images = renamed.load("consume")
    assert (images.model, str(images.model_path)) == (Settings().model, "model.pth")
    assert renamed.load("consume --models") == images, "which leaves it to those it starts"
    give(**TEXTS)
    texts = renamed.load("consume")
    assert (texts.model, str(texts.model_path)) == (TEXT_CLASSIFIER, "org/some-model")


def test_a_model_that_is_named_in_both_ways_is_ours(log: pytest.LogCaptureFixture) -> None:
    give(**{MODEL_NAME: "org/some-model", "MODEL_PATH": "mine"}, **TEXTS)
    assert str(renamed.load("consume").model_path) == "mine"
    assert log.messages == ["MLW_MODEL_NAME is ignored: MODEL_PATH is set, too"]


@pytest.mark.parametrize("command", ["gateway", "consume --models"])
def test_a_folder_of_models_is_where_models_toml_is(command: Command, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    give(MODEL_PATH="models")
    assert str(renamed.load(command).model_path) == "models", "the folder of one model, as without the API"
    (tmp_path / "models/models.toml").touch()
    loaded = renamed.load(command)
    assert (str(loaded.models_path), str(loaded.model_path)) == ("models/models.toml", "model.pth")
    assert "MODEL_PATH" not in os.environ


def test_a_value_that_is_written_in_another_way_is_put_into_ours() -> None:
    os.environ["GW_MAX_REQUESTS_PER_MINUTE"] = "60"
    adopt("gateway")
    assert settings.load().rate_limit == "60/minute"
