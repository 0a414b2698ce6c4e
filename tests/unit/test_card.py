"""The model's files fit together or say what is wrong, and a crash between their renames harms nothing."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from velox.errors import ModelError
from velox.models import card
from velox.models.card import ModelCard

LABELS = ("red_circle", "green_circle")
OTHER_LABELS = ("green_circle", "red_circle")


class Files:
    """A folder with, or for, a model's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.classes, self.card = folder / "model.pth", folder / "classes.json", folder / "model.json"
        self.export = folder / "model.onnx"

    def write(self, weights: bytes = b"weights", labels: tuple[str, ...] = LABELS) -> ModelCard:
        made = ModelCard("tiny_cnn", labels, 64, card.version_of(weights, labels), accuracy=0.5, dataset={"seed": 7})
        export = made.version.encode()
        card.write(made, weights, export=export, model_path=self.model, classes_path=self.classes)
        return made

    def read(self, *, needs_weights: bool = True) -> card.ModelFiles:
        return card.read(self.model, self.classes, needs_weights=needs_weights)

    def is_complete(self, *, needs_weights: bool) -> bool:
        return card.is_complete(self.model, self.classes, needs_weights=needs_weights)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_what_is_written_is_read(files: Files) -> None:
    made = files.write()
    read = files.read()
    assert read.weights == b"weights"
    assert read.labels == LABELS
    assert read.version == made.version
    assert read.card == made


def test_only_the_four_files_remain(files: Files) -> None:
    files.write()
    assert files.names() == ["classes.json", "model.json", "model.onnx", "model.pth"]


def test_labels_are_laid_out_as_documented(files: Files) -> None:
    files.write()
    assert json.loads(files.classes.read_text()) == {"0": "red_circle", "1": "green_circle"}


def test_folders_are_made_where_missing(tmp_path: Path) -> None:
    Files(tmp_path / "new" / "folder").write()


def test_others_may_read_the_files(files: Files) -> None:
    files.write()
    for path in (files.model, files.classes, files.card, files.export):
        assert path.stat().st_mode & 0o777 == 0o644


def test_the_version_depends_on_weights_and_on_labels() -> None:
    versions = {card.version_of(w, labels) for w in (b"1", b"2") for labels in (LABELS, OTHER_LABELS)}
    assert len(versions) == 4


def test_weights_and_labels_are_enough(files: Files) -> None:
    made = files.write()
    files.card.unlink()
    read = files.read()
    assert read.card is None
    assert read.version == made.version


def test_a_card_of_other_weights_is_ignored_with_a_warning(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.write()
    files.model.write_bytes(b"replaced by the user")
    with caplog.at_level(logging.WARNING):
        assert files.read().card is None
    assert "model.json describes other files" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"labels": 3}', "\x00", '{"labels": [], "color": 1}'])
def test_a_damaged_card_is_ignored_with_a_warning(files: Files, content: str, caplog: pytest.LogCaptureFixture) -> None:
    files.write()
    files.card.write_text(content)
    assert files.read().card is None
    assert "no model card" in caplog.text


def test_a_missing_model_says_how_to_get_one(files: Files) -> None:
    with pytest.raises(ModelError, match=r"model\.pth: no model; train one with `python train\.py`$"):
        files.read()


def test_missing_labels_are_one_clear_error(files: Files) -> None:
    files.write()
    files.classes.unlink()
    with pytest.raises(ModelError, match=r"classes\.json: no labels for .*model\.pth; write {") as caught:
        files.read()
    assert "train" not in str(caught.value), "that would write over the weights"


@pytest.mark.parametrize(
    "content", ["nonsense", "[]", "{}", '["a", "b"]', '{"0": 1}', '{"1": "a"}', '{"0": "a", "2": "b"}', "\xff", "7"]
)
def test_damaged_labels_are_one_clear_error(files: Files, content: str) -> None:
    files.write()
    files.classes.write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"classes\.json: no labels that can be read; write {") as caught:
        files.read()
    assert "train" not in str(caught.value)


@pytest.mark.parametrize("name", ["model", "classes"])
def test_what_is_certainly_no_model_is_named_for_what_it_is(files: Files, name: str) -> None:
    files.write()
    path: Path = getattr(files, name)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 14000000\n")
    for needs_weights in (True, False):
        with pytest.raises(ModelError, match=rf"/{path.name} is a git-lfs pointer, .*; fetch that with `git lfs pull`"):
            files.read(needs_weights=needs_weights)


def test_a_model_that_is_a_folder_is_one_clear_error(files: Files) -> None:
    files.model.mkdir()
    with pytest.raises(ModelError, match=r"model\.pth: cannot read"):
        files.read()


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot write the model"):
        Files(tmp_path / "file" / "folder").write()


