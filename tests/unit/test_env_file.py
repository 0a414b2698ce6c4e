"""`.env` lists every setting, and writing it changed none."""

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from velox import settings
from velox.settings import Settings
from velox.settings.env_file import read

ROOT = Path(__file__).parents[2]
FOREIGN = ("DOCKER_", "COMPOSE_", "GF_")
ON_THE_HOST = {"mongo_uri": "mongodb://localhost:27017/"}
"""The one default that is meant for Compose's own network; `.env` is for the host, and Compose overrides it."""


@pytest.fixture
def names() -> set[str]:
    return {name for name in read(ROOT / ".env") if not name.startswith(FOREIGN)}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> Settings:
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(ROOT)
    return settings.load()


def test_the_env_file_lists_every_setting_and_nothing_else(names: set[str]) -> None:
    fields = {name.upper() for name in Settings.model_fields} - {"COLORS"}
    default_colors = {f"COLORS_{name.upper()}" for name in Settings.model_fields["colors"].default}
    assert names == fields | default_colors


def test_the_env_file_holds_the_defaults_but_for_the_host_of_mongodb(loaded: Settings) -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    differing = {name for name, default in defaults.items() if getattr(loaded, name) != default}
    assert differing == set(ON_THE_HOST)
    assert loaded.mongo_uri.get_secret_value() == ON_THE_HOST["mongo_uri"]


def test_the_settings_come_from_the_env_file(loaded: Settings) -> None:
    optional = {
        name for name, value in loaded if value in ("", (), SecretStr(""))
    }  # an empty value counts as not given
    assert {origin for name, origin in settings.origins().items() if name not in optional} == {".env"}


def test_every_line_of_the_env_file_is_explained() -> None:
    lines = (ROOT / ".env").read_text().splitlines()
    unexplained = [
        line
        for before, line in pairwise(lines)
        if "=" in line and not line.startswith("#") and not before.startswith(("# ", "COLORS_"))
    ]
    assert unexplained == []
