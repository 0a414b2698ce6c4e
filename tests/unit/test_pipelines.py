"""Each pipeline of the repository names settings that there are, with values they take, and a topic of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from velox import settings
from velox.settings import Settings
from velox.settings.env_file import read

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "pipelines").glob("*.env"))

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@pytest.fixture
def loaded(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a pipeline, as they lie over the repository's own."""
    pipeline = read(path)
    lines = [f"{name}='{value}'" for name, value in {**read(ROOT / ".env"), **pipeline}.items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    yield settings.load()


@each_file
def test_it_is_valid_over_the_repositorys_own_settings(loaded: Settings) -> None:
    assert loaded.kafka_topic != Settings.model_fields["kafka_topic"].default
    assert loaded.kafka_consumer_group != Settings.model_fields["kafka_consumer_group"].default


@each_file
def test_it_says_nothing_of_what_all_pipelines_share(path: Path) -> None:
    shared = {name for name in read(path) if name.startswith(("KAFKA_S", "KAFKA_BOOTSTRAP", "METRICS_", "LOG_"))}
    assert shared == set()


def test_there_are_pipelines() -> None:
    assert "sentiment" in {path.stem for path in FILES}
