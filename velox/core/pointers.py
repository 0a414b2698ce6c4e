"""What a value says of where its payload is, and whether that may be read."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from velox.core.cameras import is_camera_id, taken_at
from velox.core.text import readable
from velox.errors import BadRecordError, Reason
from velox.records import Headers, Metadata, Pointer

MAX_POINTER_BYTES: Final = 64 * 1024
"""A longer value is refused: no key is so long, and what JSON can say in it takes 25 times as much memory."""
SIZE_HEADER: Final = "velox-object-size"
"""How many bytes the object has, in decimal digits."""
SHA256_HEADER: Final = "velox-object-sha256"
"""The object's SHA-256, in hexadecimal digits."""
_LAST_S: Final = 4_102_444_800
"""The year 2100."""
_MAX_KEY_BYTES: Final = 1024
"""S3's own limit."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SIZE: Final = re.compile(r"[0-9]{1,18}")
_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNSAFE: Final = {"Cc", "Cs"}
"""Unicode's control characters, and halves of surrogate pairs, which UTF-8 does not have."""


def read_pointer(value: bytes) -> Pointer:
    """Read a key, or a JSON object with ``key`` and, if they are known, ``bucket``, ``size`` and ``sha256``.

    A value that begins with ``{`` is JSON; unknown names in it are allowed. A notification as S3 sends it is read too:
    of a new object, its key; of anything else, that there is none (``NO_OBJECT``). A camera's frame has ``path`` in the
    place of ``key``, with ``timestamp`` and ``camera_id``; or its path alone, which says when it was taken.

    Raises:
        BadRecordError: the value is neither, or its key is none that may be asked for.
    """
    return read_described(value)[0]


def read_described(value: bytes) -> tuple[Pointer, Metadata]:
    """Read a pointer as ``read_pointer`` does, with what else the record of a camera's frame says of it.

    Raises:
        BadRecordError: as ``read_pointer``.
    """
    if len(value) > MAX_POINTER_BYTES:
        raise BadRecordError(Reason.BAD_METADATA, f"the key has {len(value)} bytes, more than {MAX_POINTER_BYTES}")
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadRecordError(Reason.BAD_METADATA, f"the key is not UTF-8: {readable(value, most=80)}") from error
    said = _json_of(text) if text.startswith("{") else {}
    pointer = _from_object(said) if said else Pointer(key=text, taken_at=taken_at(text))
    check_key(pointer.key)
    if pointer.taken_at is None:
        return pointer, {}
    labels: dict[str, Any] = {name: said[name] for name in ("color_label", "shape_label") if name in said}
    return pointer, {"timestamp": pointer.taken_at, **labels}


def read_claim(said: object) -> Pointer:
    """Read what a framed value's JSON says of a payload that is kept elsewhere: an object as ``read_pointer`` reads.

    Raises:
        BadRecordError: it is none, or its key is none that may be asked for.
    """
    if not isinstance(said, dict):
        raise BadRecordError(Reason.BAD_METADATA, "the claim is no JSON object")
    pointer = _from_object(said)
    check_key(pointer.key)
    return pointer


def claim_of(pointer: Pointer) -> dict[str, object]:
    """Say in JSON where a payload is, as ``read_claim`` reads it."""
    return {"bucket": pointer.bucket, "key": pointer.key, "size": pointer.size_bytes, "sha256": pointer.sha256}


def with_headers(pointer: Pointer, headers: Headers) -> Pointer:
    """Complete a pointer by what headers say of the object; what the value itself says counts more.

    Raises:
        BadRecordError: they say it wrongly.
    """
    size, sha256 = pointer.size_bytes, pointer.sha256
    for name, content in headers:
        said = (content or b"").decode("ascii", errors="replace").lower()
        if name == SIZE_HEADER and size is None:
            if not _SIZE.fullmatch(said):
                raise BadRecordError(Reason.BAD_METADATA, f"{name} is no number of bytes: {readable(said, most=40)}")
            size = int(said)
        elif name == SHA256_HEADER and not sha256:
            if not _SHA256.fullmatch(said):
                raise BadRecordError(Reason.BAD_METADATA, f"{name} is not 64 hexadecimal digits")
            sha256 = said
    return replace(pointer, size_bytes=size, sha256=sha256)


def check_key(key: str) -> None:
    """See that a bucket may be asked for such a key.

    Raises:
        BadRecordError: it may lead elsewhere, or no bucket has one like it.
    """
    if problem := _problem(key):
        raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(key)}: {problem}")


