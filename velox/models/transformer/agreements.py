"""How far the int8 of a network agrees with it, as it was measured once: ``velox.json`` in the network's folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from velox.errors import ModelError
from velox.models.agreement import Agreement, measured_here, way
from velox.models.replacing import replace

_BACKEND: Final = "onnxruntime"
_FILE: Final = "velox.json"


def recall(folder: Path, version: str) -> Agreement | None:
    """Find what was measured of this version on a processor like this one; knowing nothing is no error."""
    content = _read(folder)
    if content.get("version") != version:
        return None
    try:
        known = {name: Agreement(**values) for name, values in content["precisions"].items()}
    except (KeyError, TypeError, AttributeError):
        return None
    return measured_here(known, _BACKEND, "int8")


def remember(folder: Path, version: str, agreement: Agreement) -> None:
    """Keep it, with what was measured of this version elsewhere.

    Raises:
        ModelError: the file cannot be written.
    """
    content = _read(folder)
    known = content.get("precisions") if content.get("version") == version else {}
    measured = {**(known if isinstance(known, dict) else {}), way(_BACKEND, "int8"): asdict(agreement)}
    path = folder / _FILE
    try:
        replace(path, json.dumps({"version": version, "precisions": measured}, indent=2).encode() + b"\n")
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ModelError(msg) from error


def said(agreement: Agreement) -> str:
    """Say it as the log does."""
    crossings = f", {agreement.crossings} cross the threshold" if agreement.crossings else ""
    return f"agrees with fp32 in {agreement.top1:.2%} of {agreement.images} texts{crossings}"


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
