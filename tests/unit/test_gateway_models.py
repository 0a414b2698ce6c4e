"""The gateway's models: those of models.toml, as they are now."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.gateways import Running
from velox.core.envelope import Codec
from velox.errors import SettingsError
from velox.gateway.models import Models, ServedModel, described, served, topics
from velox.model_reports import ModelReport, Reporter, State
from velox.settings import Settings
from velox.settings.models import read_models

ROOT = Path(__file__).parents[2]
TEXTS = "CODEC=json\nJSON_ID_FIELD=request_id\nKAFKA_TOPIC={}\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.env").write_text(TEXTS.format("words") + "SINKS=sqlite\n")
    (tmp_path / "models.toml").write_text('[words]\nenv_file = "words.env"\n[other]\nsame_as = "words"\n')
    return tmp_path / "models.toml"


def test_the_repositorys_models_are_those_that_a_gateway_without_a_file_serves() -> None:
    told = {name: described(name, entry.load()) for name, entry in read_models(ROOT / "models.toml").items()}
    assert told == served()


def test_models_are_read_from_the_file(path: Path) -> None:
    with (path.parent / "words.env").open("a") as file:
        file.write("KAFKA_PARTITIONS=4\n")
    models = Models(path)
    assert dict(models) == {
        name: ServedModel(name=name, topic="words", kind="text", codec=Codec.JSON, partitions=4)
        for name in ("words", "other")
    }
    assert topics(models) == ["words"]


def test_without_a_file_the_two_public_apis_are_served(tmp_path: Path) -> None:
    models = Models(tmp_path / "models.toml")
    models.refresh()
    assert dict(models) == served()


def test_what_comes_and_goes_is_followed(path: Path) -> None:
    models = Models(path)
    (path.parent / "pictures.env").write_text("KAFKA_TOPIC=pictures\n")
    path.write_text('[pictures]\nenv_file = "pictures.env"\n')
    models.refresh()
    assert [(each.name, each.kind, each.codec) for each in models.values()] == [("pictures", "image", Codec.FRAMED)]
    (path.parent / "pictures.env").write_text("KAFKA_TOPIC=photographs\n")
    models.refresh()
    assert topics(models) == ["photographs"]


def test_a_mistake_leaves_what_was_known_and_costs_only_its_model(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    models = Models(path)
    (path.parent / "words.env").write_text("KAFKA_TOPICK=words\n")
    path.write_text(path.read_text() + '[new]\nenv_file = "new.env"\n')
    models.refresh()
    models.refresh()
    assert list(models) == ["words", "other"]
    assert "words.env: KAFKA_TOPICK: unknown setting; did you mean KAFKA_TOPIC?" in caplog.text
    assert sum("new.env cannot be read" in record.getMessage() for record in caplog.records) == 1
    path.write_text("[")
    models.refresh()
    assert list(models) == ["words", "other"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"codec": "raw"}, "the API writes texts with CODEC=json"),
        ({"codec": "json", "json_field": "said", "json_id_field": "request_id"}, "JSON_FIELD=text"),
        ({"codec": "json"}, "JSON_ID_FIELD=request_id"),
        ({"kafka_topic": "a,b", "dead_letter_topic": "c"}, "one topic a model"),
        ({"kafka_topic": "^a", "dead_letter_topic": "c"}, "one topic a model"),
    ],
)
def test_what_the_gateway_cannot_write_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        described("words", Settings(sinks=("sqlite",), **settings))


def test_how_a_model_is_comes_from_whoever_runs_it(path: Path) -> None:
    Reporter(path, 8000).write([ModelReport("words", "failing", "no weights", 0, 1000.0)])
    models = Models(path)
    assert {(each.state, each.cause, each.is_failing) for each in models.values()} == {("failing", "no weights", True)}
    Reporter(path, 9000).write([ModelReport("words", "ready", "", 8001, 1000.0)])
    models.refresh()
    assert {(each.state, each.cause, each.is_failing) for each in models.values()} == {("ready", "", False)}


@pytest.mark.parametrize(("state", "status"), [("failing", 503), ("unready", 202), ("starting", 202), (None, 202)])
def test_a_model_that_cannot_be_loaded_takes_no_requests(state: State | None, status: int) -> None:
    running = Running()
    models = cast("dict[str, ServedModel]", running.gateway.models)
    models["sentiment"] = replace(models["sentiment"], state=state, cause="no weights")
    answer = running.post("/predict", json={"text": "I love it!"})
    assert answer.status_code == status
    told = next(each for each in running.get("/v1/models").json()["models"] if each["name"] == "sentiment")
    assert (told["state"], told["cause"]) == (state, "no weights")
    if status == 503:
        assert answer.headers["Retry-After"] == "10"
        assert answer.json() == {
            "detail": "sentiment cannot be loaded at present, and /v1/models says why; nothing was accepted"
        }
        assert running.asker.asked == []


@pytest.mark.parametrize(("version", "status"), [("v2", 202), ("main", 202), (None, 202), ("v9", 422)])
def test_only_a_version_that_answers_may_be_asked_for(version: str | None, status: int) -> None:
    running = Running()
    models = cast("dict[str, ServedModel]", running.gateway.models)
    models["sentiment"] = replace(models["sentiment"], versions=("main", "v2"))
    answer = running.post("/v1/requests", json={"model": "sentiment", "text": "I love it!", "version": version})
    assert answer.status_code == status, answer.text
    if status == 422:
        assert "sentiment has no version v9; there are main, v2" in answer.text
        assert running.asker.asked == []


def test_the_versions_of_the_file_are_those_that_may_be_asked_for(path: Path) -> None:
    with path.open("a") as file:
        file.write('[words.versions]\nv2 = {path = "model/v2"}\n')
    assert Models(path)["words"].versions == ("main", "v2")
    assert Models(path)["other"].versions == ("main", "v2")
