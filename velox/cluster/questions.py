"""``POST /inference``: what is asked about one frame, and how that is answered."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from velox.cluster.frames import Said
from velox.core.cameras import taken_at
from velox.core.pointers import check_key
from velox.errors import BadRecordError, Reason
from velox.records import ModelInfo, Pointer

MOST_BYTES: Final = 64 * 1024
"""A longer question is refused: no path is so long."""
RETRY_AFTER_S: Final = 1
_MOST_CAMERA_CHARACTERS: Final = 249
"""As many as a topic's name may have."""


@dataclass(frozen=True, slots=True)
class Question:
    """One frame, and whose it is."""

    img_path: str
    camera_id: str

    @property
    def pointer(self) -> Pointer:
        """Where the frame is in the bucket."""
        return Pointer(key=self.img_path)

    def age_ms(self, now: float) -> float | None:
        """Answer how old the frame is, by the Unix seconds in its name; None where there are none."""
        at = taken_at(self.img_path)
        return None if at is None else round((now - at) * 1000, 1)


class Answer(NamedTuple):
    """A status with its body, which becomes JSON."""

    status: HTTPStatus
    body: Mapping[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        """Say when to come again, where that helps."""
        return {"Retry-After": str(RETRY_AFTER_S)} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def read(body: bytes) -> Question | Answer:
    """Read a question: ``img_path``, and ``camera_id``, else that of the folder that the frame is in."""
    if len(body) > MOST_BYTES:
        return refuse(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body has more than {MOST_BYTES} bytes")
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        return refuse(HTTPStatus.UNPROCESSABLE_ENTITY, f"the body is no JSON: {error}")
    path: Any = said.get("img_path") if isinstance(said, dict) else None
    if not isinstance(path, str):
        return refuse(HTTPStatus.UNPROCESSABLE_ENTITY, 'img_path is missing: ask with {"img_path": "frames/…/….jpg"}')
    camera: Any = said.get("camera_id", path.rpartition("/")[0].rpartition("/")[2])
    if not isinstance(camera, str) or len(camera) > _MOST_CAMERA_CHARACTERS:
        detail = f"camera_id is no text of at most {_MOST_CAMERA_CHARACTERS} characters"
        return refuse(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    try:
        check_key(path)
    except BadRecordError as error:
        return unread(error)
    return Question(path, camera)


def too_old(question: Question, now: float, *, stale_after_s: float = math.inf) -> Answer | None:
    """Refuse a frame that nobody needs to look at any more; None when it is fresh, or nobody knows."""
    age_ms = question.age_ms(now)
    if age_ms is None or age_ms <= stale_after_s * 1000:
        return None
    return refuse(HTTPStatus.GONE, f"the frame is {age_ms / 1000:.1f} s old, more than {stale_after_s:g} s")


def unread(error: BadRecordError) -> Answer:
    """Say why a frame could not be read from the bucket."""
    gone = error.reason is Reason.OBJECT_MISSING
    return refuse(HTTPStatus.NOT_FOUND if gone else HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


def refuse(status: HTTPStatus, detail: str) -> Answer:
    """Say why there is no answer."""
    return Answer(status, {"detail": detail})


def answer(question: Question, said: Sequence[tuple[ModelInfo, Said | str]], now: float) -> Answer:
    """Put what the models say of a frame together; a text in the place of a prediction says why there is none."""
    results: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for model, each in said:
        if isinstance(each, str | BadRecordError):
            errors[model.name] = str(each)
            continue
        results[model.name] = {
            "label": each.label,
            "confidence": round(each.confidence, 6),
            "model_version": model.version,
        }
        if each.boxes:
            results[model.name]["boxes"] = [box._asdict() for box in each.boxes]
    body = {
        "img_path": question.img_path,
        "camera_id": question.camera_id,
        "age_ms": question.age_ms(now),
        "results": results,
        "errors": errors,
    }
    return Answer(HTTPStatus.OK, body)
