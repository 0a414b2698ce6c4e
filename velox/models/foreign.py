"""Files that are no model, recognised by their first bytes and named for what they are, so that none is overwritten."""

import io
import struct
import zipfile
from typing import Final

_COPY: Final = "copy the file itself here"
_STARTS: Final = (
    (b"version https://git-lfs", "is a git-lfs pointer, not the file it stands for; fetch that with `git lfs pull`"),
    (b"<!doctype html", f"is an HTML page, as a download gives that was refused; {_COPY}"),
    (b"<html", f"is an HTML page, as a download gives that was refused; {_COPY}"),
    (b"<?xml", f"is XML, as a bucket answers that refuses; {_COPY}"),
    (b"\x1f\x8b", "is packed by gzip; unpack it"),
    (b"\x89hdf\r\n", "is an HDF5 file, as Keras writes; MODEL runs other models than Velox's own, by a class of yours"),
)
_ZIP: Final = b"PK\x03\x04"
_HEADER_BYTES: Final = 8
_UNREADABLE: Final = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error)
"""What the standard library raises for archives that are damaged or of another version."""


def named(content: bytes) -> str | None:
    """Say what a file is, and what to do about it, where that is certainly no model; None else."""
    if not content:
        return f"is empty; {_COPY}"
    if content.startswith(_ZIP):
        return _zip(content)
    if _is_safetensors(content):
        return "is a safetensors file; load it with safetensors.torch and write it with torch.save"
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((problem for known, problem in _STARTS if start.startswith(known)), None)


def _zip(content: bytes) -> str | None:
    """Say whether an archive is what torch.save writes: a pickle of names, and no program beside it."""
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except _UNREADABLE:
        return f"is cut short or damaged; {_COPY} again"
    inside = {name.partition("/")[2] for name in names}
    if "data.pkl" not in inside:
        return "is a zip archive that torch.save did not write; unpack it, if the weights are in it"
    if "constants.pkl" in inside:
        return "is a TorchScript program; save the state_dict() of torch.jit.load with torch.save"
    return None


def _is_safetensors(content: bytes) -> bool:
    """Say whether it begins with the size of a JSON object and that object, as the format says."""
    size = int.from_bytes(content[:_HEADER_BYTES], "little")
    return 1 < size <= len(content) - _HEADER_BYTES and content[_HEADER_BYTES : _HEADER_BYTES + 1] == b"{"
