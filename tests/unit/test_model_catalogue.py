"""Which models are wanted, and how ``velox model`` edits the file that says so."""

from pathlib import Path

import pytest

from velox import cli
from velox.errors import SettingsError
from velox.settings.models import read_models
from velox.worker.catalogue import Catalogue, add_entry, chosen, remove_entry

TEXT = """\
# The models.

[first]
env_file = "first.env"

# Another name.
[other]
same_as = "first"

# The last one.
[last]
env_file = "pipelines/last.env"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipelines").mkdir()
    for name in ("first.env", "pipelines/last.env", "new.env"):
        (tmp_path / name).write_text("BATCH_SIZE=3\n")
    (tmp_path / "models.toml").write_text(TEXT)
    return tmp_path / "models.toml"


def test_a_model_with_two_names_is_wanted_once(path: Path) -> None:
    assert list(Catalogue(path).look()) == ["first", "last"]
    assert list(Catalogue(path, ["last"]).look()) == ["last"]


def test_a_pipeline_file_that_cannot_be_read_is_that_models_problem(path: Path) -> None:
    (path.parent / "first.env").unlink()
    wanted = Catalogue(path).look()
    assert "first.env cannot be read" in wanted["first"].problem
    assert wanted["last"].fingerprint


def test_names_mean_models_each_once(path: Path) -> None:
    entries = read_models(path)
    assert chosen(entries, ["other", "first", "last"]) == ["first", "last"]
    with pytest.raises(SettingsError, match="--models third: no such model; there are first, other, last"):
        chosen(entries, ["third"])


def test_a_model_is_added_and_all_else_stays_as_it_is_written(path: Path) -> None:
    add_entry(path, "new", Path("new.env"))
    assert path.read_text() == TEXT + '\n[new]\nenv_file = "new.env"\n'


def test_a_model_gets_another_pipeline_file_in_its_place(path: Path) -> None:
    add_entry(path, "first", path.parent / "new.env")
    assert path.read_text() == TEXT.replace('"first.env"', '"new.env"')


def test_a_first_model_makes_the_file(path: Path) -> None:
    path.unlink()
    add_entry(path, "new", Path("pipelines/last.env"))
    assert path.read_text() == '[new]\nenv_file = "pipelines/last.env"\n'


@pytest.mark.parametrize(("name", "content", "said"), [("a b", "", "no name"), ("all", "", "no name")])
def test_a_name_that_may_not_be_leaves_the_file_alone(path: Path, name: str, content: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        add_entry(path, name, Path("new.env"))
    assert path.read_text() == TEXT


def test_settings_that_are_not_valid_leave_the_file_alone(path: Path) -> None:
    (path.parent / "new.env").write_text("BATCH_SIZE=none\n")
    with pytest.raises(SettingsError, match="model new: BATCH_SIZE=none"):
        add_entry(path, "new", Path("new.env"))
    assert path.read_text() == TEXT


def test_a_model_is_taken_away_with_its_comment_and_all_else_stays_as_it_is_written(path: Path) -> None:
    remove_entry(path, "other")
    assert path.read_text() == TEXT.replace('# Another name.\n[other]\nsame_as = "first"\n\n', "")
    remove_entry(path, "last")
    assert path.read_text() == '# The models.\n\n[first]\nenv_file = "first.env"\n'


def test_a_model_with_another_name_is_not_taken_away(path: Path) -> None:
    with pytest.raises(SettingsError, match="other is the same as first: unload it first"):
        remove_entry(path, "first")
    with pytest.raises(SettingsError, match="no model third; there are first, other, last"):
        remove_entry(path, "third")


def test_an_entry_that_is_written_otherwise_is_left_to_a_person(path: Path) -> None:
    path.write_text('first = {env_file = "first.env"}\n')
    with pytest.raises(SettingsError, match="remove it by hand"):
        remove_entry(path, "first")


def test_the_commands_list_show_load_and_unload(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path.parent / "new.env").write_text("KAFKA_TOPIC=news\n")
    assert cli.main(["model", "load", "new", "--env-file", "new.env"]) == 0
    assert "new reads news" in capsys.readouterr().out
    assert cli.main(["model", "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["model", "state", "topic", "consumers"]
    assert rows[-1] == ["new", "not", "reported", "news", "-"]
    assert cli.main(["model", "info", "other"]) == 0
    assert "other is first: first.env" in capsys.readouterr().out.replace(f"{path.parent}/", "")
    assert cli.main(["model", "unload", "new"]) == 0
    assert path.read_text() == TEXT


@pytest.fixture(autouse=True)
def _no_pipeline_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELOX_ENV_FILE", "")


def test_a_mistake_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "info", "third"]) == 2
    assert capsys.readouterr().err == "velox model: models.toml: no model third; there are first, other, last\n"
    with pytest.raises(SystemExit):
        cli.main(["model", "load", "third"])
    assert "which pipeline file? --env-file FILE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["consume", "--models", "first,"])
    assert "'first,' names no models" in capsys.readouterr().err
    assert cli.main(["consume", "--models", "first,third"]) == 2
    assert "--models third: no such model" in capsys.readouterr().err
    assert path.read_text() == TEXT


def test_members_cannot_share_a_static_name(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GROUP_INSTANCE_ID", "mine")
    assert path.exists()
    assert cli.main(["consume", "--models", "all"]) == 2
    assert "GROUP_INSTANCE_ID=mine: several models cannot share it" in capsys.readouterr().err
