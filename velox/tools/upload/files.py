"""The files to upload: which, and under which keys."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from velox.core.image_formats import SUFFIXES
from velox.core.pointers import check_key
from velox.core.text import readable
from velox.errors import BadRecordError, SettingsError


@dataclass(frozen=True, slots=True)
class File:
    """One file, and the key that its object has."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below a folder."""

    files: tuple[File, ...]
    others: int
    """Files that are no images by their names."""
    refused: tuple[str, ...]
    """Why files cannot be uploaded."""


def find(folder: Path, *, prefix: str, any_kind: bool, most_bytes: int) -> Found:
    """Look through a folder; keys are paths below it, behind the prefix.

    Raises:
        SettingsError: there is no such folder.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such folder"
        raise SettingsError(msg)
    files: list[File] = []
    refused: list[str] = []
    others = 0
    for path in sorted(_below(folder)):
        if not any_kind and path.suffix.lower() not in SUFFIXES:
            others += 1
            continue
        key = "/".join([*filter(None, [prefix]), path.relative_to(folder).as_posix()])
        if problem := _problem(path, key, most_bytes):
            refused.append(f"{readable(str(path))}: {problem}")
        else:
            files.append(File(path, key))
    return Found(tuple(files), others, tuple(refused))


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _problem(path: Path, key: str, most_bytes: int) -> str | None:
    try:
        check_key(key)
        size = path.stat().st_size
    except (BadRecordError, OSError) as error:
        return str(error)
    if not size:
        return "empty"
    return f"{size} bytes, more than MAX_OBJECT_BYTES={most_bytes}" if size > most_bytes else None