@pytest.mark.parametrize("labels", [LABELS, OTHER_LABELS], ids=["same labels", "other labels"])
@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_crash_between_renames_never_leaves_weights_beside_labels_they_were_not_trained_for(
    files: Files, monkeypatch: pytest.MonkeyPatch, labels: tuple[str, ...], renames: int
) -> None:
    files.write(b"old")
    rename, done = Path.replace, 0

    def crash(self: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise KeyboardInterrupt
        done += 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        files.write(b"new", labels)
    monkeypatch.undo()

    if labels == LABELS:
        assert (files.read().weights, files.read().labels) == (b"old", LABELS)
    else:
        with pytest.raises(ModelError, match="no model"):
            files.read()
        if renames < 3:
            with pytest.raises(ModelError, match="no model"):
                files.read(needs_weights=False)
        else:  # all but the weights are new and fit together
            assert files.export.read_text() == files.read(needs_weights=False).version
    files.write(b"new", labels)
    assert files.read().card is not None


def test_a_full_disk_leaves_the_old_model(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    old = files.write(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ModelError, match="No space left on device"):
        files.write(b"new", OTHER_LABELS)
    assert files.read().card == old
    assert files.names() == ["classes.json", "model.json", "model.onnx", "model.pth"]


def test_a_retrained_model_replaces_all_of_them(files: Files) -> None:
    old = files.write(b"old")
    new = files.write(b"new", OTHER_LABELS)
    assert files.export.read_text() == new.version
    assert files.read().card == new == replace(old, labels=OTHER_LABELS, version=new.version)


def test_without_weights_the_card_says_which_model_it_is(files: Files) -> None:
    made = files.write()
    files.model.unlink()
    read = files.read(needs_weights=False)
    assert (read.weights, read.labels, read.version, read.card) == (b"", LABELS, made.version, made)
    with pytest.raises(ModelError, match=r"model\.pth: no model"):
        files.read()


def test_weights_that_are_there_decide_on_the_version_also_where_they_are_not_needed(files: Files) -> None:
    files.write()
    files.model.write_bytes(b"replaced by the user")
    read = files.read(needs_weights=False)
    assert (read.version, read.card) == (card.version_of(b"replaced by the user", LABELS), None)


@pytest.mark.parametrize("missing", ["export", "card", "classes"])
def test_without_weights_all_the_others_are_needed_and_named(files: Files, missing: str) -> None:
    files.write()
    files.model.unlink()
    assert files.is_complete(needs_weights=False)
    getattr(files, missing).unlink()
    assert not files.is_complete(needs_weights=False)
    with pytest.raises(
        ModelError, match=r"model\.pth: no model; .* copy here .*model\.onnx, .*model\.json and .*classes"
    ):
        files.read(needs_weights=False)


@pytest.mark.parametrize("labels", [OTHER_LABELS, (*LABELS, "blue_circle")])
def test_without_weights_labels_must_be_those_of_the_card(files: Files, labels: tuple[str, ...]) -> None:
    files.write()
    files.model.unlink()
    files.classes.write_text(json.dumps({str(index): label for index, label in enumerate(labels)}))
    with pytest.raises(ModelError, match="copy all files of one training together"):
        files.read(needs_weights=False)


def test_weights_and_labels_make_a_model_complete(files: Files) -> None:
    files.write()
    files.card.unlink()
    files.export.unlink()
    assert files.is_complete(needs_weights=True)
    assert files.is_complete(needs_weights=False)
    files.model.unlink()
    assert not files.is_complete(needs_weights=False)


def test_what_cannot_be_written_afterwards_is_one_clear_error(files: Files) -> None:
    made = files.write()
    writers: list[tuple[Path, Callable[[], None]]] = [
        (files.export, lambda: card.write_export(b"export", files.model)),
        (card.quantised_path(files.model), lambda: card.write_quantised(b"int8", files.model)),
        (files.card, lambda: card.amend(made, files.model, files.classes)),
    ]
    for path, write in writers:
        path.unlink(missing_ok=True)
        path.mkdir()
        with pytest.raises(ModelError, match=rf"{path.name}: cannot be written: Is a directory"):
            write()
    assert files.names() == ["classes.json", "model.int8.onnx", "model.json", "model.onnx", "model.pth"]


def test_a_card_is_amended_only_while_its_model_is_there(files: Files) -> None:
    made = files.write(b"old")
    amended = replace(made, starts_from="imagenet")
    card.amend(amended, files.model, files.classes)
    assert files.read().card == amended
    retrained = files.write(b"new")
    with pytest.raises(ModelError, match=r"model\.pth: replaced by another model meanwhile"):
        card.amend(amended, files.model, files.classes)
    assert files.read().card == retrained
