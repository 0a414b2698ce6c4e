"""How a frame's record is written."""

import json

from velox.cameras.slot import Frame
from velox.core.pointers import SHA256_HEADER, SIZE_HEADER
from velox.records import ID_HEADER, Headers, Pointer


def headers(identity: str, frame: Frame, pointer: Pointer, *, started_at: float, is_path_alone: bool) -> Headers:
    """Give a record the id that its results are stored under, and what a path alone does not say of the object."""
    said = [(ID_HEADER, f"{identity}-{frame.sequence}-{int(started_at * 1000)}".encode())]
    if is_path_alone:
        said += [(SIZE_HEADER, b"%d" % (pointer.size_bytes or 0)), (SHA256_HEADER, pointer.sha256.encode())]
    return said


def message(identity: str, frame: Frame, pointer: Pointer) -> bytes:
    """Write a frame's record: name, path and camera as they always were, and what else is known of it."""
    width, height = frame.pixels.size
    said: dict[str, object] = {
        "name": pointer.key.rpartition("/")[2],
        "path": pointer.key,
        "camera_id": identity,
        "timestamp": round(frame.taken_at, 6),
        "size": pointer.size_bytes,
        "sha256": pointer.sha256,
        "width": width,
        "height": height,
        "sequence": frame.sequence,
    }
    if frame.label:
        said["color_label"], said["shape_label"] = frame.label
    return json.dumps(said, separators=(",", ":")).encode()
