"""The folder of a network for texts, as the package transformers writes it: found, downloaded if need be, and read."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from velox.errors import ModelError
from velox.loading import is_installed

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?")
_OF_FILES: Final = frozenset({".pth", ".pt", ".bin", ".safetensors", ".onnx"})
_WANTED: Final = ("*.json", "model*.safetensors", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model")
"""What is downloaded: weights in the one format that holds nothing but numbers."""
_HUB_ANSWERS_S: Final = 5.0
_MOST_TOKENS: Final = 512
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class TextFiles:
    """What lies in such a folder; nothing of it but ``config.json`` and the weights' hash has been read."""

    folder: Path
    labels: tuple[str, ...]
    """In the order of the outputs."""
    most_tokens: int
    """Longer texts are cut."""
    pad_token: int
    weights: tuple[Path, ...]
    """Empty where there is only an export."""
    version: str
    """Hash of weights, labels and tokenizer; empty without weights: then the export says it."""

    @property
    def tokenizer(self) -> Path:
        """How texts become numbers."""
        return self.folder / "tokenizer.json"

    @property
    def export(self) -> Path:
        """The network as an ONNX file: from token ids and their mask, n × tokens each, to n × labels logits."""
        return self.folder / "model.onnx"

    @property
    def quantised(self) -> Path:
        """The export with its weights in int8."""
        return self.folder / "model.int8.onnx"


def find(model_path: Path) -> Path:
    """Find the folder that MODEL_PATH names, or fetch what the hub has under this name; a second time from its cache.

    Raises:
        ModelError: there is no such folder, and nothing can be fetched.
    """
    if model_path.is_dir():
        return model_path
    name = str(model_path)
    where = "a folder with config.json, tokenizer.json and model.safetensors or model.onnx"
    if model_path.exists() or model_path.suffix in _OF_FILES or not _HUB_NAME.fullmatch(name):
        msg = f"MODEL_PATH={name}: not a folder; this model needs {where}"
        raise ModelError(msg)
    if not is_installed("huggingface_hub"):
        msg = f"MODEL_PATH={name}: no such folder, and to fetch it from the hub takes pip install 'velox[transformers]'"
        raise ModelError(msg)
    import huggingface_hub  # noqa: PLC0415 - takes a second, and a folder needs none of it

    try:
        fetched = huggingface_hub.snapshot_download(name, allow_patterns=[*_WANTED], etag_timeout=_HUB_ANSWERS_S)
    except Exception as error:  # its errors, and those of the HTTP library below it, have no base in common
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        msg = f"MODEL_PATH={name}: no such folder here, and the hub does not give it ({reason}); set it to {where}"
        raise ModelError(msg) from error
    return Path(fetched)


def read(folder: Path) -> TextFiles:
    """Read what says what the network is, and hash its weights.

    Raises:
        ModelError: something is missing, damaged, or no classifier of one label a text.
    """
    path = folder / "config.json"
    config = _json(path)
    labels = _labels(config, path)
    weights = tuple(sorted(folder.glob("model*.safetensors")))
    if not weights and not (folder / "model.onnx").is_file():
        other = next((each.name for each in sorted(folder.glob("*.bin"))), None)
        hint = f"; {other} is a pickle, which is not read: save it as safetensors" if other else ""
        msg = f"{folder}: neither model.safetensors nor model.onnx in it{hint}"
        raise ModelError(msg)
    tokenizer = folder / "tokenizer.json"
    try:
        version = _hash(labels, (tokenizer, *weights)) if weights else ""
    except OSError as error:
        msg = f"{error.filename}: cannot be read: {error.strerror}"
        raise ModelError(msg) from error
    return TextFiles(folder, labels, _most_tokens(config), _number(config.get("pad_token_id"), 0), weights, version)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        msg = f"{path}: {error.strerror}; MODEL_PATH names a folder as the package transformers writes it"
        raise ModelError(msg) from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        msg = f"{path}: no JSON object; copy the folder's files again"
        raise ModelError(msg)
    return content


def _labels(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    if config.get("problem_type") in {"regression", "multi_label_classification"}:
        msg = f"{path}: a network for {config['problem_type']}; this model gives a text one of several labels"
        raise ModelError(msg)
    named = config.get("id2label")
    try:
        labels = tuple(str(named[str(index)]) for index in range(len(named)))  # type: ignore[arg-type,index]
    except (TypeError, KeyError):
        labels = ()
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):  # noqa: PLR2004 - one label answers nothing
        msg = f'{path}: no labels; write "id2label": {{"0": "NEGATIVE", "1": "POSITIVE"}} there, in the outputs\' order'
        raise ModelError(msg)
    return labels


def _most_tokens(config: dict[str, Any]) -> int:
    return min(_MOST_TOKENS, _number(config.get("max_position_embeddings"), _MOST_TOKENS))


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _hash(labels: tuple[str, ...], paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256(json.dumps(labels, ensure_ascii=False).encode())
    for path in paths:
        if path.exists():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:_DIGITS]
