"""``models.toml``: what it may say, and how its pipeline files are read."""

from pathlib import Path

import pytest

from velox import settings
from velox.errors import SettingsError
from velox.settings.models import parse_models, read_models

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_repositorys_own_models_have_topics_of_their_own_and_write_to_the_store() -> None:
    entries = read_models(ROOT / "models.toml")
    assert list(entries) == ["sentiment", "text_processing", "image_classification"]
    told = {name: entry.load() for name, entry in entries.items()}
    assert told["sentiment"].kafka_topic == "ml.prediction.requests"
    assert told["sentiment"].json_id_field == "request_id"
    assert told["image_classification"].kafka_topic == "image_classification.requests"
    for name, entry in entries.items():
        assert told[name].sinks == ("requests",)
        assert told[name].target_labels == ()
        assert told[name].pipeline == (entry.same_as or name)


def test_pipeline_files_are_named_from_the_files_folder(tmp_path: Path) -> None:
    entries = parse_models('[a]\nenv_file = "pipelines/a.env"\n[b]\nsame_as = "a"\n', tmp_path / "models.toml")
    assert entries["a"].env_file == entries["b"].env_file == tmp_path / "pipelines" / "a.env"
    assert (entries["a"].same_as, entries["b"].same_as) == (None, "a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "no TOML"),
        ("a = 1", r"\[a\]: write env_file"),
        ("[a]", r"\[a\]: write env_file"),
        ('[a]\nenv_file = "a.env"\nsame_as = "b"', "write env_file"),
        ("[a]\nenv_file = 7", "env_file = 7 is no text"),
        ('[a]\nenv_file = ""', "is no text"),
        ('[a]\ntopic = "t"', "topic is unknown; there are env_file and same_as"),
        ('["a b"]\nenv_file = "a.env"', "no name for a model"),
        ('[all]\nenv_file = "a.env"', "no name for a model"),
        ('[a]\nsame_as = "b"', "same_as = 'b' is no model"),
        ('[a]\nsame_as = "b"\n[b]\nsame_as = "a"', "is no model with an env_file"),
    ],
)
def test_what_it_may_not_say_is_one_line_that_names_it(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_models(text, Path("models.toml"))


def test_a_file_that_is_not_there_says_how_to_write_one() -> None:
    with pytest.raises(SettingsError, match=r"MODELS_PATH=models\.toml: No such file.*velox model load"):
        read_models(Path("models.toml"))


def test_a_models_settings_lie_over_the_shared_ones_and_under_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("BATCH_SIZE=2\nQUEUE_SIZE=50\n")
    (tmp_path / "a.env").write_text("BATCH_SIZE=3\nEPOCHS=7\n")
    monkeypatch.setenv("EPOCHS", "8")
    told = parse_models('[a]\nenv_file = "a.env"', tmp_path / "models.toml")["a"].load()
    assert (told.batch_size, told.queue_size, told.epochs) == (3, 50, 8)
    assert settings.load().batch_size == 2, "only for the moment"


def test_a_mistake_in_a_pipeline_file_names_the_model(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("BATCH_SISE=3\n")
    entry = parse_models('[a]\nenv_file = "a.env"', tmp_path / "models.toml")["a"]
    with pytest.raises(SettingsError, match=r"model a: .*BATCH_SISE: unknown setting; did you mean BATCH_SIZE"):
        entry.load()


def test_what_a_pipeline_file_says_changes_the_fingerprint_and_a_comment_does_not(tmp_path: Path) -> None:
    entry = parse_models('[a]\nenv_file = "a.env"', tmp_path / "models.toml")["a"]
    prints = []
    for content in ("BATCH_SIZE=3\n", "# three\nBATCH_SIZE=3\n", "BATCH_SIZE=4\n"):
        (tmp_path / "a.env").write_text(content)
        prints.append(entry.fingerprint)
    assert prints[0] == prints[1] != prints[2]
