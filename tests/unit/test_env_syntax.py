"""How a line of `.env` is read, and that one which cannot be read stops the start, with its number and no value."""

from pathlib import Path

import pytest

from velox import settings
from velox.errors import SettingsError
from velox.settings.env_file import read

SECRET = "hunter2"  # noqa: S105 - made up

READ = {
    "NAME=value": "value",
    "  NAME = value  ": "value",
    "export NAME=value": "value",
    "export NAME=": "",
    "NAME=": "",
    "NAME=''": "",
    "name=value": "value",
    "NAME=a=b": "a=b",
    "NAME=a  b": "a  b",
    "NAME=value # a comment": "value",
    "NAME=value\t# a comment": "value",
    "NAME=#value": "#value",
    "NAME=a#b": "a#b",
    "NAME='a # b' # a comment": "a # b",
    "NAME='  value '#a comment": "  value ",
    'NAME="it\'s"': "it's",
    "NAME='\"'": '"',
    "NAME=it's": "it's",
    "NAME=bücher": "bücher",
    "NAME=pa$word": "pa$word",
    "NAME=pa${wo}rd": "pa${wo}rd",
    "NAME='pa${wo}rd'": "pa${wo}rd",
    'NAME="pa${wo}rd"': "pa${wo}rd",
    "NAME=${PATH}": "${PATH}",
    "NAME=pa\\nword": "pa\\nword",
    "NAME='pa\\\\n\\word'": "pa\\\\n\\word",
    'NAME="\\n\\r\\t\\"\\\\n"': '\n\r\t"\\n',
    'NAME=["circle", "square"]': '["circle", "square"]',
    "NAME=(0, 0, 255)": "(0, 0, 255)",
    "NAME=a \\": "a \\",
}
"""A line, and the value that it gives."""

UNREADABLE = {
    f"NAME='{SECRET}": "NAME: its quotes do not enclose the value",
    f'NAME="{SECRET}': "NAME: its quotes do not enclose the value",
    f"NAME='{SECRET}'{SECRET}": "NAME: its quotes do not enclose the value",
    f'NAME="{SECRET}" "{SECRET}"': "NAME: its quotes do not enclose the value",
    f"NAME='{SECRET}\\''": "NAME: its quotes do not enclose the value",
    f'NAME="{SECRET}\\s"': "NAME: a backslash that means nothing in double quotes",
    f"NAME= # {SECRET}": "NAME: a comment where the value should be",
    SECRET: "is not NAME=value",
    f"export {SECRET}": "is not NAME=value",
    f"NAME: {SECRET}": "is not NAME=value",
    f"={SECRET}": "is not NAME=value",
    f"MY NAME={SECRET}": "is not NAME=value",
    f"MY-NAME={SECRET}": "is not NAME=value",
    f"1={SECRET}": "is not NAME=value",
    f"NAME={SECRET}\0": r"holds the control character '\x00'",
    f"NAME={SECRET}\rOTHER=1": r"holds the control character '\r'",
    f"NAME={SECRET}\x1b[2J": r"holds the control character '\x1b'",
}
"""A line that cannot be read, and how what is said of it begins."""


def values(folder: Path, content: bytes) -> dict[str, str]:
    path = folder / "some.env"
    path.write_bytes(content)
    return read(path)


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(SettingsError) as caught:
        values(folder, content)
    message = str(caught.value).removeprefix(f"{folder}/")
    assert message.isprintable()
    assert SECRET not in message
    assert "; " in message, "there is a remedy"
    return message


@pytest.mark.parametrize("line", READ)
def test_a_value_is_taken_as_it_is_written(tmp_path: Path, line: str) -> None:
    assert values(tmp_path, f"{line}\n".encode()) == {"NAME": READ[line]}


@pytest.mark.parametrize("line", UNREADABLE)
def test_a_line_that_cannot_be_read_is_told_by_its_number_and_not_shown(tmp_path: Path, line: str) -> None:
    said = refusal(tmp_path, f"# first\nFIRST=1\n{line}\nLAST='1'\n".encode())
    assert said.startswith(f"some.env, line 3: {UNREADABLE[line]}")


def test_a_name_that_stands_there_twice_stops_the_start(tmp_path: Path) -> None:
    said = refusal(tmp_path, f"NAME={SECRET}\n\nname={SECRET}\n".encode())
    assert said == "some.env, line 3: NAME is in line 1 already; remove one of the two"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_of_other_systems_editors_are_read(tmp_path: Path, ends: str, mark: str) -> None:
    text = mark + ends.join(["# a comment", "", "NAME=value", "QUOTED='value'", "LAST=1"])
    assert values(tmp_path, text.encode()) == {"NAME": "value", "QUOTED": "value", "LAST": "1"}


@pytest.mark.parametrize(
    ("encoding", "other", "line"),
    [
        ("utf-16", "other", 1),
        ("utf-16-le", "other", 1),
        ("utf-16-be", "other", 1),
        ("utf-16-le", "bücher", 2),
        ("utf-32", "other", 1),
        ("latin-1", "bücher", 2),
    ],
)
def test_another_encoding_than_utf_8_is_told(tmp_path: Path, encoding: str, other: str, line: int) -> None:
    said = refusal(tmp_path, f"NAME={SECRET}\nOTHER={other}\n".encode(encoding))
    assert said.startswith(f"some.env, line {line}: ")
    assert "UTF-8" in said.partition("; ")[2]


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read(tmp_path / "none.env") == {}


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "link to itself"])
def test_a_file_that_is_none_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "some.env"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere" if kind == "link to nothing" else path)
    with pytest.raises(SettingsError, match=r"some\.env cannot be read: [A-Z][^;]*; it has to be a file"):
        read(path)


def test_what_is_told_of_the_working_folders_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("KAFKA_TOPIC='my_images\nTARGET_LABELS=blue_*\n")
    with pytest.raises(SettingsError, match=r"^\.env, line 1: KAFKA_TOPIC: its quotes do not enclose the value; "):
        settings.load()


def test_a_password_with_dollars_and_braces_is_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_SASL_PASSWORD", raising=False)
    (tmp_path / ".env").write_text("KAFKA_SASL_PASSWORD=pa${ss}w$rd\n")
    assert settings.load().kafka_sasl_password.get_secret_value() == "pa${ss}w$rd"
