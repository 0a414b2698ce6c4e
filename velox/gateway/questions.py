"""From the body of a /v1 request to a question."""

import time

from velox.gateway import payloads, webhooks
from velox.gateway.models import ServedModel
from velox.gateway.parts import Gateway
from velox.gateway.problems import unprocessable
from velox.gateway.schemas import NewRequest
from velox.gateway.submitting import Question
from velox.images.limits import Limits


def checked(gateway: Gateway, body: NewRequest, *, owner: str, idempotency: str | None = None) -> Question:
    """Check all that a client has put into the body.

    Raises:
        Problem: 422: no such model, or not what it reads.
        BadRecordError: the image is none, or too large.
    """
    model = gateway.model(body.model)
    if body.version and model.versions and body.version not in model.versions:
        why = f"{model.name} has no version {body.version}; there are {', '.join(model.versions)}"
        raise unprocessable(why, "version")
    return Question(
        model=model,
        payload=_payload(gateway, model, body),
        owner=owner,
        id=body.id or "",
        version=body.version or "",
        deadline=None if body.deadline_s is None else time.time() + body.deadline_s,
        idempotency=idempotency,
        webhook_url=webhooks.checked(body.webhook_url, gateway.settings),
    )


def limits(gateway: Gateway) -> Limits:
    """Say how large an image may be."""
    return Limits(gateway.settings.max_image_pixels, gateway.settings.max_image_side)


def _payload(gateway: Gateway, model: ServedModel, body: NewRequest) -> bytes:
    other = "image" if model.kind == "text" else "text"
    said = body.text if model.kind == "text" else body.image
    if said is None or getattr(body, other) is not None:
        raise unprocessable(f"{model.name} reads {model.kind}s: give {model.kind}, and no {other}", model.kind)
    if model.kind == "text":
        return payloads.text(said, gateway.settings.max_text_length)
    return payloads.image(payloads.from_base64(said, "image"), limits(gateway))
