"""Versions in ``models.toml``: what it may say of them, and the commands that change it."""

import json
from pathlib import Path

import pytest

from velox import cli
from velox.errors import SettingsError
from velox.settings import Settings
from velox.settings.model_versions import Versions
from velox.settings.models import parse_models, read_models
from velox.worker import versions
from velox.worker.catalogue import add_entry, remove_entry

ENTRY = """\
# The models of this shop.
[judge]
env_file = "judge.env"

[judge.versions]
v2 = {path = "model/v2", share = 10}  # on trial
v3 = {path = "model/v3"}

[other]
env_file = "judge.env"

[also]
same_as = "judge"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "judge.env").write_text("KAFKA_TOPIC=texts\n")
    file = tmp_path / "models.toml"
    file.write_text(ENTRY)
    return file


def test_versions_are_read_and_handed_to_the_consumer_as_its_settings(path: Path) -> None:
    entries = read_models(path)
    assert entries["judge"].versions == Versions({"v2": "model/v2", "v3": "model/v3"}, {"v2": 10})
    assert entries["also"].versions == entries["judge"].versions
    assert (entries["other"].versions.environment(), entries["other"].versions.askable) == ({}, ())
    assert Settings().model_copy(update=entries["judge"].versions.changes()).shares == {"main": 90, "v2": 10, "v3": 0}
    told = entries["judge"].versions.environment()
    settings = Settings(**{name.lower(): value for name, value in told.items()})  # type: ignore[arg-type]  # texts
    assert settings.versions == {"v2": Path("model/v2"), "v3": Path("model/v3")}
    assert settings.shares == {"main": 90, "v2": 10, "v3": 0}
    assert entries["judge"].versions.askable == settings.askable == ("main", "v2", "v3")


def test_another_version_or_share_is_another_model_to_whoever_runs_it(path: Path) -> None:
    before = read_models(path)["judge"].fingerprint
    path.write_text(ENTRY.replace("share = 10", "share = 20"))
    assert read_models(path)["judge"].fingerprint != before


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("v2 = 7", "v2 is to be"),
        ("v2 = {share = 10}", "v2 is to be"),
        ('v2 = {path = "p", shares = 10}', "v2 is to be"),
        ('v2 = {path = "p", share = "10"}', "v2 is to be"),
        ('main = {path = "p"}', "main has no path"),
        ('v2 = {path = "p", share = 120}', "120"),
        ('"v 2" = {path = "p"}', "no name for a version"),
    ],
)
def test_what_versions_may_not_say_is_named(section: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_models(f'[a]\nenv_file = "a.env"\n[a.versions]\n{section}\n', tmp_path / "models.toml")


@pytest.mark.parametrize("line", ['shadow = "v2"', 'default = "v2"', 'former = "v2"'])
def test_without_versions_none_can_be_named(line: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there are no versions"):
        parse_models(f'[a]\nenv_file = "a.env"\n{line}\n', tmp_path / "models.toml")


def test_a_share_is_changed_and_all_else_stays_as_it_is_written(path: Path) -> None:
    assert versions.share(path, "judge", {"v2": 25}).shares == {"v2": 25}
    assert path.read_text() == ENTRY.replace("share = 10", "share = 25")
    versions.share(path, "judge", {"v2": 0, "v3": 12.5})
    assert read_models(path)["judge"].versions.shares == {"v3": 12.5}
    assert "# on trial" in path.read_text()


def test_by_another_name_it_is_the_same_model(path: Path) -> None:
    versions.share(path, "also", {"v2": 25})
    assert read_models(path)["judge"].versions.shares == {"v2": 25}


def test_a_version_looks_on_until_none_does(path: Path) -> None:
    assert versions.shadow(path, "judge", "v3").shadow == "v3"
    assert read_models(path)["judge"].versions.askable == ("main", "v2")
    assert versions.shadow(path, "judge", None).shadow == ""
    assert path.read_text() == ENTRY


def test_a_version_is_promoted_and_the_one_before_comes_back(path: Path) -> None:
    promoted = versions.promote(path, "judge", "v2")
    assert (promoted.default, promoted.former, promoted.shares) == ("v2", "main", {})
    back = versions.rollback(path, "judge")
    assert (back.default, back.former) == ("main", "v2")
    assert versions.rollback(path, "judge").default == "v2", "and forth"


def test_a_shadow_that_is_promoted_looks_on_no_more(path: Path) -> None:
    versions.shadow(path, "judge", "v3")
    assert versions.promote(path, "judge", "v3").shadow == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("share judge v2=120", "v2=120 is no percentage"),
        ("share judge v9=5", "has no version v9"),
        ("share judge v2", "v2 is no share of a version"),
        ("share nobody v2=5", "no model nobody"),
        ("shadow judge v9", "has no version v9"),
        ("shadow judge v2", "a shadow answers nothing"),
        ("promote judge main", "answers already"),
        ("promote other v2", "other has no version v2; there are main"),
        ("rollback judge", "no version of judge was promoted"),
        ("compare judge", "no consumer of judge reports"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_the_file_alone(
    command: str, said: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["model", *command.split()]) == 2
    assert said in capsys.readouterr().err
    assert path.read_text() == ENTRY


def test_each_is_one_command_that_says_who_answers_now(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("share judge v2=5", "shadow judge v3", "promote judge v2", "rollback judge"):
        assert cli.main(["model", *command.split()]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "judge: v2 5 %, main the rest",
        "judge: v2 5 %, main the rest; v3 shadows",
        "judge: v2 the rest; v3 shadows",
        "judge: main the rest; v3 shadows",
    ]
    assert path.read_text().startswith("# The models of this shop.\n[judge]\n")


def test_a_model_that_is_loaded_anew_keeps_its_versions_and_one_that_is_unloaded_takes_them_along(path: Path) -> None:
    (path.parent / "new.env").write_text("KAFKA_TOPIC=texts\n")
    versions.shadow(path, "judge", "v3")
    add_entry(path, "judge", Path("new.env"))
    entry = read_models(path)["judge"]
    assert (entry.env_file.name, entry.versions.shadow, entry.versions.shares) == ("new.env", "v3", {"v2": 10})
    path.write_text(path.read_text().replace('[also]\nsame_as = "judge"\n', ""))
    remove_entry(path, "judge")
    assert list(read_models(path)) == ["other"]
    assert json.dumps(read_models(path)["other"].versions.shares) == "{}"