def check(pointer: Pointer, *, bucket: str, allowed: Sequence[str]) -> None:
    """See that a pointer is to this bucket, and there to one of the places ``bucket/prefix``; none given: anywhere.

    Raises:
        BadRecordError: it is not.
    """
    if pointer.bucket not in {"", bucket}:
        problem = f"bucket {readable(pointer.bucket)} is not that of BUCKET_URL, {bucket}"
        raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(pointer.key)}: {problem}")
    place = f"{bucket}/{pointer.key}"
    if allowed and not any(place.startswith(f"{prefix.rstrip('/')}/") for prefix in allowed):
        problem = f"not in BUCKETS_ALLOWED={','.join(allowed)}"
        raise BadRecordError(Reason.FORBIDDEN_POINTER, f"{readable(place)}: {problem}")


def _json_of(text: str) -> dict[str, Any]:
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRecordError(Reason.BAD_METADATA, f"the pointer is not JSON: {error}") from error
    if "Records" in said or "Event" in said:
        return _notified(said)
    return cast("dict[str, Any]", said) or {"key": None}


def _from_object(said: dict[str, Any]) -> Pointer:
    if "key" not in said and "path" in said:
        said = {**said, "key": said["path"]}
    key, bucket, size, sha256 = (said.get(name) for name in ("key", "bucket", "size", "sha256"))
    problems = {
        "key is no text": not isinstance(key, str),
        "bucket is no text": not isinstance(bucket, str | None),
        "size is no number of bytes": isinstance(size, bool) or not isinstance(size, int | None) or (size or 0) < 0,
        "sha256 is not 64 hexadecimal digits": bool(sha256)
        and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256.lower())),
    }
    if problem := next((problem for problem, is_so in problems.items() if is_so), None):
        raise BadRecordError(Reason.BAD_METADATA, f"in the pointer's JSON, {problem}")
    taken, camera = _taken(said)
    return Pointer(
        key=str(key), bucket=bucket or "", size_bytes=size, sha256=(sha256 or "").lower(), taken_at=taken, camera=camera
    )


def _taken(said: dict[str, Any]) -> tuple[float | None, str]:
    """Answer when a frame was taken, and by which camera, as far as the record says so."""
    when, camera = said.get("timestamp"), said.get("camera_id")
    if "path" not in said:
        return None, ""
    is_time = isinstance(when, int | float) and not isinstance(when, bool) and 0 <= when <= _LAST_S
    at = float(when) if is_time and when is not None else taken_at(str(said["path"]))
    return at, camera if isinstance(camera, str) and is_camera_id(camera) else ""


def _notified(said: dict[str, Any]) -> dict[str, Any]:
    """Take what counts out of a notification of S3, which sends one for each object; its key is as in a form's URL.

    One that names several would need several results, with ids and places of their own, for one record: it is refused.

    Source: "Event message structure", Amazon S3 User Guide.
    """
    events: Any = said.get("Records")
    if said.get("Event") == "s3:TestEvent":
        raise BadRecordError(Reason.NO_OBJECT, "a bucket's test of its notifications")
    if isinstance(events, list) and len(events) > 1:
        detail = f"the notification names {len(events)} objects, and a record has one result: publish one for each, by"
        raise BadRecordError(Reason.BAD_METADATA, f"{detail} the server's own settings or a transform before the topic")
    try:
        (event,) = events
        name, about = str(event["eventName"]), event["s3"]
        key, bucket, size = about["object"]["key"], about["bucket"]["name"], about["object"].get("size")
        plain = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), key.replace("+", " ").encode()).decode()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        detail = f"the notification is not one of S3 about one object: {readable(repr(error), most=80)}"
        raise BadRecordError(Reason.BAD_METADATA, detail) from error
    if "ObjectCreated:" not in name:
        raise BadRecordError(Reason.NO_OBJECT, f"{readable(name, most=80)} of {readable(plain)}")
    return {"key": plain, "bucket": bucket, "size": size}


def _problem(key: str) -> str | None:
    problems = {
        "the key is empty": not key,
        "a key does not begin with /": key.startswith("/"),
        "a key has no control characters": any(unicodedata.category(c) in _UNSAFE for c in key),
        "a key has no empty part, no . and no ..": not {"", ".", ".."}.isdisjoint(key.split("/")),
        f"a key has at most {_MAX_KEY_BYTES} bytes": len(key.encode(errors="replace")) > _MAX_KEY_BYTES,
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)
