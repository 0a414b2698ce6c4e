"""What is read of a network's folder, and what is said of one that cannot be used."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from velox.errors import ModelError
from velox.models.transformer.folder import find, read

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = {
    "id2label": {"0": "NEGATIVE", "1": "POSITIVE"},
    "max_position_embeddings": 128,
    "pad_token_id": 1,
}


def write(folder: Path, *, config: object = CONFIG, **files: bytes) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in (files or {"model.safetensors": b"weights"}).items():
        (folder / name).write_bytes(content)
    return folder


def test_labels_limits_and_weights_are_read(tmp_path: Path) -> None:
    files = read(write(tmp_path))
    assert files.labels == ("NEGATIVE", "POSITIVE")
    assert (files.most_tokens, files.pad_token) == (128, 1)
    assert files.weights == (tmp_path / "model.safetensors",)


def test_no_more_than_512_tokens_are_read(tmp_path: Path) -> None:
    assert read(write(tmp_path, config={**CONFIG, "max_position_embeddings": 4096})).most_tokens == 512
    assert read(write(tmp_path, config={"id2label": CONFIG["id2label"]})).most_tokens == 512


def test_weights_labels_and_tokenizer_each_change_the_version(tmp_path: Path) -> None:
    versions = {read(write(tmp_path)).version}
    versions.add(read(write(tmp_path, **{"model.safetensors": b"other"})).version)
    versions.add(read(write(tmp_path, **{"tokenizer.json": b"{}"})).version)
    versions.add(read(write(tmp_path, config={**CONFIG, "id2label": {"0": "no", "1": "yes"}}, x=b"")).version)
    assert len(versions) == 4
    assert read(tmp_path).version in versions


def test_an_export_alone_is_enough(tmp_path: Path) -> None:
    files = read(write(tmp_path, **{"model.onnx": b"export"}))
    assert (files.weights, files.version) == ((), "")


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        ([], {}, "no JSON object"),
        ({}, {}, "no labels"),
        ({"id2label": {"0": "only"}}, {}, "no labels"),
        ({"id2label": {"0": "same", "1": "same"}}, {}, "no labels"),
        ({"id2label": {"1": "a", "2": "b"}}, {}, "no labels"),
        ({**CONFIG, "problem_type": "regression"}, {}, "a network for regression"),
        (CONFIG, {"pytorch_model.bin": b""}, "pytorch_model.bin is a pickle, which is not read"),
        (CONFIG, {"readme.md": b""}, "neither model.safetensors nor model.onnx"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_apart(
    tmp_path: Path, config: object, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        read(write(tmp_path, config=config, **files))


def test_a_folder_without_config_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json: No such file.*as the package transformers writes it"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["/no/such/folder", "../weights", "a/b/c", "spaces in it", "model.pth"])
def test_what_is_no_name_on_the_hub_is_not_looked_for_there(name: str) -> None:
    with pytest.raises(ModelError, match="not a folder"):
        find(Path(name))


def test_a_hub_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    code = "from pathlib import Path; from velox.models.transformer.folder import find; find(Path('someone/model'))"
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    assert "ModelError: MODEL_PATH=someone/model: no such folder here, and the hub does not give it" in done.stderr
    assert "set it to a folder with config.json" in done.stderr.splitlines()[-1]
