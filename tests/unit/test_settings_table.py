"""What `velox settings` shows, and the page generated from the same source."""

from pathlib import Path

import pytest

from velox.settings import Settings, table
from velox.settings.settings import SECTIONS

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
REMEDY = "run `velox settings --markdown > docs/settings.md`"


def test_the_page_is_the_generated_one() -> None:
    assert PAGE.read_text() == table.markdown(), REMEDY


def test_the_page_lists_every_setting_once_and_in_order() -> None:
    rows = [line.split("`")[1] for line in table.markdown().splitlines() if line.startswith("| `")]
    names = [name for section in SECTIONS for name in section.model_fields]
    assert rows == ["COLORS_NAME" if name == "colors" else name.upper() for name in names]
    assert sorted(names) == sorted(Settings.model_fields)


def test_every_section_has_its_title() -> None:
    headings = [line[3:] for line in table.markdown().splitlines() if line.startswith("## ")]
    assert headings == [section.title for section in SECTIONS]
    assert len(set(headings)) == len(headings)


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")] == []


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("BATCH_SIZE", "| `8` | Records predicted together at most. | whole number, ≥ 1, ≤ 4096 |"),
        ("STORE", "| `detections` | What the database sinks take. | `detections`, `all` |"),
        ("SINKS", "| list of names |"),
        ("SHAPES", '| `["circle", "square"]` |'),
        ("COLORS_NAME", "| `COLORS_RED=(0, 0, 255)`, `COLORS_GREEN=(0, 255, 0)` |"),
        ("DRAIN_S", "number, > 0, ≤ 3600 |"),
        ("CODEC", "| `framed`, `raw`, `json`, `key` |"),
        ("MONGO_URI", "| text, secret |"),
        ("SOURCE_LOOP", "| `false` |"),
    ],
)
def test_a_row_gives_default_meaning_and_bounds(name: str, row: str) -> None:
    (line,) = [line for line in table.markdown().splitlines() if line.startswith(f"| `{name}` |")]
    assert row in line


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("mongodb://mongo:27017/", "mongodb://mongo:27017/"),
        ("mongodb://user:secret@mongo:27017/db", "mongodb://user:*****@mongo:27017/db"),
        ("mongodb+srv://user:s%40cret@cluster.example", "mongodb+srv://user:*****@cluster.example"),
        ("mongodb://a:1,b:2/?replicaSet=rs", "mongodb://a:1,b:2/?*****"),
        ("mongodb://user@mongo/", "mongodb://user@mongo/"),
        ("mongodb://user:sec@ret@mongo/", "*****"),
        ("mongodb://user:sec/ret@mongo/", "*****"),
        ("mongodb://user:sec?ret@mongo/", "*****"),
        ("mongodb://user:se#cret@mongo/", "*****"),
        ("mongodb://mongo/?token=a@b", "*****"),
        ("mongodb://user:secret", "*****"),
        ("mongodb://[::1]:27017,b.example/", "mongodb://[::1]:27017,b.example/"),
        ("secret", "*****"),
        ("", "*****"),
    ],
)
def test_of_a_uri_only_what_is_no_secret_is_shown(uri: str, shown: str) -> None:
    assert table.masked(uri) == shown


def test_values_and_origins_are_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TARGET_LABELS", "blue_*,red_circle")
    (tmp_path / ".env").write_text("EPOCHS=5\n")
    table.show()
    rows = {cells[1]: cells[2:4] for line in capsys.readouterr().out.splitlines() if len(cells := _cells(line)) > 3}
    assert rows["TARGET_LABELS"] == ['["blue_*", "red_circle"]', "environment"]
    assert rows["EPOCHS"] == ["5", ".env"]
    assert rows["SHAPE_SIZE"] == ["150", "default"]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")]


def test_a_bucket_for_images_is_shown_as_it_is_written() -> None:
    told = Settings.model_validate({"storage_path": "s3://hits/a"})
    assert table.written("storage_path", told.storage_path) == "s3://hits/a"
    assert table.written("storage_path", Settings().storage_path) == "discoveries"
